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
		"one too much":   func(h *ledger.Hold) { h.Amount = 71 },
		"exactly due":    func(h *ledger.Hold) { h.CreateTime = base.Add(time.Hour) },
		"past due":       func(h *ledger.Hold) { h.CreateTime = base.Add(2 * time.Hour) },
		"nobody's":       func(h *ledger.Hold) { h.AccountID = "bee" },
		"beyond measure": func(h *ledger.Hold) { h.Amount = ledger.MaxAmount },
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
	h.KeyWindow = base
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
	found, err := s.ExpiredHolds(t.Context(), base.Add(time.Minute-time.Microsecond), 10)
	require.NoError(t, err)
	require.Empty(t, found)
	found, err = s.ExpiredHolds(t.Context(), base.Add(time.Minute), 10)
	require.NoError(t, err)
	require.Equal(t, []ledger.Hold{h}, found)
	found, err = s.ExpiredHolds(t.Context(), base.Add(time.Hour), 1)
	require.NoError(t, err)
	require.Len(t, found, 1)
}

func keys(t *testing.T, s Store) {
	spend := func(window time.Time) (k ledger.KeySpend) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			var err error
			k, err = tx.KeySpend(ctx, "acc", "key", window)
			require.NoError(t, err)
		})
		return k
	}
	add := func(account, key string, window time.Time, more ledger.KeySpend) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			require.NoError(t, tx.AddKeySpend(ctx, account, key, window, more))
		})
	}
	require.Zero(t, spend(base))
	add("acc", "key", base, ledger.KeySpend{Held: 7, Spent: 3})
	add("acc", "key", base, ledger.KeySpend{Held: -2, Spent: 4})
	add("acc", "other", base, ledger.KeySpend{Held: 100})
	add("bee", "key", base, ledger.KeySpend{Held: 100})
	require.Equal(t, ledger.KeySpend{Held: 5, Spent: 7}, spend(base))
	next := base.Add(time.Hour)
	require.Zero(t, spend(next))
	require.Equal(t, ledger.KeySpend{Held: 5, Spent: 7}, spend(base), "kept while something is held")
	add("acc", "key", base, ledger.KeySpend{Held: -5, Spent: 5})
	require.Zero(t, spend(next.Add(time.Hour)))
	add("acc", "key", base, ledger.KeySpend{Spent: 1})
	require.Zero(t, spend(base), "forgotten")
}
