package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// settled is a hold of 10 that was charged 5.
func settled(t *testing.T, s Store, id string) ledger.Hold {
	t.Helper()
	h := openHold(t, s, id, 10)
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, charge(ctx, tx, h, 5)) })
	return readHold(t, s, id)
}

// folding: many calls become one entry, and nothing of the account or the holds changes.
func folding(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	openGrant(t, s, "g1", 1000)
	ids, err := s.AccountsToFold(t.Context(), "", 10)
	require.NoError(t, err)
	require.Empty(t, ids)
	first := settled(t, s, "h1")
	settled(t, s, "h2")
	open := openHold(t, s, "h3", 10)
	before := readAccount(t, s, "acc")
	ids, err = s.AccountsToFold(t.Context(), "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"acc"}, ids)
	ids, err = s.AccountsToFold(t.Context(), "acc", 10)
	require.NoError(t, err)
	require.Empty(t, ids)
	require.Equal(t, 2, fold(t, s, "1"))
	require.Zero(t, fold(t, s, "2"), "once")
	require.Equal(t, before, readAccount(t, s, "acc"))
	require.Equal(t, first, readHold(t, s, "h1"), "a repetition gets the same answer")
	require.Equal(t, open, readHold(t, s, "h3"))
	list, err := s.Entries(t.Context(), "acc", "", 10)
	require.NoError(t, err)
	require.Equal(t, []ledger.Entry{{
		ID: "ent_1", AccountID: "acc", Kind: "usage", Debit: "customer:acc", Credit: "revenue:usage", Amount: 10, Reference: "usage_1",
		CreateTime: base.Add(time.Second),
	}}, list)

	// What was closed unused, or for nothing, needs no entry.
	unused := openHold(t, s, "h4", 10)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		unused.Used = ledger.Usage{}
		require.NoError(t, closeHold(ctx, tx, unused, newClosing(0)))
	})
	require.Equal(t, 1, fold(t, s, "3"))
	list, err = s.Entries(t.Context(), "acc", "", 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// corrections: the usage of a swept call is replaced, whether or not it is folded.
func corrections(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	sum := func() ledger.UsageTotal {
		t.Helper()
		var total ledger.UsageTotal
		rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour)})
		require.NoError(t, err)
		for _, r := range rows {
			total.Add(r.UsageTotal)
		}
		return total
	}
	records := func() (costs []int64) {
		t.Helper()
		list, err := s.UsageOfUser(t.Context(), "u", "", "", 10)
		require.NoError(t, err)
		for _, r := range list {
			costs = append(costs, r.Cost)
		}
		return costs
	}
	for name, early := range map[string]bool{"folded": true, "not folded": false} {
		h := openHold(t, s, name, 10)
		before := sum()
		h.Used = used
		swept := closed(h, newClosing(7), ledger.StateSwept)
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			require.NoError(t, tx.CloseHold(ctx, swept, ledger.StateOpen))
		})
		if early {
			require.Equal(t, 1, fold(t, s, "early "+name))
			require.Contains(t, records(), int64(7))
		}
		corrected := closed(h, newClosing(3), ledger.StateSettled)
		corrected.SettleTime = base.AddDate(0, 0, 1) // the usage stays on the day of the call
		corrected.Used = ledger.Usage{Input: 1}
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			old, at, err := tx.Unfold(ctx, name)
			require.NoError(t, err)
			require.Equal(t, ledger.UsageTotal{Requests: 1, Usage: used, Cost: 7}, old)
			require.Equal(t, base.Add(time.Second), at)
			require.NoError(t, tx.CloseHold(ctx, corrected, ledger.StateSwept))
		})
		want := before
		want.Add(ledger.UsageTotal{Requests: 1, Usage: ledger.Usage{Input: 1}, Cost: 3})
		require.Equal(t, want, sum(), name)
		require.Equal(t, 1, fold(t, s, "late "+name))
		require.Equal(t, want, sum(), name)
		require.NotContains(t, records(), int64(7), name)
		require.Contains(t, records(), int64(3), name)
	}
	list, err := s.Entries(t.Context(), "acc", "", 10)
	require.NoError(t, err)
	require.Empty(t, list, "the charge of a swept call has entries of its own")
}

