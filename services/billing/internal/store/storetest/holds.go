package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func holding(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		plan, taken, err := tx.TakeHold(ctx, newHold("h1", "acc", 69))
		require.NoError(t, err)
		require.Equal(t, ledger.TakenNow, taken)
		require.Equal(t, "free", plan)
	})
	require.EqualValues(t, 69, readAccount(t, s, "acc").Held)
	require.Equal(t, newHold("h1", "acc", 69), readHold(t, s, "h1"))
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, taken, err := tx.TakeHold(ctx, newHold("h1", "acc", 1))
		require.NoError(t, err)
		require.Equal(t, ledger.TakenBefore, taken)
		a, err := tx.LockAccount(ctx, "acc")
		require.NoError(t, err)
		require.EqualValues(t, 69, a.Held, "within the transaction too")
	})
	require.EqualValues(t, 69, readAccount(t, s, "acc").Held)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, taken, err := tx.TakeHold(ctx, newHold("h2", "acc", 2))
		require.NoError(t, err)
		require.Equal(t, ledger.TakenNot, taken, "what is held is not there twice")
	})
	openHold(t, s, "h2", "acc", 1) // exactly what is left
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		h := newHold("h3", "acc", 0)
		_, taken, err := tx.TakeHold(ctx, h)
		require.NoError(t, err)
		require.Equal(t, ledger.TakenNow, taken)
		require.NoError(t, tx.DropHold(ctx, h))
	})
	_, err := s.Hold(t.Context(), "h3")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	require.EqualValues(t, 70, readAccount(t, s, "acc").Held)
}

func notHeld(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	for name, change := range map[string]func(*ledger.Hold){
		"one too much":      func(h *ledger.Hold) { h.Amount = 71 },
		"exactly due":       func(h *ledger.Hold) { h.CreateTime = base.Add(time.Hour) },
		"before the period": func(h *ledger.Hold) { h.CreateTime = base.Add(-time.Microsecond) },
		"past due":          func(h *ledger.Hold) { h.CreateTime = base.Add(2 * time.Hour) },
		"nobody's":          func(h *ledger.Hold) { h.AccountID = "bee" },
		"beyond measure":    func(h *ledger.Hold) { h.Amount = ledger.MaxAmount },
	} {
		h := newHold("h1", "acc", 70)
		change(&h)
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			_, taken, err := tx.TakeHold(ctx, h)
			require.NoError(t, err, name)
			require.Equal(t, ledger.TakenNot, taken, name)
		})
		require.Zero(t, readAccount(t, s, "acc").Held, name)
		_, err := s.Hold(t.Context(), "h1")
		require.ErrorIs(t, err, ledger.ErrNotFound, name)
	}
	h := newHold("h1", "acc", 70)
	h.CreateTime = base.Add(time.Hour - time.Microsecond)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, taken, err := tx.TakeHold(ctx, h)
		require.NoError(t, err)
		require.Equal(t, ledger.TakenNow, taken, "just before it is due")
	})
}

func holds(t *testing.T, s Store) {
	h := newHold("h1", "acc", 7)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, err := tx.Hold(ctx, "h1")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		inserted, err := tx.InsertHold(ctx, h)
		require.NoError(t, err)
		require.True(t, inserted)
		inserted, err = tx.InsertHold(ctx, h)
		require.NoError(t, err)
		require.False(t, inserted)
		got, err := tx.Hold(ctx, "h1")
		require.NoError(t, err)
		require.Equal(t, h, got)

		for i, at := range []time.Duration{0, time.Second, 2 * time.Second} {
			other := newHold("other"+string(rune('a'+i)), "acc", 10)
			other.CreateTime = base.Add(at)
			_, err := tx.InsertHold(ctx, other)
			require.NoError(t, err)
		}
		_, err = tx.InsertHold(ctx, newHold("bees", "bee", 1000))
		require.NoError(t, err)
		sum, err := tx.HeldBefore(ctx, "acc", base)
		require.NoError(t, err)
		require.Zero(t, sum)
		sum, err = tx.HeldBefore(ctx, "acc", base.Add(2*time.Second))
		require.NoError(t, err)
		require.EqualValues(t, 27, sum)
		require.NoError(t, tx.CloseHold(ctx, h, ledger.Closing{}, false))
		sum, err = tx.HeldBefore(ctx, "acc", base.Add(time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 30, sum, "only open ones")
	})
}

