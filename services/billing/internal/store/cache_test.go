package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

var cacheTime = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

var hourly = ledger.Window{Period: time.Hour, Start: cacheTime.Truncate(time.Hour), End: cacheTime.Truncate(time.Hour).Add(time.Hour)}

// openCached opens a database with an account that its store keeps in memory, with a grant and a window of a key.
func openCached(t *testing.T) (*store.Store, *database.DB, database.Config) {
	t.Helper()
	place := database.Config{URL: settings.NewSecret("sqlite://" + filepath.Join(t.TempDir(), "billing.db")), Synchronous: "NORMAL"}
	db := databasetest.Open(t, place, store.Migrations())
	s := store.New(db)
	a := ledger.Account{ID: "acc", Plan: "free", CreateTime: cacheTime, PeriodStart: cacheTime, PeriodEnd: cacheTime.AddDate(0, 1, 0), Due: cacheTime.AddDate(0, 1, 0)}
	decide(t, s, func(ctx context.Context, tx ledger.Tx) error {
		_, err := tx.InsertAccount(ctx, a)
		require.NoError(t, err)
		_, err = tx.InsertGrant(ctx, ledger.Grant{ID: "g1", AccountID: "acc", Source: "s", Amount: 70, Remaining: 70, CreateTime: cacheTime, ExpireTime: ledger.Never})
		require.NoError(t, err)
		_, err = tx.SpendWindow(ctx, "acc", ledger.KeySubject("k"), hourly, 0)
		require.NoError(t, err)
		a.Balance = 70
		return tx.SaveAccount(ctx, a)
	})
	return s, db, place
}

func decide(t *testing.T, s *store.Store, fn func(ctx context.Context, tx ledger.Tx) error) {
	t.Helper()
	require.NoError(t, s.Write(t.Context(), "acc", fn))
}

func exec(t *testing.T, db *database.DB, sql string) {
	t.Helper()
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, sql)
		return err
	}))
}

// sees is what a decision sees of the account.
func sees(t *testing.T, s *store.Store) (text string) {
	t.Helper()
	decide(t, s, func(ctx context.Context, tx ledger.Tx) error {
		text = view(t, ctx, tx)
		return nil
	})
	return text
}

func view(t *testing.T, ctx context.Context, tx ledger.Tx) string {
	t.Helper()
	a, err := tx.LockAccount(ctx, "acc")
	require.NoError(t, err)
	live, err := tx.LiveGrants(ctx, "acc")
	require.NoError(t, err)
	w, err := tx.SpendWindow(ctx, "acc", ledger.KeySubject("k"), hourly, 0)
	require.NoError(t, err)
	left := int64(0)
	for _, g := range live {
		left += g.Remaining
	}
	return fmt.Sprint(a.Balance, " ", left, " ", w.Spent)
}

var outsideChanges = map[string]string{
	"UPDATE account SET balance = 60":           "60 70 0",
	"UPDATE account SET debt = 5":               "70 70 0",
	"UPDATE account SET period_cost = 5":        "70 70 0",
	"UPDATE credit_grant SET remaining = 50":    "70 50 0",
	"UPDATE key_window SET spent = 5, held = 1": "70 70 5",
}

// What another process commits is seen by the next decision.
func TestAnotherProcessWrites(t *testing.T) {
	for sql, want := range outsideChanges {
		t.Run(sql, func(t *testing.T) {
			s, _, place := openCached(t)
			require.Equal(t, "70 70 0", sees(t, s))
			place.Beside = true
			exec(t, databasetest.Open(t, place, database.Migrations{}), sql)
			require.Equal(t, want, sees(t, s))
			found, err := s.Violations(t.Context(), 100)
			require.NoError(t, err)
			for _, v := range found {
				require.NotEqual(t, "an account in memory is as it is stored", v.Rule)
			}
		})
	}
}

// What this process commits beside the store is a defect: the audit finds it, and a decision that changes the row is made on what is stored.
func TestAStaleAccountInMemory(t *testing.T) {
	for sql, want := range outsideChanges {
		t.Run(sql, func(t *testing.T) {
			s, db, _ := openCached(t)
			exec(t, db, sql)
			found, err := s.Violations(t.Context(), 100)
			require.NoError(t, err)
			require.Contains(t, rules(found), "an account in memory is as it is stored")
			runs := []string(nil)
			decide(t, s, func(ctx context.Context, tx ledger.Tx) error {
				runs = append(runs, view(t, ctx, tx))
				a, err := tx.LockAccount(ctx, "acc")
				if err != nil {
					return err
				}
				a.Held++
				h := ledger.Hold{AccountID: "acc", APIKeyID: "k", CreateTime: cacheTime}
				if err := tx.AddSpend(ctx, h, ledger.Spend{Held: 1}); err != nil {
					return err
				}
				live, err := tx.LiveGrants(ctx, "acc")
				if err != nil {
					return err
				}
				if err := tx.SetRemaining(ctx, "g1", live[0].Remaining-1); err != nil {
					return err
				}
				return tx.SaveAccount(ctx, a)
			})
			require.Equal(t, []string{"70 70 0", want}, runs)
			found, err = s.Violations(t.Context(), 100)
			require.NoError(t, err)
			require.NotContains(t, rules(found), "an account in memory is as it is stored")
		})
	}
}

// A batch that fails leaves nothing of its own in memory, and windows that are deleted are not remembered.
func TestNothingUncommittedIsKept(t *testing.T) {
	s, _, _ := openCached(t)
	err := s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		a, err := tx.LockAccount(ctx, "acc")
		require.NoError(t, err)
		a.Balance = 0
		require.NoError(t, tx.SaveAccount(ctx, a))
		require.NoError(t, tx.SetRemaining(ctx, "g1", 0))
		require.NoError(t, tx.AddSpend(ctx, ledger.Hold{AccountID: "acc", APIKeyID: "k", CreateTime: cacheTime}, ledger.Spend{Spent: 9}))
		return context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "70 70 0", sees(t, s))

	decide(t, s, func(ctx context.Context, tx ledger.Tx) error {
		return tx.AddSpend(ctx, ledger.Hold{AccountID: "acc", APIKeyID: "k", CreateTime: cacheTime}, ledger.Spend{Spent: 9})
	})
	require.Equal(t, "70 70 9", sees(t, s))
	n, err := s.PruneWindows(t.Context(), hourly.End, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, "70 70 0", sees(t, s), "no hold accounts for it")
}

// More accounts than are kept: each is as it is stored.
func TestManyAccounts(t *testing.T) {
	s, db, _ := openCached(t)
	exec(t, db, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
		INSERT INTO account (id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time, period_requests,
			period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost)
		SELECT 'acc_' || i, 'free', 0, 0, 0, 0, 1, 2, 2, 0, 0, 0, 0, 0, 0 FROM n`)
	for i := range 50 {
		err := s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
			for j := range 100 {
				if _, err := tx.LockAccount(ctx, fmt.Sprintf("acc_%d", 1+100*i+j)); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
	exec(t, db, "UPDATE account SET plan = 'pro'")
	found, err := s.Violations(t.Context(), 10_000)
	require.NoError(t, err)
	stale := 0
	for _, rule := range rules(found) {
		if rule == "an account in memory is as it is stored" {
			stale++
		}
	}
	require.Equal(t, 4096, stale)
}

func rules(found []ledger.Violation) (all []string) {
	for _, v := range found {
		all = append(all, v.Rule)
	}
	return all
}
