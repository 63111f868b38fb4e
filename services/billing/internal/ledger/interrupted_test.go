package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

const onPurpose = "broken on purpose"

// breaks has each statement fail that changes a row of a table in one way, until repair is called. The transaction of such a statement is undone, as
// when the process is killed there.
func (b *fixture) breaks(change, table string) (repair func()) {
	b.t.Helper()
	if b.db.Dialect() == database.SQLite {
		b.exec("CREATE TRIGGER broken BEFORE " + change + " ON " + table + " BEGIN SELECT RAISE(ABORT, '" + onPurpose + "'); END")
		return func() { b.exec("DROP TRIGGER broken") }
	}
	b.exec("CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '" + onPurpose + "'; END $$")
	b.exec("CREATE TRIGGER broken BEFORE " + change + " ON " + table + " FOR EACH ROW EXECUTE FUNCTION broken()")
	return func() {
		b.exec("DROP TRIGGER broken ON " + table)
		b.exec("DROP FUNCTION broken()")
	}
}

// seen is what readers see of alice: the account, and what was used.
type seen struct {
	account ledger.Account
	rows    []ledger.UsageRow
}

func (b *fixture) seen() seen {
	b.t.Helper()
	rows, _, err := b.Usage(b.t.Context(), ledger.UsageQuery{
		AccountID: alice, From: time.Unix(0, 0), To: b.clock.Now().AddDate(1, 0, 0), By: ledger.ByModel | ledger.ByUser | ledger.ByAPIKey,
	})
	require.NoError(b.t, err)
	return seen{b.account(), rows}
}

// someCalls leaves three calls of user_1 that wait to be folded: two that were settled, of which credit does not pay all, and one that was swept. It returns
// the hold of the latter.
func (b *fixture) someCalls() (swept ledger.Hold) {
	b.t.Helper()
	b.give("credit", 60)
	b.settle(b.hold("r1", 50), 30)
	swept = b.hold("r2", 20)
	b.clock.Add(lease)
	b.sweep(1)
	b.settle(b.hold("r3", 5), 25)
	require.EqualValues(b.t, 3, b.count("SELECT COUNT(*) FROM unfolded_call"))
	return swept
}

// A fold that ends at any of its statements changes nothing, and the next one does its work.
func TestAFoldEndsAtEachStatement(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		late := b.someCalls()
		want := b.seen()
		for _, at := range []struct{ change, table string }{
			{"INSERT", "usage_day"}, {"INSERT", "usage_segment"}, {"INSERT", "entry"}, {"UPDATE", "hold"}, {"DELETE", "unfolded_call"},
		} {
			repair := b.breaks(at.change, at.table)
			_, err := b.Fold(t.Context(), always)
			require.ErrorContains(t, err, onPurpose, "%+v", at)
			require.Equal(t, want, b.seen(), "%+v", at)
			b.sound()
			repair()
			require.EqualValues(t, 3, b.count("SELECT COUNT(*) FROM unfolded_call"), "%+v", at)
			require.Zero(t, b.count("SELECT COUNT(*) FROM usage_segment"), "%+v", at)
		}
		n, err := b.Fold(t.Context(), always)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Equal(t, want, b.seen())
		b.sound()

		// The correction of the swept call, which takes it out of what it was folded into, is as whole.
		for _, at := range []struct{ change, table string }{
			{"UPDATE", "usage_segment"}, {"INSERT", "usage_day"}, {"UPDATE", "hold"}, {"INSERT", "unfolded_call"}, {"INSERT", "entry"}, {"UPDATE", "account"},
		} {
			repair := b.breaks(at.change, at.table)
			_, err := b.Settle(t.Context(), ledger.Settlement{HoldID: late.ID, Usage: ledger.Usage{Input: 12}, Outcome: ledger.OutcomeCompleted})
			require.ErrorContains(t, err, onPurpose, "%+v", at)
			require.Equal(t, want, b.seen(), "%+v", at)
			b.sound()
			repair()
		}
		require.EqualValues(t, 12, b.settle(late, 12).Cost)
		require.Equal(t, want.account.Balance+8, b.account().Balance)
		require.EqualValues(t, 30+12+25, b.usage().Cost)
	})
}

// amidst is a store whose folds stop twice within their transaction: when the daily sums are written, and when the segment is.
type amidst struct {
	*store.Store
	look func()
}

func (s amidst) Fold(ctx context.Context, accountIDs []string, limit int, f ledger.Folding) (int, error) {
	segmentID, entryID := f.SegmentID, f.EntryID
	f.SegmentID = func(at time.Time) string { s.look(); return segmentID(at) }
	f.EntryID = func(at time.Time) string { s.look(); return entryID(at) }
	return s.Store.Fold(ctx, accountIDs, limit, f)
}

// Whoever reads while a fold is under way sees what was there before, each call once, and a sound ledger.
func TestReadersAmidstAFold(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.someCalls()
		want, entries := b.seen(), b.count("SELECT COUNT(*) FROM entry")
		reader, looks := b.replica(), 0
		book := b.over(amidst{b.store, func() {
			looks++
			require.Equal(t, want, b.seen())
			require.Equal(t, entries, b.count("SELECT COUNT(*) FROM entry"))
			require.Zero(t, b.count("SELECT COUNT(*) FROM usage_day"))
			found, err := reader.Audit(t.Context())
			require.NoError(t, err)
			require.Empty(t, found)
		}})
		n, err := book.Fold(t.Context(), always)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Equal(t, 2, looks)
		require.Equal(t, want, b.seen())
		require.Equal(t, entries+1, b.count("SELECT COUNT(*) FROM entry"))
	})
}

// An erasure that ends at any of its statements leaves the sums as they were, also of a call that is corrected meanwhile. The next one finishes it.
func TestAnErasureEndsAtEachStatement(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		late := b.someCalls()
		b.give("more", 1000)
		_, err := b.Fold(t.Context(), always)
		require.NoError(t, err)
		b.settle(b.hold("r4", 1), 2) // waits to be folded
		b.hold("r5", 0)              // is open
		want := b.usage()
		for _, at := range []struct{ change, table string }{
			{"INSERT", "erased_user"}, {"UPDATE", "hold"}, {"UPDATE", "unfolded_call"}, {"UPDATE", "usage_segment"}, {"INSERT", "usage_day"}, {"DELETE", "usage_day"},
		} {
			repair := b.breaks(at.change, at.table)
			require.ErrorContains(t, b.store.EraseUser(t.Context(), "user_1"), onPurpose, "%+v", at)
			require.Equal(t, want, b.usage(), "%+v", at)
			b.sound()
			repair()
			if at.table == "unfolded_call" { // holds name nobody any more, segments and days still do
				b.settle(late, 12)
				want.Cost -= 8
				want.Usage.Input -= 8
				require.Equal(t, want, b.usage())
				b.sound()
			}
		}
		require.NoError(t, b.store.EraseUser(t.Context(), "user_1"))
		for range 2 { // before and after what waits is folded
			require.Equal(t, want, b.usage())
			b.sound()
			for _, table := range []string{"hold", "unfolded_call", "usage_day"} {
				require.Zero(t, b.count("SELECT COUNT(*) FROM "+table+" WHERE user_id = $1", "user_1"), table)
			}
			records, err := b.UsageOfUser(t.Context(), "user_1", "", "", 10)
			require.NoError(t, err)
			require.Empty(t, records)
		}
		records, err := b.UsageOfUser(t.Context(), "", "", "", 10)
		require.NoError(t, err)
		require.Len(t, records, 4, "each call once")
	})
}
