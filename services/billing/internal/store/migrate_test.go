package store_test

import (
	"context"
	"fmt"
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

const (
	// What the version before migration 4 writes when it closes a hold.
	closedHold = `INSERT INTO hold (id, account_id, request_id, fingerprint, user_id, api_key_id, key_window, model, input_price, cached_input_price, output_price,
		amount, output_tokens, state, create_time, lease_time, used_input_tokens, used_cached_input_tokens, used_output_tokens, used_reasoning_tokens,
		cost, balance_after, paid_by, usage_id, settle_time, owed)
		VALUES ($1, 'acc', $2, 'f', 'user_1', 'k', 0, 'm', 1, 1, 1, 10, 1, $3, $4, $4, 3, 0, 0, 0, 7, 93, 'g=7', $5, $4, 0)`
	oldUsage = `INSERT INTO usage_record (account_id, id, hold_id, day, model, user_id, api_key_id, input_tokens, cached_input_tokens, output_tokens,
		reasoning_tokens, cost, outcome, estimated, provider_request_id, settle_time)
		VALUES ('acc', $1, $2, '2026-11-23', 'm', 'user_1', 'k', 5, 1, 2, 1, 7, 'completed', false, 'p', $3)`
	oldEntry = `INSERT INTO entry (account_id, id, kind, debit, credit, amount, reference, create_time)
		VALUES ('acc', $1, $2, $3, $4, $5, $6, 1)`
)

// A filled database from before migration 4: its calls are in the daily sums, and a process of the old version that still runs
// can close holds, which are folded with their usage records and not charged again.
func TestMigration4(t *testing.T) {
	databasetest.Each(t, until(t, "00001_ledger.sql", "00002_mirror.sql", "00003_exact.sql"), func(t *testing.T, db *database.DB) {
		exec := func(query string, args ...any) {
			t.Helper()
			require.NoError(t, db.Write(t.Context(), "acc", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, query, args...)
				return err
			}))
		}
		start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		end := start.AddDate(0, 1, 0)
		at := start.Add(time.Hour).UnixMicro()
		oldCall := func(name, state string) {
			exec(closedHold, "h "+name, "r "+name, state, at, "usage "+name)
			exec(oldUsage, "usage "+name, "h "+name, at)
			exec(oldEntry, "ent "+name, "usage", "customer:acc", "revenue:usage", 7, "h "+name)
		}
		charged := func(calls int64) {
			exec(`UPDATE account SET balance = 100 - 7 * $1, period_requests = $1, period_input_tokens = 5 * $1, period_cached_input_tokens = $1,
				period_output_tokens = 2 * $1, period_reasoning_tokens = $1, period_cost = 7 * $1`, calls)
			exec("UPDATE credit_grant SET remaining = 100 - 7 * $1", calls)
		}
		exec(`INSERT INTO account (id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time, period_requests,
			period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost)
			VALUES ('acc', 'free', 100, 0, 0, $1, $1, $2, $2, 0, 0, 0, 0, 0, 0)`, start.UnixMicro(), end.UnixMicro())
		exec(`INSERT INTO credit_grant (id, account_id, source, amount, remaining, create_time, expire_time) VALUES ('g', 'acc', 's', 100, 100, 1, $1)`,
			ledger.Never.UnixMicro())
		exec(oldEntry, "ent 0", "grant", "equity:grants", "customer:acc", 100, "g")
		oldCall("a", "settled")
		oldCall("b", "swept")
		exec(closedHold, "unused", "r unused", "settled", at, "")
		exec("UPDATE hold SET cost = 0, paid_by = '' WHERE id = 'unused'")
		exec(oldHold, "open")
		charged(2)
		exec("UPDATE account SET held = 1")

		require.NoError(t, database.Migrate(t.Context(), db, store.Migrations()))
		s := store.New(db)
		sound := func(calls int64) {
			t.Helper()
			found, err := s.Violations(t.Context(), 100)
			require.NoError(t, err)
			require.Empty(t, found)
			rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: start, To: end})
			require.NoError(t, err)
			require.Equal(t, []ledger.UsageRow{{Day: "2026-11-23", Model: "m", UsageTotal: ledger.UsageTotal{
				Requests: calls, Usage: ledger.Usage{Input: 5 * calls, CachedInput: calls, Output: 2 * calls, Reasoning: calls}, Cost: 7 * calls,
			}}}, rows)
			records, err := s.UsageOfUser(t.Context(), "user_1", "", "", 10)
			require.NoError(t, err)
			require.Len(t, records, int(calls))
		}
		sound(2)
		fold := func() (n int) {
			t.Helper()
			n, err := s.Fold(t.Context(), []string{"acc"}, 10, ledger.Folding{SegmentID: func(time.Time) string { return "usage_x" }, EntryID: func(time.Time) string { return "ent x" }})
			require.NoError(t, err)
			return n
		}
		require.Zero(t, fold())

		oldCall("c", "settled") // by a process of the old version
		charged(3)
		s = store.New(db) // it does not remember the account from before
		sound(3)
		require.Equal(t, 1, fold())
		sound(3)

		// A late settlement corrects what the old version swept.
		require.NoError(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
			old, when, err := tx.Unfold(ctx, "h b")
			require.EqualValues(t, 7, old.Cost)
			require.Equal(t, at, when.UnixMicro())
			return err
		}))
		rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: start, To: end})
		require.NoError(t, err)
		require.EqualValues(t, 2, rows[0].Requests)
		exec("DELETE FROM usage_record WHERE id = 'usage a'")
		found, err := s.Violations(t.Context(), 100)
		require.NoError(t, err)
		require.NotEmpty(t, found)
	})
}

