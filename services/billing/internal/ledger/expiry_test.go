package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func TestANewAccountGetsItsPlansCredit(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		a := b.account()
		require.Equal(t, "monthly", a.Plan)
		require.EqualValues(t, 1000, a.Balance)
		require.Equal(t, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), a.PeriodStart)
		require.Equal(t, time.Date(2026, 12, 23, 0, 0, 0, 0, time.UTC), a.PeriodEnd)
		require.Equal(t, b.clock.Now(), a.CreateTime)
		require.Equal(t, a, b.account())
		require.Equal(t, map[string]int64{"plan:monthly:2026-11-23": 1000}, b.remaining())
		plan, err := b.Plan(t.Context(), alice)
		require.NoError(t, err)
		require.Equal(t, "Monthly", plan.Name)
		all, err := b.store.Grants(t.Context(), alice)
		require.NoError(t, err)
		require.Equal(t, a.PeriodEnd, all[0].ExpireTime)
	})
}

// Whoever asks for a plan names no person, whose free credit an opened account would get.
func TestAskingForThePlanOpensNoAccount(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		plan, err := b.Plan(t.Context(), alice)
		require.NoError(t, err)
		require.Equal(t, "Monthly", plan.Name)
		_, err = b.store.Account(t.Context(), alice)
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
}

func TestEachTouchOpensAnAccount(t *testing.T) {
	touches := map[string]func(t *testing.T, b *fixture){
		"Account": func(_ *testing.T, b *fixture) { b.account() },
		"Reserve": func(_ *testing.T, b *fixture) { b.hold("r1", 1) },
		"Grant":   func(_ *testing.T, b *fixture) { b.give("gift", 1) },
	}
	for name, touch := range touches {
		t.Run(name, func(t *testing.T) {
			each(t, "monthly", func(t *testing.T, b *fixture) {
				touch(t, b)
				require.EqualValues(t, 1000, b.remaining()["plan:monthly:2026-11-23"])
			})
		})
	}
}

func TestAPeriodEndsExactlyOnTime(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.settle(b.hold("r1", 300), 300)
		end := b.account().PeriodEnd
		b.clock.Set(end.Add(-time.Microsecond))
		require.EqualValues(t, 700, b.account().Balance)
		require.EqualValues(t, 1, b.account().Period.Requests)
		b.clock.Set(end)
		a := b.account()
		require.EqualValues(t, 1000, a.Balance)
		require.Equal(t, end, a.PeriodStart)
		require.Equal(t, ledger.UsageTotal{}, a.Period)
		require.Equal(t, map[string]int64{"plan:monthly:2026-11-23": 0, "plan:monthly:2026-12-23": 1000}, b.remaining())
		kinds := []string{}
		for _, e := range b.entries() {
			kinds = append(kinds, e.Kind)
		}
		require.Equal(t, []string{"grant", "expiry", "usage", "grant"}, kinds)
		expiry := b.entries()[1]
		require.EqualValues(t, 700, expiry.Amount)
		require.Equal(t, "expired:credit", expiry.Credit)

		// Periods in which nobody came are passed over.
		b.clock.Set(time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC))
		require.Equal(t, time.Date(2027, 5, 23, 0, 0, 0, 0, time.UTC), b.account().PeriodStart)
		require.Equal(t, map[string]int64{"plan:monthly:2026-11-23": 0, "plan:monthly:2026-12-23": 0, "plan:monthly:2027-05-23": 1000}, b.remaining())
	})
}

func TestReserveNeverTakesExpiredCredit(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		expire := b.clock.Now().Add(time.Hour)
		b.give("short", 100, expire)
		b.give("long", 50)
		reserve := func(request string, amount int64) error {
			_, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: request, AccountID: alice, Model: "embed", InputTokens: amount})
			return err
		}
		b.clock.Set(expire)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, reserve("r1", 51))
		require.NoError(t, reserve("r2", 50))
		require.Equal(t, map[string]int64{"short": 0, "long": 50}, b.remaining())
	})
}

