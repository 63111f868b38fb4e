package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return store.New(databasetest.SQLite(t, store.Migrations())) })
}

func TestPostgreSQL(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return store.New(databasetest.Postgres(t, store.Migrations())) })
}

// On PostgreSQL a settlement sees the grant as it was when the statement began. Should another replica spend from it while the statement
// waits for the account, it must find out, change nothing, and say so.
func TestAChargeFindsOutThatTheGrantWasSpent(t *testing.T) {
	db := databasetest.Postgres(t, store.Migrations())
	s, now := store.New(db), time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	h := ledger.Hold{
		ID: "h", AccountID: "acc", Model: "m", Amount: 30, State: ledger.StateOpen, CreateTime: now, LeaseTime: now.Add(time.Minute),
	}
	require.NoError(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		a := ledger.Account{ID: "acc", Plan: "free", CreateTime: now, PeriodStart: now, PeriodEnd: now.Add(time.Hour), Due: now.Add(time.Hour)}
		_, first := tx.InsertAccount(ctx, a)
		a.Balance = 30
		_, second := tx.InsertGrant(ctx, ledger.Grant{ID: "g", AccountID: "acc", Source: "s", Amount: 30, Remaining: 30, CreateTime: now, ExpireTime: ledger.Never})
		err := errors.Join(first, second, tx.SaveAccount(ctx, a))
		if err == nil {
			_, _, err = tx.TakeHold(ctx, h)
		}
		return err
	}))

	other, err := db.Read().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()
	for _, statement := range []string{"UPDATE account SET balance = balance - 20 WHERE id = 'acc'", "UPDATE credit_grant SET remaining = remaining - 20 WHERE id = 'g'"} {
		_, err := other.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	charged := make(chan error, 1)
	go func() {
		charged <- s.Write(context.WithoutCancel(t.Context()), "acc", func(ctx context.Context, tx ledger.Tx) error {
			_, _, err := tx.ChargeHold(ctx, ledger.Charge{Hold: h, EntryID: "ent_1", Record: ledger.UsageRecord{
				ID: "usage_1", HoldID: "h", AccountID: "acc", Model: "m", Usage: ledger.Usage{Input: 1}, Cost: 20, Outcome: ledger.OutcomeCompleted, SettleTime: now,
			}})
			return err
		})
	}()
	require.Eventually(t, func() bool {
		var waiting int
		row := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
		return row.Scan(&waiting) == nil && waiting > 0
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, other.Commit())
	require.ErrorIs(t, <-charged, ledger.ErrLost)
	grants, err := s.Grants(t.Context(), "acc")
	require.NoError(t, err)
	require.EqualValues(t, 10, grants[0].Remaining)
	a, err := s.Account(t.Context(), "acc")
	require.NoError(t, err)
	require.EqualValues(t, 10, a.Balance)
	require.EqualValues(t, 30, a.Held)
}
