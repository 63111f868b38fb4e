package store_test

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// until is the store's migrations up to a file.
func until(t *testing.T, names ...string) database.Migrations {
	t.Helper()
	all := store.Migrations()
	some := fstest.MapFS{}
	for _, name := range names {
		data, err := fs.ReadFile(all.FS, name)
		require.NoError(t, err)
		some[name] = &fstest.MapFile{Data: data}
	}
	return database.Migrations{Service: all.Service, FS: some}
}

const (
	// What the version before migration 3 writes.
	oldAccount = `INSERT INTO account (id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time, period_requests,
		period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost)
		VALUES ($1, 'free', 5, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, $2)`
	oldHold = `INSERT INTO hold (id, account_id, request_id, fingerprint, user_id, api_key_id, key_window, model, input_price, cached_input_price, output_price,
		amount, output_tokens, state, create_time, lease_time, used_input_tokens, used_cached_input_tokens, used_output_tokens, used_reasoning_tokens)
		VALUES ($1, 'acc', 'r', 'f', 'u', 'k', 7, 'm', 1, 1, 1, 1, 1, 'open', 1, 2, 0, 0, 0, 0)`
	oldKeySpend = `INSERT INTO key_spend (account_id, api_key_id, window_start, held, spent) VALUES ('acc', 'k', $1, 1, 0)`
)

// Data from before migration 3 is kept, a sum that SQLite has made a floating-point number is cut to its bound, and a process of the old
// version that still runs can write.
func TestMigration3(t *testing.T) {
	databasetest.Each(t, until(t, "00001_ledger.sql", "00002_mirror.sql"), func(t *testing.T, db *database.DB) {
		exec := func(query string, args ...any) {
			t.Helper()
			require.NoError(t, db.Write(t.Context(), "acc", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, query, args...)
				return err
			}))
		}
		exec(oldAccount, "acc", 10)
		exec(oldAccount, "broken", int64(9_000_000_000_000_000_000))
		if db.Dialect() == database.SQLite {
			exec("UPDATE account SET period_cost = period_cost + period_cost WHERE id = 'broken'")
		}
		exec(oldHold, "h1")
		exec(oldKeySpend, 1)
		require.NoError(t, database.Migrate(t.Context(), db, store.Migrations()))

		s := store.New(db)
		a, err := s.Account(t.Context(), "acc")
		require.NoError(t, err)
		at := func(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
		require.Equal(t, ledger.Account{
			ID: "acc", Plan: "free", Balance: 5, Debt: 7, CreateTime: at(1), PeriodStart: at(2), PeriodEnd: at(3), Due: at(4),
			Period: ledger.UsageTotal{Requests: 5, Usage: ledger.Usage{Input: 6, CachedInput: 7, Output: 8, Reasoning: 9}, Cost: 10},
		}, a)
		a, err = s.Account(t.Context(), "broken")
		require.NoError(t, err)
		require.EqualValues(t, 8_000_000_000_000_000_000, a.Period.Cost)
		h, err := s.Hold(t.Context(), "h1")
		require.NoError(t, err)
		require.Zero(t, h.Owed)
		_, err = s.Violations(t.Context(), 100)
		require.NoError(t, err, "the audit can be computed again")

		exec(oldAccount, "new", 1)
		exec(oldHold, "h2")
		exec(oldKeySpend, 2)
	})
}
