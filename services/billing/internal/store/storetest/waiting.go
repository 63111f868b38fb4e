package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// closeAt closes a new hold of an account at that many seconds after base, and charges nothing to the account.
func closeAt(t *testing.T, s Store, id, account string, cost int64, seconds int) {
	t.Helper()
	h, end := newHold(id, account, 10), newClosing(cost)
	end.SettleTime = base.Add(time.Duration(seconds) * time.Second)
	end.UsageTime = end.SettleTime
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, take(ctx, tx, h))
		h.Used = used
		require.NoError(t, closeHold(ctx, tx, h, end))
	})
}

// waitingCalls: calls that wait to be folded count in every report, are folded in the order of their ends, some at a time, for many
// accounts at once, and keep their holds from being deleted.
func waitingCalls(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	openAccount(t, s, "bee", 1000)
	closeAt(t, s, "a3", "acc", 7, 3)
	closeAt(t, s, "ax", "acc", 5, 1)
	closeAt(t, s, "a2", "acc", 6, 2)
	closeAt(t, s, "b1", "bee", 8, 1)
	closeAt(t, s, "b2", "bee", 9, 4)
	names := 0
	foldTwo := func() int {
		t.Helper()
		name := func(prefix string) func(time.Time) string {
			return func(at time.Time) string { names++; return fmt.Sprintf("%s_%s_%d", prefix, at.Format("05"), names) }
		}
		n, err := s.Fold(t.Context(), []string{"acc", "bee"}, 2, ledger.Folding{SegmentID: name("usage"), EntryID: name("ent")})
		require.NoError(t, err)
		return n
	}
	reported := func(user string) {
		t.Helper()
		reportOfWaiting(t, s, user)
	}
	entries := func(account string) (amounts []string) {
		t.Helper()
		list, err := s.Entries(t.Context(), account, "", 10)
		require.NoError(t, err)
		for _, e := range list {
			require.Equal(t, e.CreateTime.Format("05"), e.ID[len("ent_"):len("ent_05")])
			amounts = append(amounts, fmt.Sprintf("%d until %s", e.Amount, e.CreateTime.Format("05")))
		}
		return amounts
	}
	prune := func() { pruneHolds(t, s, ledger.Retention{Holds: base.Add(time.Hour), Swept: base.Add(time.Hour)}) }
	reported("u")
	prune()
	require.Len(t, keptHolds(t, s, "ax", "a2", "a3", "b1", "b2"), 5)
	require.Equal(t, 2, foldTwo(), "the two of acc that ended first")
	reported("u")
	require.Equal(t, []string{"11 until 02"}, entries("acc"))
	require.Empty(t, entries("bee"))
	prune()
	require.Equal(t, []string{"a3", "b1", "b2"}, keptHolds(t, s, "ax", "a2", "a3", "b1", "b2"), "what waits keeps its hold")
	ids, err := s.AccountsToFold(t.Context(), "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"acc", "bee"}, ids)
	ids, err = s.AccountsToFold(t.Context(), "", 1)
	require.NoError(t, err)
	require.Equal(t, []string{"acc"}, ids)

	require.NoError(t, s.EraseUser(t.Context(), "u"))
	reported("")
	require.Equal(t, 2, foldTwo(), "one of each account")
	reported("")
	require.Equal(t, []string{"7 until 03", "11 until 02"}, entries("acc"))
	require.Equal(t, []string{"8 until 01"}, entries("bee"))
	require.Equal(t, 1, foldTwo())
	reported("")
	require.Equal(t, []string{"9 until 04", "8 until 01"}, entries("bee"))
	require.Zero(t, foldTwo())
	prune()
	require.Empty(t, keptHolds(t, s, "ax", "a2", "a3", "b1", "b2"))
	recordsOfAll(t, s)
}

// reportOfWaiting checks the usage that is reported of waitingCalls, whose user is named or erased, and that other queries find nothing.
func reportOfWaiting(t *testing.T, s Store, user string) {
	t.Helper()
	for account, want := range map[string]ledger.UsageTotal{
		"acc": {Requests: 3, Usage: ledger.Usage{Input: 30, CachedInput: 12, Output: 60, Reasoning: 24}, Cost: 18},
		"bee": {Requests: 2, Usage: ledger.Usage{Input: 20, CachedInput: 8, Output: 40, Reasoning: 16}, Cost: 17},
	} {
		q := ledger.UsageQuery{AccountID: account, From: base, To: base.Add(time.Hour), By: ledger.ByModel | ledger.ByUser | ledger.ByAPIKey}
		rows, err := s.Usage(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, []ledger.UsageRow{{Day: "2026-11-23", Model: "m", UserID: user, APIKeyID: "k", UsageTotal: want}}, rows)
		for _, other := range []ledger.UsageQuery{{Model: "x"}, {UserID: "x"}, {APIKeyID: "x"}, {From: q.From.AddDate(0, 0, 1)}, {To: q.From.AddDate(0, 0, -1)}} {
			other.AccountID = account
			if other.From.IsZero() {
				other.From = q.From.AddDate(0, 0, -2)
			}
			if other.To.IsZero() {
				other.To = q.To.AddDate(0, 0, 2)
			}
			rows, err := s.Usage(t.Context(), other)
			require.NoError(t, err)
			require.Empty(t, rows)
		}
	}
}

// recordsOfAll checks the records in the segments of waitingCalls.
func recordsOfAll(t *testing.T, s Store) {
	t.Helper()
	list, err := s.UsageOfUser(t.Context(), "", "", "", 10)
	require.NoError(t, err)
	got := map[string]ledger.UsageRecord{}
	for _, r := range list {
		got[r.HoldID] = r
		require.Equal(t, used, r.Usage)
		require.Equal(t, "request of "+r.HoldID, r.RequestID)
	}
	require.Len(t, got, 5)
	for id, cost := range map[string]int64{"ax": 5, "a2": 6, "a3": 7, "b1": 8, "b2": 9} {
		require.Equal(t, cost, got[id].Cost, id)
	}
	require.Equal(t, base.Add(3*time.Second), got["a3"].SettleTime)
	require.Equal(t, "bee", got["b1"].AccountID)
}

// damagedCalls: the audit finds calls that wait without a closed hold of theirs, or with another charge.
func damagedCalls(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	rule := "a call that is to be folded has a closed hold of its charge"
	violations := func() bool {
		t.Helper()
		found, err := s.Violations(t.Context(), 100)
		require.NoError(t, err)
		return has(found, rule)
	}
	closeAt(t, s, "h1", "acc", 5, 1)
	h := openHold(t, s, "h2", 10)
	h.Used = used
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.CloseHold(ctx, closed(h, newClosing(4), ledger.StateSwept), ledger.StateOpen))
	})
	require.False(t, violations())
	// What a settlement that forgets to unfold leaves: two rows of one hold.
	later := newClosing(3)
	later.SettleTime = base.Add(9 * time.Second)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.CloseHold(ctx, closed(h, later, ledger.StateSettled), ledger.StateSwept))
	})
	require.True(t, violations())
}