func checkpoints(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	h := openHold(t, s, "h1", "acc", 7)
	until, err := s.Checkpoint(t.Context(), "h1", ledger.Usage{Input: 4, CachedInput: 2, Output: 5, Reasoning: 3}, base.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, base.Add(time.Hour), until)
	got := readHold(t, s, "h1")
	require.Equal(t, ledger.Usage{Input: 5, CachedInput: 2, Output: 6, Reasoning: 3}, got.Used)
	require.Equal(t, until, got.LeaseTime)
	until, err = s.Checkpoint(t.Context(), "h1", ledger.Usage{Input: 50, CachedInput: 1, Output: 60, Reasoning: 1}, base)
	require.NoError(t, err)
	require.Equal(t, base.Add(time.Hour), until)
	require.Equal(t, ledger.Usage{Input: 50, CachedInput: 2, Output: 60, Reasoning: 3}, readHold(t, s, "h1").Used)

	_, err = s.Checkpoint(t.Context(), "h2", ledger.Usage{}, base)
	require.ErrorIs(t, err, ledger.ErrNotFound)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.CloseHold(ctx, h, ledger.Closing{}, false))
	})
	_, err = s.Checkpoint(t.Context(), "h1", ledger.Usage{}, base)
	require.ErrorIs(t, err, ledger.ErrNotFound)
}

func closing(t *testing.T, s Store) {
	openAccount(t, s, "acc", 100)
	end := ledger.Closing{
		Cost: 5, BalanceAfter: -7, PaidBy: []ledger.Burn{{GrantID: "g1", Amount: 2}, {GrantID: "g2", Amount: 3}}, UsageID: "usage_1",
		SettleTime: base.Add(time.Second),
	}
	lost := func(h ledger.Hold, sweep bool) {
		t.Helper()
		err := s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error { return tx.CloseHold(ctx, h, end, sweep) })
		require.ErrorIs(t, err, ledger.ErrLost)
	}
	h := openHold(t, s, "h1", "acc", 7)
	lost(newHold("none", "acc", 7), false)
	for _, change := range []func(*ledger.Hold){
		func(h *ledger.Hold) { h.LeaseTime = base },
		func(h *ledger.Hold) { h.Used.Input++ },
		func(h *ledger.Hold) { h.Used.CachedInput++ },
		func(h *ledger.Hold) { h.Used.Output++ },
		func(h *ledger.Hold) { h.Used.Reasoning++ },
	} {
		changed := h
		change(&changed)
		lost(changed, true)
	}
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, tx.CloseHold(ctx, h, end, true)) })
	swept := h
	swept.State, swept.Closing = ledger.StateSwept, end
	require.Equal(t, swept, readHold(t, s, "h1"))
	lost(h, true)
	lost(h, false)

	end.Cost = 6
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, tx.CloseHold(ctx, swept, end, false)) })
	settled := h
	settled.State, settled.Closing = ledger.StateSettled, end
	require.Equal(t, settled, readHold(t, s, "h1"))
	lost(swept, false)
	lost(h, false)
}

func expiredHolds(t *testing.T, s Store) {
	openAccount(t, s, "acc", 100)
	h := openHold(t, s, "h1", "acc", 7)
	openHold(t, s, "h2", "acc", 7)
	closed := openHold(t, s, "h3", "acc", 7)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.CloseHold(ctx, closed, ledger.Closing{}, false))
	})
	_, err := s.Checkpoint(t.Context(), "h2", ledger.Usage{}, base.Add(time.Hour))
	require.NoError(t, err)
	expired := func(at time.Time, after ledger.Hold, limit int) []ledger.Hold {
		t.Helper()
		found, err := s.ExpiredHolds(t.Context(), at, after, limit)
		require.NoError(t, err)
		return found
	}
	require.Empty(t, expired(base.Add(time.Minute-time.Microsecond), ledger.Hold{}, 10))
	require.Equal(t, []ledger.Hold{h}, expired(base.Add(time.Minute), ledger.Hold{}, 10))

	// By lease, then by id, and on from any of them.
	early, same := newHold("h9", "acc", 7), newHold("h0", "bee", 7)
	early.LeaseTime = base
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		for _, h := range []ledger.Hold{early, same} {
			_, err := tx.InsertHold(ctx, h)
			require.NoError(t, err)
		}
	})
	late := readHold(t, s, "h2")
	at := base.Add(time.Hour)
	require.Equal(t, []ledger.Hold{early, same, h, late}, expired(at, ledger.Hold{}, 10))
	require.Equal(t, []ledger.Hold{early, same}, expired(at, ledger.Hold{}, 2))
	require.Equal(t, []ledger.Hold{h, late}, expired(at, same, 10))
	require.Empty(t, expired(at, late, 10))
}

