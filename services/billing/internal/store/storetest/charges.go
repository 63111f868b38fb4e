package storetest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// newCharge settles h an instant later.
func newCharge(h ledger.Hold, cost int64) ledger.Charge {
	return ledger.Charge{Hold: h, EntryID: "ent_of_" + h.ID, Record: ledger.UsageRecord{
		ID: ledger.UsageIDFloor(base.Add(time.Second)) + h.ID, HoldID: h.ID, AccountID: h.AccountID, UserID: h.UserID, APIKeyID: h.APIKeyID, Model: h.Model,
		Usage: ledger.Usage{Input: 10, CachedInput: 4, Output: 20, Reasoning: 8}, Cost: cost, Outcome: ledger.OutcomeCompleted,
		Estimated: true, ProviderRequestID: "req_1", SettleTime: base.Add(time.Second),
	}}
}

func charging(t *testing.T, s Store) {
	for _, sweep := range []bool{false, true} {
		id := map[bool]string{false: "acc", true: "bee"}[sweep]
		openAccount(t, s, id, 70)
		openGrant(t, s, "never "+id, id, 50, ledger.Never)
		openGrant(t, s, "first "+id, id, 20, base.Add(2*time.Hour))
		openGrant(t, s, "over "+id, id, 20, base) // not good for a hold made now
		h := openHold(t, s, "h "+id, id, 30)
		c := newCharge(h, 20) // exactly what the first has
		c.Sweep = sweep
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			balance, ok, err := tx.ChargeHold(ctx, c)
			require.NoError(t, err)
			require.True(t, ok)
			require.EqualValues(t, 50, balance)
		})
		a := readAccount(t, s, id)
		require.EqualValues(t, 50, a.Balance)
		require.Zero(t, a.Held)
		require.Equal(t, ledger.UsageTotal{Requests: 1, Usage: c.Record.Usage, Cost: 20}, a.Period)
		require.Equal(t, map[string]int64{"never " + id: 50, "first " + id: 0, "over " + id: 20}, remaining(t, s, id))
		want := h
		want.State = map[bool]ledger.State{false: ledger.StateSettled, true: ledger.StateSwept}[sweep]
		want.Closing = ledger.Closing{
			Cost: 20, BalanceAfter: 50, PaidBy: []ledger.Burn{{GrantID: "first " + id, Amount: 20}}, UsageID: c.Record.ID, SettleTime: c.Record.SettleTime,
		}
		require.Equal(t, want, readHold(t, s, h.ID))
		list, err := s.Entries(t.Context(), id, "", 10)
		require.NoError(t, err)
		require.Equal(t, []ledger.Entry{c.Entry()}, list)
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			r, err := tx.Usage(ctx, id, c.Record.ID)
			require.NoError(t, err)
			require.Equal(t, c.Record, r)
		})
	}
}

// untouched checks that a charge did nothing.
func untouched(t *testing.T, s Store, h ledger.Hold, grants map[string]int64) {
	t.Helper()
	a := readAccount(t, s, h.AccountID)
	require.EqualValues(t, 70, a.Balance)
	require.Equal(t, ledger.UsageTotal{}, a.Period)
	require.Equal(t, grants, remaining(t, s, h.AccountID))
	list, err := s.Entries(t.Context(), h.AccountID, "", 10)
	require.NoError(t, err)
	require.Empty(t, list)
}

func notCharged(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	openGrant(t, s, "g1", "acc", 20, base.Add(3*time.Hour))
	openGrant(t, s, "g2", "acc", 50, ledger.Never)
	h := openHold(t, s, "h1", "acc", 30)
	for name, change := range map[string]func(*ledger.Charge){
		"more than the first grant has": func(c *ledger.Charge) { c.Record.Cost = 21 },
		"exactly due":                   func(c *ledger.Charge) { c.Record.SettleTime = base.Add(time.Hour) },
		"before the period":             func(c *ledger.Charge) { c.Record.SettleTime = base.Add(-time.Microsecond) },
		"nothing, but before the period": func(c *ledger.Charge) {
			c.Record.Cost, c.Record.SettleTime = 0, base.Add(-time.Microsecond)
		},
		"nothing, but due": func(c *ledger.Charge) {
			c.Record.Cost, c.Record.SettleTime = 0, base.Add(time.Hour)
		},
	} {
		for _, sweep := range []bool{false, true} {
			c := newCharge(h, 20)
			c.Sweep = sweep
			change(&c)
			write(t, s, func(ctx context.Context, tx ledger.Tx) {
				_, ok, err := tx.ChargeHold(ctx, c)
				require.NoError(t, err, name)
				require.False(t, ok, name)
			})
			untouched(t, s, h, map[string]int64{"g1": 20, "g2": 50})
			require.Equal(t, h, readHold(t, s, "h1"), name)
		}
	}
	last := newCharge(h, 20)
	last.Record.SettleTime = base.Add(time.Hour - time.Microsecond)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, ok, err := tx.ChargeHold(ctx, last)
		require.NoError(t, err)
		require.True(t, ok, "just before it is due")
	})
}

