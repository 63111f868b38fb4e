package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// owes makes a call that is swept at more than its hold, so that it leaves debt.
func (b *fixture) owes(request string, hold, used int64) ledger.Hold {
	b.t.Helper()
	h := b.hold(request, hold)
	_, err := b.Checkpoint(b.t.Context(), h.ID, ledger.Usage{Input: used}, 0)
	require.NoError(b.t, err)
	b.clock.Add(lease)
	b.sweep(1)
	return h
}

// Credit that expires does not become credit without end by paying debt that is given back, as it did in kortix-ai/suna#5869.
func TestReturnedCreditExpiresWithTheGrantThatPaid(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 100)
		h := b.owes("r1", 100, 300)
		require.EqualValues(t, 200, b.account().Debt)
		b.give("promo", 200, b.clock.Now().Add(time.Hour))
		require.Zero(t, b.account().Debt)
		require.Equal(t, map[string]int64{"gift": 0, "promo": 0}, b.remaining())
		require.EqualValues(t, 200, b.settle(h, 100).BalanceAfter)
		require.Equal(t, map[string]int64{"gift": 0, "promo": 200}, b.remaining())
		b.clock.Add(2 * time.Hour)
		require.Zero(t, b.account().Balance)
		require.Equal(t, map[string]int64{"gift": 0, "promo": 0}, b.remaining())
	})
}

// The same when the grant is over before the correction comes.
func TestReturnedCreditOfAGrantThatIsOver(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 100)
		h := b.owes("r1", 100, 300)
		b.give("promo", 250, b.clock.Now().Add(time.Hour))
		b.clock.Add(2 * time.Hour)
		require.EqualValues(t, 0, b.account().Balance)
		b.settle(h, 0)
		require.Equal(t, map[string]int64{"gift": 100, "promo": 0}, b.remaining())
		require.EqualValues(t, 100, b.account().Balance)
	})
}

// The plan's credit of the next period pays the debt, and is lost with that period.
func TestReturnedCreditOfAPlan(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.owes("r1", 1000, 1400)
		b.clock.Set(b.account().PeriodEnd)
		require.EqualValues(t, 600, b.account().Balance)
		require.EqualValues(t, 1000, b.settle(h, 1000).BalanceAfter)
		require.Equal(t, map[string]int64{"plan:monthly:2026-11-23": 0, "plan:monthly:2026-12-23": 1000}, b.remaining())
		b.clock.Set(b.account().PeriodEnd)
		require.EqualValues(t, 1000, b.account().Balance, "only the new period's")
	})
}

// Debt of several calls is paid oldest first, and each gives back to the grants that paid for it, the last first.
func TestEachCallGivesBackToItsOwnGrants(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("first", 10)
		older := b.hold("r1", 5)
		younger := b.hold("r2", 5)
		for h, used := range map[string]int64{older.ID: 25, younger.ID: 35} {
			_, err := b.Checkpoint(t.Context(), h, ledger.Usage{Input: used}, 0)
			require.NoError(t, err)
		}
		b.exec("UPDATE hold SET lease_time = lease_time - 1 WHERE id = $1", older.ID)
		b.clock.Add(lease - time.Microsecond)
		b.sweep(1)
		b.clock.Add(time.Microsecond)
		b.sweep(1)
		require.EqualValues(t, 50, b.account().Debt)
		b.give("a", 8, b.clock.Now().Add(time.Hour))
		b.give("b", 20, b.clock.Now().Add(2*time.Hour))
		b.give("c", 12)
		require.EqualValues(t, 10, b.account().Debt)
		require.Equal(t, []ledger.Burn{{GrantID: b.grant("first"), Amount: 10}, {GrantID: b.grant("a"), Amount: 8}, {GrantID: b.grant("b"), Amount: 7}},
			b.read(older).PaidBy)
		require.Equal(t, []ledger.Burn{{GrantID: b.grant("b"), Amount: 13}, {GrantID: b.grant("c"), Amount: 12}}, b.read(younger).PaidBy)
		require.EqualValues(t, 10, b.read(younger).Owed)

		b.settle(older, 15) // gives 10 back, which the younger call's debt needs
		require.Equal(t, map[string]int64{"first": 0, "a": 0, "b": 0, "c": 0}, b.remaining())
		require.Zero(t, b.account().Debt)
		require.Zero(t, b.read(younger).Owed)
		b.settle(younger, 0)
		require.Equal(t, map[string]int64{"first": 0, "a": 3, "b": 20, "c": 12}, b.remaining())
		require.EqualValues(t, 35, b.account().Balance)
	})
}