// Calls that the version before migration 8 has closed, or closes while it still runs: the hold alone has the record. They are reported,
// folded and corrected like others.
func TestMigration8(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		exec := func(query string, args ...any) {
			t.Helper()
			require.NoError(t, db.Write(t.Context(), "acc", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, query, args...)
				return err
			}))
		}
		start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		at := start.Add(time.Hour).UnixMicro()
		exec(`INSERT INTO account (id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time, period_requests,
			period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost)
			VALUES ('acc', 'free', 79, 0, 0, $1, $1, $2, $2, 3, 9, 0, 0, 0, 21)`, start.UnixMicro(), start.AddDate(0, 1, 0).UnixMicro())
		exec(`INSERT INTO credit_grant (id, account_id, source, amount, remaining, create_time, expire_time) VALUES ('g', 'acc', 's', 100, 79, 1, $1)`,
			ledger.Never.UnixMicro())
		exec(oldEntry, "ent 0", "grant", "equity:grants", "customer:acc", 100, "g")
		for id, state := range map[string]string{"a": "settled", "b": "settled", "c": "swept"} {
			exec(closedHold, id, "r "+id, state, at, "")
			exec("UPDATE hold SET usage_time = settle_time, outcome = 'completed' WHERE id = $1", id)
		}
		exec("UPDATE hold SET fold = 3 WHERE id = 'c'")
		exec(oldEntry, "ent c", "usage", "customer:acc", "revenue:usage", 7, "c")
		s := store.New(db)
		sound := func(calls int64) {
			t.Helper()
			rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: start, To: start.AddDate(0, 0, 1)})
			require.NoError(t, err)
			require.Equal(t, []ledger.UsageRow{{Day: "2026-11-23", Model: "m", UsageTotal: ledger.UsageTotal{
				Requests: calls, Usage: ledger.Usage{Input: 3 * calls}, Cost: 7 * calls,
			}}}, rows)
			found, err := s.Violations(t.Context(), 100)
			require.NoError(t, err)
			if calls == 3 {
				require.Empty(t, found)
			}
		}
		sound(3)
		names := 0
		fold := func(limit int) int {
			t.Helper()
			name := func(time.Time) string { names++; return fmt.Sprint("name ", names) }
			n, err := s.Fold(t.Context(), []string{"acc"}, limit, ledger.Folding{SegmentID: name, EntryID: name})
			require.NoError(t, err)
			return n
		}
		ids, err := s.AccountsToFold(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []string{"acc"}, ids)
		require.Equal(t, 2, fold(2))
		sound(3)
		require.Equal(t, 1, fold(2))
		sound(3)
		require.Zero(t, fold(2))
		entries, err := s.Entries(t.Context(), "acc", "", 10)
		require.NoError(t, err)
		charged := int64(0)
		for _, e := range entries {
			if e.Kind == ledger.KindUsage {
				charged += e.Amount
			}
		}
		require.EqualValues(t, 21, charged, "each call once")

		// One that waits in its hold is corrected: it was in no sum.
		exec(closedHold, "d", "r d", "swept", at, "")
		exec("UPDATE hold SET usage_time = settle_time, fold = 3 WHERE id = 'd'")
		sound(4)
		require.NoError(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
			old, _, err := tx.Unfold(ctx, "d")
			require.EqualValues(t, 7, old.Cost)
			return err
		}))
		sound(4)
	})
}