// chargingLost: the hold is not as it was read, whether or not other holds leave something held.
func chargingLost(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	openGrant(t, s, "g1", "acc", 70, ledger.Never)
	h := openHold(t, s, "h1", "acc", 30)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, tx.CloseHold(ctx, h, ledger.Closing{}, false))
		a, err := tx.LockAccount(ctx, "acc")
		require.NoError(t, err)
		a.Held = 0
		require.NoError(t, tx.SaveAccount(ctx, a))
	})
	lost := func(c ledger.Charge) {
		t.Helper()
		err := s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
			_, ok, err := tx.ChargeHold(ctx, c)
			require.False(t, ok)
			return err // "not the common case" is as good, if nothing was done: the careful way finds out
		})
		if err != nil {
			require.ErrorIs(t, err, ledger.ErrLost)
		}
		untouched(t, s, h, map[string]int64{"g1": 70})
	}
	both := func() {
		t.Helper()
		lost(newCharge(h, 20))
		lost(newCharge(h, 0))
		swept := newCharge(h, 20)
		swept.Sweep = true
		lost(swept)
	}
	both()
	other := openHold(t, s, "h2", "acc", 60)
	both()
	changed := newCharge(other, 20)
	changed.Sweep = true
	changed.Hold.Used.Input--
	lost(changed)
	require.Equal(t, other, readHold(t, s, "h2"))
}

// chargingOne: the smallest charge is one.
func chargingOne(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	openGrant(t, s, "g1", "acc", 70, ledger.Never)
	for i, sweep := range []bool{false, true} {
		h := openHold(t, s, "h"+strconv.Itoa(i), "acc", 1)
		c := newCharge(h, 1)
		c.Sweep = sweep
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			balance, ok, err := tx.ChargeHold(ctx, c)
			require.NoError(t, err)
			require.True(t, ok)
			require.EqualValues(t, 69-i, balance)
		})
		require.Equal(t, map[string]int64{"g1": int64(69 - i)}, remaining(t, s, "acc"))
	}
	list, err := s.Entries(t.Context(), "acc", "", 10)
	require.NoError(t, err)
	require.Len(t, list, 2)
}

// chargingTheNext: a grant that is spent is passed over, one with a single nano-dollar is not.
func chargingTheNext(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	openGrant(t, s, "g1", "acc", 1, base.Add(2*time.Hour))
	openGrant(t, s, "g2", "acc", 69, ledger.Never)
	charge := func(id string, cost int64, at time.Time) bool {
		t.Helper()
		c := newCharge(openHold(t, s, id, "acc", 1), cost)
		c.Record.SettleTime = at
		var ok bool
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			var err error
			_, ok, err = tx.ChargeHold(ctx, c)
			require.NoError(t, err)
		})
		return ok
	}
	require.False(t, charge("h1", 2, base), "the first does not cover it alone")
	require.True(t, charge("h2", 1, base), "at the very beginning of the period")
	require.Equal(t, map[string]int64{"g1": 0, "g2": 69}, remaining(t, s, "acc"))
	require.True(t, charge("h3", 2, base))
	require.Equal(t, map[string]int64{"g1": 0, "g2": 67}, remaining(t, s, "acc"))
}

func chargingNothing(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	free := openHold(t, s, "free", "acc", 30)
	c := newCharge(free, 0)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		balance, ok, err := tx.ChargeHold(ctx, c)
		require.NoError(t, err)
		require.True(t, ok)
		require.EqualValues(t, 70, balance)
	})
	require.EqualValues(t, 1, readAccount(t, s, "acc").Period.Requests)
	unused := openHold(t, s, "unused", "acc", 30)
	c = newCharge(unused, 0)
	c.Record.Usage, c.Record.ID = ledger.Usage{}, ""
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, ok, err := tx.ChargeHold(ctx, c)
		require.NoError(t, err)
		require.True(t, ok)
	})
	a := readAccount(t, s, "acc")
	require.Zero(t, a.Held)
	require.EqualValues(t, 1, a.Period.Requests)
	require.Equal(t, ledger.StateSettled, readHold(t, s, "unused").State)
	list, err := s.Entries(t.Context(), "acc", "", 10)
	require.NoError(t, err)
	require.Empty(t, list, "no movement of nothing")
	rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour)})
	require.NoError(t, err)
	require.Len(t, rows, 1)
}