// What comes back pays the debt of another call at once, from the grant that it came back to.
func TestReturnedCreditPaysTheDebtOfAnotherCall(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("all", 100)
		first := b.hold("r1", 90)
		second := b.hold("r2", 10)
		b.clock.Add(lease)
		b.sweep(2)
		require.Zero(t, b.account().Balance)
		b.settle(second, 70) // 60 more than was swept, and nothing is left
		require.EqualValues(t, 60, b.account().Debt)
		require.EqualValues(t, 60, b.read(second).Owed)
		require.EqualValues(t, -20, b.settle(first, 50).BalanceAfter)
		require.EqualValues(t, 20, b.account().Debt)
		require.Equal(t, map[string]int64{"all": 0}, b.remaining(), "there is no good credit beside debt")
		require.Equal(t, []ledger.Burn{{GrantID: b.grant("all"), Amount: 10}, {GrantID: b.grant("all"), Amount: 40}}, b.read(second).PaidBy)
		require.EqualValues(t, 20, b.read(second).Owed)
	})
}

// A late settlement above the sweeper's charge is paid by credit that was good when the call was made, though other credit burns sooner.
func TestALateChargeIsPaidByCreditOfItsTime(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("short", 100, b.clock.Now().Add(90*time.Second))
		b.give("long", 100)
		h, keeps := b.hold("r1", 10), b.hold("r2", 90)
		b.clock.Add(lease)
		_, err := b.Checkpoint(t.Context(), keeps.ID, ledger.Usage{}, 0)
		require.NoError(t, err)
		b.sweep(1)
		require.Equal(t, map[string]int64{"short": 90, "long": 100}, b.remaining())
		b.clock.Add(time.Minute) // "short" is over, and stays for the other call of its time
		require.EqualValues(t, 190, b.account().Balance)
		b.settle(h, 40)
		require.Equal(t, map[string]int64{"short": 60, "long": 100}, b.remaining())
	})
}

// A correction of nothing changes nothing: the debt stays where it was.
func TestACorrectionOfNothingKeepsTheDebt(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 100)
		h := b.owes("r1", 100, 150)
		b.settle(h, 150)
		require.EqualValues(t, 50, b.account().Debt)
		require.EqualValues(t, 50, b.read(h).Owed)
		b.give("more", 60)
		require.Zero(t, b.read(h).Owed)
		require.EqualValues(t, 10, b.account().Balance)
	})
}

// A part of what is owed is forgiven, and the rest is owed on.
func TestACorrectionForgivesPartOfTheDebt(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 100)
		h := b.owes("r1", 100, 150)
		require.EqualValues(t, -20, b.settle(h, 120).BalanceAfter)
		require.EqualValues(t, 20, b.read(h).Owed)
		require.EqualValues(t, 20, b.account().Debt)
		require.Equal(t, map[string]int64{"gift": 0}, b.remaining())
	})
}

// A settlement while the account's new period pays the hold's debt: the hold is read again.
func TestACorrectionAtTheBeginningOfAPeriod(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.owes("r1", 1000, 1200)
		b.clock.Set(b.account().PeriodEnd) // nobody has looked at the account since
		require.EqualValues(t, 1100, b.settle(h, 900).BalanceAfter, "before what went back to the old grant expires")
		require.EqualValues(t, 1000, b.account().Balance)
		require.Equal(t, map[string]int64{"plan:monthly:2026-11-23": 0, "plan:monthly:2026-12-23": 1000}, b.remaining())
	})
}

// Debt from before holds knew what they owe: it is paid first, and what nobody knows the payer of comes back without end.
func TestDebtFromBeforeHoldsKnewIt(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("small", 40)
		h := b.owes("r1", 40, 100)
		b.exec("UPDATE hold SET owed = 0 WHERE id = $1", h.ID)
		b.give("pays", 55)
		require.EqualValues(t, 5, b.account().Debt)
		require.Len(t, b.read(h).PaidBy, 1)
		require.EqualValues(t, 85, b.settle(h, 10).BalanceAfter)
		require.Equal(t, map[string]int64{"small": 30, "pays": 0, "refund:" + h.ID: 55}, b.remaining())
		require.Zero(t, b.account().Debt)
		b.clock.Add(50 * 365 * 24 * time.Hour)
		require.EqualValues(t, 85, b.account().Balance, "what has no grant to go to never expires")
	})
}

func (b *fixture) grant(source string) string {
	b.t.Helper()
	all, err := b.store.Grants(b.t.Context(), alice)
	require.NoError(b.t, err)
	for _, g := range all {
		if g.Source == source {
			return g.ID
		}
	}
	b.t.Fatalf("no grant %q", source)
	return ""
}

func (b *fixture) read(h ledger.Hold) ledger.Hold {
	b.t.Helper()
	stored, err := b.store.Hold(b.t.Context(), h.ID)
	require.NoError(b.t, err)
	return stored
}