// pruneHolds deletes, in small steps, the holds whose time is over.
func pruneHolds(t *testing.T, s Store, r ledger.Retention) {
	t.Helper()
	for after := ""; ; {
		next, err := s.PruneHolds(t.Context(), after, r, 2)
		require.NoError(t, err)
		if after = next; next == "" {
			return
		}
	}
}

// keptHolds returns which of the holds still exist.
func keptHolds(t *testing.T, s Store, ids ...string) (kept []string) {
	t.Helper()
	for _, id := range ids {
		if _, err := s.Hold(t.Context(), id); err == nil {
			kept = append(kept, id)
		}
	}
	return kept
}

// pruning: folded holds go when their time is over; what their keys spent is remembered, and so are the sums.
func pruning(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	openGrant(t, s, "g1", 1000)
	for _, id := range []string{"h1", "h2", "h3"} {
		settled(t, s, id)
	}
	swept := openHold(t, s, "swept", 10)
	swept = closed(swept, newClosing(4), ledger.StateSwept)
	owing := openHold(t, s, "owing", 10)
	end := newClosing(4)
	end.Owed = 1
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.CloseHold(ctx, swept, ledger.StateOpen))
		require.NoError(t, closeHold(ctx, tx, owing, end))
	})
	settleTime := base.Add(time.Second)
	prune := func(r ledger.Retention) {
		t.Helper()
		pruneHolds(t, s, r)
	}
	kept := func() []string {
		t.Helper()
		return keptHolds(t, s, "h1", "h2", "h3", "swept", "owing", "open")
	}
	window := ledger.Window{Period: 24 * time.Hour, Start: midnight(base), End: midnight(base).Add(24 * time.Hour)}
	spent := func(w ledger.Window) ledger.Spend {
		t.Helper()
		return spendWindow(t, s, ledger.KeySubject("k"), w, 0)
	}
	openHold(t, s, "open", 10)
	late := ledger.Retention{Holds: settleTime.Add(time.Microsecond), Swept: settleTime}
	prune(late)
	require.Len(t, kept(), 6, "what is not folded stays")
	require.Equal(t, 5, fold(t, s, "1"))
	prune(ledger.Retention{Holds: settleTime, Swept: settleTime})
	require.Len(t, kept(), 6, "so does what is not old enough")
	prune(late)
	require.Equal(t, []string{"swept", "owing", "open"}, kept())
	require.Equal(t, ledger.Spend{Held: 10, Spent: 23}, spent(window), "of deleted holds too")
	prune(ledger.Retention{Holds: settleTime, Swept: late.Holds})
	require.Equal(t, []string{"owing", "open"}, kept())
	week := ledger.Window{Period: 7 * 24 * time.Hour, Start: window.Start, End: window.Start.AddDate(0, 0, 7)}
	require.Equal(t, ledger.Spend{Held: 10, Spent: 23}, spent(week))
	require.Equal(t, ledger.Spend{Held: 10, Spent: 23}, spendWindow(t, s, ledger.MemberSubject("u"), week, 0))
	rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour)})
	require.NoError(t, err)
	require.EqualValues(t, 5, rows[0].Requests)

	records := func() int {
		t.Helper()
		list, err := s.UsageOfUser(t.Context(), "u", "", "", 10)
		require.NoError(t, err)
		return len(list)
	}
	require.Equal(t, 5, records())
	n, err := s.PruneRecords(t.Context(), ledger.Retention{Records: settleTime, KeyDays: window.Start}, 10)
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = s.PruneRecords(t.Context(), ledger.Retention{KeyDays: window.Start}, 10)
	require.NoError(t, err)
	require.Equal(t, 5, records(), "no retention keeps them forever")
	n, err = s.PruneRecords(t.Context(), ledger.Retention{Records: late.Holds, KeyDays: window.Start}, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Zero(t, records())
	rows, err = s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour)})
	require.NoError(t, err)
	require.EqualValues(t, 5, rows[0].Requests, "the sums stay")
}