// A fold takes at most its limit, and each call once, of calls that older versions have closed, with a usage record and an entry of their own or
// without, and of those that wait in rows of their own.
func TestFoldOfOldAndNewCalls(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		exec := func(query string, args ...any) {
			t.Helper()
			require.NoError(t, db.Write(t.Context(), "acc", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, query, args...)
				return err
			}))
		}
		start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		at := start.Add(time.Hour)
		for _, id := range []string{"recorded", "old"} {
			usageID := ""
			if id == "recorded" {
				usageID = "usage recorded"
				exec(oldUsage, usageID, id, at.UnixMicro())
			}
			exec(closedHold, id, "r "+id, "settled", at.UnixMicro(), usageID)
			exec("UPDATE hold SET usage_time = settle_time, outcome = 'completed' WHERE id = $1", id)
		}
		s := store.New(db)
		for _, id := range []string{"new 1", "new 2", "new 3"} {
			h := ledger.Hold{ID: id, AccountID: "acc", RequestID: "r " + id, UserID: "user_1", Model: "m", Amount: 10, State: ledger.StateOpen, CreateTime: start, LeaseTime: at}
			require.NoError(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
				if _, err := tx.InsertHold(ctx, h); err != nil {
					return err
				}
				h.State, h.Used, h.Cost, h.SettleTime, h.UsageTime = ledger.StateSettled, ledger.Usage{Input: 3}, 7, at, at
				return tx.CloseHold(ctx, h, ledger.StateOpen)
			}))
		}
		names := 0
		fold := func(limit int) int {
			t.Helper()
			name := func(time.Time) string { names++; return fmt.Sprint("name ", names) }
			n, err := s.Fold(t.Context(), []string{"acc"}, limit, ledger.Folding{SegmentID: name, EntryID: name})
			require.NoError(t, err)
			return n
		}
		require.Equal(t, 1, fold(1))
		require.Equal(t, 3, fold(3), "old and new ones together")
		require.Equal(t, 1, fold(3))
		require.Zero(t, fold(3))
		charged := int64(0)
		entries, err := s.Entries(t.Context(), "acc", "", 10)
		require.NoError(t, err)
		for _, e := range entries {
			charged += e.Amount
		}
		require.EqualValues(t, 4*7, charged, "the one with a usage record has an entry of its own")
		rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: start, To: start.AddDate(0, 0, 1)})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, ledger.UsageTotal{Requests: 5, Usage: ledger.Usage{Input: 4*3 + 5, CachedInput: 1, Output: 2, Reasoning: 1}, Cost: 5 * 7}, rows[0].UsageTotal)
		records, err := s.UsageOfUser(t.Context(), "user_1", "", "", 10)
		require.NoError(t, err)
		require.Len(t, records, 5, "each call has one record")
	})
}