// What was held while credit was good may use it, though it expires meanwhile; nothing else may.
func TestHeldCreditOutlivesItsExpiry(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		expire := b.clock.Now().Add(time.Hour)
		b.give("short", 100, expire)
		b.give("long", 50)
		old := b.hold("r1", 60)
		b.clock.Set(expire.Add(time.Second))

		a := b.account()
		require.EqualValues(t, 110, a.Balance, "60 stay for the hold")
		require.EqualValues(t, 50, a.Available())
		young := b.hold("r2", 50)
		require.EqualValues(t, 75, b.settle(young, 35).BalanceAfter)
		require.Equal(t, map[string]int64{"short": 60, "long": 15}, b.remaining(), "the young one is paid from what is good")

		require.EqualValues(t, 55, b.settle(old, 20).BalanceAfter)
		require.Equal(t, map[string]int64{"short": 0, "long": 15}, b.remaining(), "the old one is paid from the expired, whose rest is gone")
		require.EqualValues(t, 15, b.account().Balance)
	})
}

// A hold beyond its expired credit is paid from what is good.
func TestAHoldOverTwoGrants(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		expire := b.clock.Now().Add(time.Hour)
		b.give("short", 100, expire)
		b.give("middle", 100, expire.Add(time.Hour))
		b.give("long", 100)
		old := b.hold("r1", 150)
		b.clock.Set(expire.Add(30 * time.Minute))
		younger := b.hold("r2", 100)
		b.clock.Set(expire.Add(2 * time.Hour))

		a := b.account()
		require.EqualValues(t, 300, a.Balance, "100 and 50 stay for the first, 50 for the second, whose other half is in the good one")
		require.EqualValues(t, 50, a.Available())
		b.settle(younger, 10)
		require.Equal(t, map[string]int64{"short": 100, "middle": 50, "long": 100}, b.remaining())
		b.settle(old, 150)
		require.Equal(t, map[string]int64{"short": 0, "middle": 0, "long": 100}, b.remaining())
	})
}

// What was used beyond the credit is not forgotten when a period begins. useautumn/autumn#2443 lost it.
func TestDebtIsPaidByTheNextPeriod(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.settle(b.hold("r1", 1000), 1300)
		require.EqualValues(t, 300, b.account().Debt)
		b.clock.Set(b.account().PeriodEnd)
		a := b.account()
		require.Zero(t, a.Debt)
		require.EqualValues(t, 700, a.Balance)
		require.EqualValues(t, 700, b.remaining()["plan:monthly:2026-12-23"])
	})
}

// A call that runs over the end of a period is usage of the period in which it ends.
func TestSettleInTheNextPeriod(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 400)
		end := b.account().PeriodEnd
		b.clock.Set(end)
		require.EqualValues(t, 1100, b.settle(h, 300).BalanceAfter, "1000 new, 400 kept, 300 used")
		a := b.account()
		require.EqualValues(t, 1000, a.Balance)
		require.EqualValues(t, 300, a.Period.Cost)
		rows, total, err := b.Usage(t.Context(), ledger.UsageQuery{AccountID: alice, From: end, To: end.AddDate(0, 0, 1)})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, a.Period, total)
	})
}

func TestAPlanThatIsGoneGivesNoCreditAndLosesNoUsage(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 400)
		delete(b.plans.all, "monthly")
		b.clock.Set(b.account().PeriodEnd)
		b.settle(h, 400)
		require.Zero(t, b.account().Balance)
	})
}

// A replica whose clock is behind settles after another has begun the new period.
func TestSettleByAClockThatIsBehind(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 400)
		end := b.account().PeriodEnd
		b.clock.Set(end)
		require.Equal(t, end, b.account().PeriodStart)
		b.clock.Set(end.Add(-time.Second))
		b.settle(h, 300)
		require.EqualValues(t, 300, b.account().Period.Cost)
		young := b.hold("r2", 100)
		b.settle(young, 50)
		require.EqualValues(t, 350, b.account().Period.Cost)
	})
}