// keys: a window is summed up from the holds that were made in it, and then follows every hold that is made in it.
func keys(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1_000_000)
	openGrant(t, s, "g1", "acc", 1_000_000, ledger.Never)
	hour := ledger.Window{Period: time.Hour, Start: base.Truncate(time.Hour), End: base.Truncate(time.Hour).Add(time.Hour)}
	month := ledger.Window{Start: hour.Start, End: hour.Start.AddDate(0, 1, 0)} // begins at the same moment
	next := ledger.Window{Period: time.Hour, Start: hour.End, End: hour.End.Add(time.Hour)}
	spend := func(w ledger.Window) (k ledger.KeySpend) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			_, err := tx.LockAccount(ctx, "acc")
			require.NoError(t, err)
			k, err = tx.KeyWindow(ctx, "acc", "k", w)
			require.NoError(t, err)
		})
		return k
	}
	made := func(id, key string, amount int64, at time.Time) ledger.Hold {
		t.Helper()
		h := newHold(id, "acc", amount)
		h.APIKeyID, h.CreateTime = key, at
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			a, err := tx.LockAccount(ctx, "acc")
			require.NoError(t, err)
			a.PeriodStart, a.Due = base.AddDate(-1, 0, 0), base.AddDate(1, 0, 0)
			require.NoError(t, tx.SaveAccount(ctx, a))
			_, taken, err := tx.TakeHold(ctx, h)
			require.NoError(t, err)
			require.Equal(t, ledger.TakenNow, taken)
		})
		return h
	}
	settle := func(h ledger.Hold, cost int64) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			_, ok, err := tx.ChargeHold(ctx, newCharge(h, cost))
			require.NoError(t, err)
			require.True(t, ok)
		})
	}
	before := made("h1", "k", 10, hour.Start.Add(-time.Microsecond))
	first := made("h2", "k", 20, hour.Start)
	settle(made("h3", "k", 40, hour.End.Add(-time.Microsecond)), 7)
	made("h4", "k", 80, hour.End)
	made("h5", "other", 160, base)
	made("h6", "", 320, base)
	require.Equal(t, ledger.KeySpend{Held: 20, Spent: 7}, spend(hour), "what was made before anybody asked for the window")
	require.Equal(t, ledger.KeySpend{Held: 100, Spent: 7}, spend(month))

	made("h7", "k", 1, base)
	require.Equal(t, ledger.KeySpend{Held: 21, Spent: 7}, spend(hour))
	require.Equal(t, ledger.KeySpend{Held: 101, Spent: 7}, spend(month), "windows of both limits count it")
	settle(first, 15)
	settle(before, 3)
	require.Equal(t, ledger.KeySpend{Held: 1, Spent: 22}, spend(hour))
	require.Equal(t, ledger.KeySpend{Held: 81, Spent: 22}, spend(month))
	require.Equal(t, ledger.KeySpend{Held: 80}, spend(next))

	h := made("h8", "k", 5, base)
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, tx.DropHold(ctx, h)) })
	require.Equal(t, ledger.KeySpend{Held: 1, Spent: 22}, spend(hour), "a hold that is dropped counts no more")
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.AddKeySpend(ctx, h, ledger.KeySpend{Spent: 8_000_000_000_000_000_000}))
	})
	require.EqualValues(t, 8_000_000_000_000_000_000, spend(hour).Spent, "it stops at its bound")

	prune := func(ended time.Time, limit int) int {
		t.Helper()
		n, err := s.PruneKeyWindows(t.Context(), ended, limit)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, prune(hour.End.Add(-time.Microsecond), 10))
	require.Equal(t, 1, prune(next.End, 1), "the oldest first")
	require.Equal(t, ledger.KeySpend{Held: 1, Spent: 22}, spend(hour), "what is gone is summed up again")
	require.Equal(t, 2, prune(next.End, 10))
	require.Zero(t, prune(next.End, 10))
}

// debts: holds in debt are found oldest first, and paid.
func debts(t *testing.T, s Store) {
	openAccount(t, s, "acc", 100)
	owe := func(id string, owed int64, at time.Time) {
		t.Helper()
		h := openHold(t, s, id, "acc", 10)
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			require.NoError(t, tx.CloseHold(ctx, h, ledger.Closing{Cost: 10, Owed: owed, SettleTime: at}, id == "h2"))
		})
	}
	owe("h1", 0, base)
	owe("h2", 7, base.Add(time.Second))
	owe("h3", 5, base)
	owe("h4", 1, base.Add(time.Second))
	read := func() (debts []ledger.HoldDebt) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			var err error
			debts, err = tx.HoldsInDebt(ctx, "acc")
			require.NoError(t, err)
			none, err := tx.HoldsInDebt(ctx, "bee")
			require.NoError(t, err)
			require.Empty(t, none)
		})
		return debts
	}
	require.Equal(t, []ledger.HoldDebt{{HoldID: "h3", Owed: 5}, {HoldID: "h2", Owed: 7}, {HoldID: "h4", Owed: 1}}, read())
	stale := readHold(t, s, "h2")
	paid := []ledger.Burn{{GrantID: "g1", Amount: 3}, {GrantID: "g2", Amount: 1}}
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.PayHold(ctx, ledger.HoldDebt{HoldID: "h2", Owed: 3, PaidBy: paid}))
		require.NoError(t, tx.PayHold(ctx, ledger.HoldDebt{HoldID: "h3", PaidBy: paid}))
	})
	require.Equal(t, []ledger.HoldDebt{{HoldID: "h2", Owed: 3, PaidBy: paid}, {HoldID: "h4", Owed: 1}}, read())
	require.Equal(t, paid, readHold(t, s, "h3").PaidBy)
	err := s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		return tx.CloseHold(ctx, stale, ledger.Closing{}, false)
	})
	require.ErrorIs(t, err, ledger.ErrLost, "it was paid since it was read")
}
