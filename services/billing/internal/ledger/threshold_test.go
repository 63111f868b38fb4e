package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// thresholds lists the notices of a kind of threshold, the oldest first: "percent: used of amount", and the member or the API key.
func (b *fixture) thresholds(kind notices.Kind) (all []string) {
	b.t.Helper()
	found, err := b.store.Notices(b.t.Context(), alice, kind, "", 1000)
	require.NoError(b.t, err)
	for _, n := range found {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%d: %d of %d %s%s", n.Data.Percent, n.Data.Used, n.Data.Amount, n.UserID, n.Data.APIKeyID)))
	}
	slices.Reverse(all)
	return all
}

// spend makes a call that holds and costs an amount.
func (b *fixture) spend(l *ledger.Ledger, request, user, key string, amount int64) {
	b.t.Helper()
	b.clock.Add(time.Millisecond) // notices of one millisecond have no order between processes
	h, err := b.by(l, request, user, key, amount)
	require.NoError(b.t, err)
	_, err = l.Settle(b.t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: amount}, Outcome: ledger.OutcomeCompleted})
	require.NoError(b.t, err)
}

// Each threshold of the credit and of each limit is told once in a window, whichever process makes the calls.
func TestEachThresholdIsToldOnce(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		b.limit(b.Ledger, ledger.MemberSubject(ledger.EveryMember), ledger.PeriodDay, 400)
		b.limit(b.Ledger, ledger.KeySubject("key_1"), ledger.PeriodMonth, 600)
		replicas := []*ledger.Ledger{b.Ledger, b.replica()}
		spend := func(request, user, key string, amount int64) {
			b.spend(replicas[0], request, user, key, amount)
			slices.Reverse(replicas)
		}
		spend("r1", "ann", "key_1", 199)
		require.Empty(t, b.thresholds(notices.LimitThreshold))
		spend("r2", "ann", "key_1", 1)
		spend("r3", "ann", "key_1", 1)
		require.Equal(t, []string{"50: 200 of 400 ann"}, b.thresholds(notices.LimitThreshold))
		spend("r4", "bob", "key_1", 98)
		require.Empty(t, b.thresholds(notices.CreditThreshold))
		spend("r5", "ann", "key_1", 199)
		spend("r6", "carl", "", 2)
		spend("r7", "bob", "", 300)
		require.Equal(t, []string{"50: 200 of 400 ann", "80: 400 of 400 ann", "100: 400 of 400 ann", "50: 498 of 600 key_1", "80: 498 of 600 key_1", "50: 398 of 400 bob", "80: 398 of 400 bob"},
			b.thresholds(notices.LimitThreshold))
		require.Equal(t, []string{"50: 500 of 1000", "80: 800 of 1000"}, b.thresholds(notices.CreditThreshold))
		spend("r8", "carl", "", 200)
		require.Equal(t, []string{"50: 500 of 1000", "80: 800 of 1000", "100: 1000 of 1000"}, b.thresholds(notices.CreditThreshold))
		b.sound()
	})
}

// Credit that comes within a period makes its thresholds reachable again. Credit that leaves repeats none.
func TestThresholdsOfCreditThatChanges(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		soon := b.clock.Now().Add(time.Hour)
		b.give("promo", 1000, soon)
		b.spend(b.Ledger, "r1", "", "", 1000)
		require.Equal(t, []string{"50: 1000 of 2000"}, b.thresholds(notices.CreditThreshold))
		b.give("pack", 2000)
		b.spend(b.again(), "r2", "", "", 999)
		require.Len(t, b.thresholds(notices.CreditThreshold), 1)
		b.spend(b.Ledger, "r3", "", "", 1)
		require.Equal(t, []string{"50: 1000 of 2000", "50: 2000 of 4000"}, b.thresholds(notices.CreditThreshold))
		b.give("another promo", 1000, soon)
		b.clock.Set(soon)
		b.spend(b.again(), "r4", "", "", 1)
		require.Len(t, b.thresholds(notices.CreditThreshold), 2)
	})
}

// A raised limit has thresholds of its own, a lowered one repeats none, and one that comes back tells nothing twice.
func TestThresholdsOfALimitThatChanges(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 1_000_000)
		ann := ledger.MemberSubject("ann")
		set := func(amount int64) { b.limit(b.Ledger, ann, ledger.PeriodDay, amount) }
		set(100)
		b.spend(b.Ledger, "r1", "ann", "", 80)
		want := []string{"50: 80 of 100 ann", "80: 80 of 100 ann"}
		require.Equal(t, want, b.thresholds(notices.LimitThreshold))
		set(90)
		b.spend(b.Ledger, "r2", "ann", "", 1)
		require.Equal(t, want, b.thresholds(notices.LimitThreshold))
		set(150)
		b.spend(b.Ledger, "r3", "ann", "", 1)
		want = append(want, "50: 82 of 150 ann")
		require.Equal(t, want, b.thresholds(notices.LimitThreshold))
		set(100)
		b.spend(b.again(), "r4", "ann", "", 18)
		want = append(want, "100: 100 of 100 ann")
		require.Equal(t, want, b.thresholds(notices.LimitThreshold))
		set(150)
		b.spend(b.again(), "r5", "ann", "", 20)
		want = append(want, "80: 120 of 150 ann")
		require.Equal(t, want, b.thresholds(notices.LimitThreshold))
	})
}

// An amount may be raised any number of times in a window, as by an automatic top-up. Each raise makes one notice: of the highest threshold that is reached.
func TestThresholdsOfALimitThatIsRaisedOften(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 1_000_000)
		var want []string
		for i := range int64(105) {
			amount, more := 100+10*i, int64(8)
			if i == 0 {
				want, more = append(want, "50: 80 of 100 ann"), 80
			}
			want = append(want, fmt.Sprintf("80: %d of %d ann", 80+8*i, amount))
			b.limit(b.Ledger, ledger.MemberSubject("ann"), ledger.PeriodMonth, amount)
			b.spend(b.Ledger, fmt.Sprint("r", i), "ann", "", more)
		}
		require.Equal(t, want, b.thresholds(notices.LimitThreshold))
		b.spend(b.again(), "again", "ann", "", 1)
		b.limit(b.Ledger, ledger.MemberSubject("ann"), ledger.PeriodMonth, 2000)
		b.spend(b.again(), "all", "ann", "", 2000-913)
		require.Equal(t, append(want, "100: 2000 of 2000 ann"), b.thresholds(notices.LimitThreshold))
	})
}

// A process that remembers nothing finds what was told by one statement for each measure.
func TestStatementsOfThresholds(t *testing.T) {
	eachCounting(t, func(t *testing.T, c *counting, accounts int) {
		if accounts > 1 {
			return // one account is measured
		}
		n := 0
		settle := func(l *ledger.Ledger) (statements int) {
			t.Helper()
			before := len(c.counted())
			n++
			c.spend(l, fmt.Sprint("r", n), "", "", 10)
			require.Eventually(t, func() bool { return len(c.counted()) == before+2 }, 30*time.Second, time.Millisecond)
			return c.counted()[before+1]
		}
		for i := range 30 {
			c.give(fmt.Sprint("gift", i), 10)
			c.spend(c.Ledger, fmt.Sprint("first", i), "", "", 30)
		}
		require.GreaterOrEqual(t, len(c.thresholds(notices.CreditThreshold)), 10)
		require.Eventually(t, func() bool { return len(c.counted()) == 90 }, 30*time.Second, time.Millisecond)
		known := settle(c.Ledger)
		require.Equal(t, known, settle(c.Ledger))
		require.Equal(t, known+1, settle(c.again()))
	})
}

// The next window tells again. A clock that goes back tells nothing twice.
func TestThresholdsOfWindows(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 1_000_000)
		b.limit(b.Ledger, ledger.KeySubject("key_1"), ledger.PeriodHour, 100)
		first := b.clock.Now().Truncate(time.Hour)
		for n, at := range []time.Time{first, first.Add(time.Hour), first, first.Add(time.Hour), first} {
			b.clock.Set(at)
			b.spend(b.again(), fmt.Sprint("r", n), "", "key_1", []int64{50, 50, 1, 1, 1}[n])
		}
		require.Equal(t, []string{"50: 50 of 100 key_1", "50: 50 of 100 key_1"}, b.thresholds(notices.LimitThreshold))
		found, err := b.store.Notices(t.Context(), alice, notices.LimitThreshold, "", 10)
		require.NoError(t, err)
		require.Equal(t, first.Add(time.Hour), found[0].Data.WindowStart.UTC())
		require.Equal(t, first.Add(2*time.Hour), found[0].Data.Time.UTC())
		require.Equal(t, "hour", found[0].Data.Window)
	})
}

// When the smallest call does not fit any more, nothing of use is left: the refusal tells it.
func TestARefusalTellsThatNothingIsLeft(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		b.limit(b.Ledger, ledger.MemberSubject("ann"), ledger.PeriodDay, 200)
		b.spend(b.Ledger, "r1", "ann", "", 197)
		_ = b.stops("r2", "ann", "", 4)
		require.Equal(t, []string{"50: 197 of 200 ann", "80: 197 of 200 ann"}, b.thresholds(notices.LimitThreshold), "a smaller call may fit")
		b.spend(b.Ledger, "r3", "ann", "", 1)
		for range 2 {
			_ = b.stops("r4", "ann", "", 4)
		}
		require.Equal(t, []string{"50: 197 of 200 ann", "80: 197 of 200 ann", "100: 198 of 200 ann"}, b.thresholds(notices.LimitThreshold))
		b.spend(b.Ledger, "r5", "bob", "", 791)
		_ = b.stops("r6", "bob", "", 12)
		require.Len(t, b.thresholds(notices.CreditThreshold), 2)
		b.spend(b.Ledger, "r7", "bob", "", 1)
		_ = b.stops("r8", "bob", "", 11)
		require.Equal(t, []string{"50: 989 of 1000", "80: 989 of 1000", "100: 990 of 1000"}, b.thresholds(notices.CreditThreshold))
	})
}

// A repetition is answered like the first call, although the account cannot afford the call a second time. It tells nothing.
func TestARepetitionDoesNotTellThatNothingIsLeft(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		b.limit(b.Ledger, ledger.MemberSubject("ann"), ledger.PeriodDay, 1000)
		b.spend(b.Ledger, "r1", "ann", "", 990)
		told := []string{"50: 990 of 1000", "80: 990 of 1000"}
		require.Equal(t, told, b.thresholds(notices.CreditThreshold))
		h, err := b.by(b.Ledger, "r2", "ann", "", 10)
		require.NoError(t, err)
		for name, l := range map[string]*ledger.Ledger{"the same process": b.Ledger, "a restart": b.again(), "another process": b.replica()} {
			again, err := b.by(l, "r2", "ann", "", 10)
			require.NoError(t, err, name)
			require.Equal(t, h.ID, again.ID, name)
			_, err = b.by(l, "r1", "ann", "", 990)
			require.ErrorAs(t, err, new(*ledger.RequestUsedError), name)
		}
		require.Equal(t, told, b.thresholds(notices.CreditThreshold))
		require.Equal(t, []string{"50: 990 of 1000 ann", "80: 990 of 1000 ann"}, b.thresholds(notices.LimitThreshold))
		_ = b.stops("r3", "ann", "", 10)
		require.Len(t, append(b.thresholds(notices.LimitThreshold), b.thresholds(notices.CreditThreshold)...), 5, "a new call is refused")
	})
}

// A late settlement of a swept call may reach a threshold, too.
func TestACorrectionReachesThresholds(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		h := b.hold("r1", 400)
		b.clock.Add(time.Hour)
		_, err := b.Sweep(t.Context())
		require.NoError(t, err)
		require.Empty(t, b.thresholds(notices.CreditThreshold))
		b.settle(h, 600)
		require.Equal(t, []string{"50: 600 of 1000"}, b.thresholds(notices.CreditThreshold))
	})
}

// The overage of a period has thresholds of its own.
func TestThresholdsOfOverage(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		s.spend(s.Ledger, "r1", "", "", 2000)
		require.Equal(t, []string{"50: 2000 of 2000", "80: 2000 of 2000", "100: 2000 of 2000"}, s.thresholds(notices.CreditThreshold))
		s.spend(s.Ledger, "r2", "", "", 249)
		require.Empty(t, s.thresholds(notices.OverageThreshold))
		s.spend(s.Ledger, "r3", "", "", 1)
		s.spend(s.Ledger, "r4", "", "", 149)
		s.spend(s.Ledger, "r5", "", "", 1)
		s.spend(s.Ledger, "r6", "", "", 100)
		require.Equal(t, []string{"50: 250 of 500", "80: 400 of 500", "100: 500 of 500"}, s.thresholds(notices.OverageThreshold))
		require.Len(t, s.thresholds(notices.CreditThreshold), 3, "overage uses no credit")
	})
}

// A period that shares its cap with an earlier one counts its own overage alone: what the earlier one has used beyond its credit is not usage of this credit.
func TestThresholdsOfAPeriodThatSharesItsCap(t *testing.T) {
	metered(t, func(t *testing.T, s *subscriber) {
		s.spend(s.Ledger, "r1", "", "", 2400)
		s.clock.Add(24 * time.Hour)
		s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		s.clock.Add(24 * time.Hour)
		s.buyAgain()
		before := len(s.thresholds(notices.CreditThreshold))
		for i, step := range []struct {
			amount int64
			want   []string
		}{
			{499, nil},
			{1, []string{"50: 500 of 1000"}},
			{299, []string{"50: 500 of 1000"}},
			{1, []string{"50: 500 of 1000", "80: 800 of 1000"}},
			{199, []string{"50: 500 of 1000", "80: 800 of 1000"}},
			{50, []string{"50: 500 of 1000", "80: 800 of 1000", "100: 1000 of 1000"}},
			{50, []string{"50: 500 of 1000", "80: 800 of 1000", "100: 1000 of 1000"}},
		} {
			s.spend(s.again(), fmt.Sprint("again", i), "", "", step.amount)
			require.Equal(t, step.want, append([]string(nil), s.thresholds(notices.CreditThreshold)[before:]...), "step %d", i)
		}
		s.requireOverage(0, 0, 499, 499)
		require.Equal(t, []string{"50: 400 of 500", "80: 400 of 500"}, s.thresholds(notices.OverageThreshold), "the periods share the cap and its notices")
		_ = s.stops("refused", "", "", 2)
		require.Len(t, s.thresholds(notices.CreditThreshold), before+3)
		require.Len(t, s.thresholds(notices.OverageThreshold), 3)
	})
}

// Calls of several processes at once tell each threshold once.
func TestConcurrentCallsTellOnce(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 1_000_000)
		b.limit(b.Ledger, ledger.MemberSubject("ann"), ledger.PeriodMonth, 60)
		var running sync.WaitGroup
		for n, l := range []*ledger.Ledger{b.Ledger, b.replica(), b.replica()} {
			for call := range 20 {
				running.Go(func() { b.spend(l, fmt.Sprint(n, " ", call), "ann", "", 1) })
			}
		}
		running.Wait()
		require.ElementsMatch(t, []string{"50: 30 of 60 ann", "80: 48 of 60 ann", "100: 60 of 60 ann"}, b.thresholds(notices.LimitThreshold))
	})
}

// A decision that is not committed has told nothing: the next one tells it.
func TestAThresholdIsToldAfterAFailedCommit(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.account()
		failing := &uncommitted{Store: b.store}
		l := b.over(failing)
		h, err := b.by(l, "r1", "", "", 500)
		require.NoError(t, err)
		failing.err = errors.New("the connection was lost")
		settle := ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 500}, Outcome: ledger.OutcomeCompleted}
		_, err = l.Settle(t.Context(), settle)
		require.ErrorIs(t, err, failing.err)
		require.Empty(t, b.thresholds(notices.CreditThreshold))
		failing.err = nil
		_, err = l.Settle(t.Context(), settle)
		require.NoError(t, err)
		require.Equal(t, []string{"50: 500 of 1000"}, b.thresholds(notices.CreditThreshold))
	})
}

// uncommitted is a store that undoes each decision while it has an error.
type uncommitted struct {
	ledger.Store
	err error
}

func (u *uncommitted) WriteCall(ctx context.Context, caller ledger.Caller, fn func(ctx context.Context, tx ledger.Tx) error) error {
	return u.Store.WriteCall(ctx, caller, func(ctx context.Context, tx ledger.Tx) error {
		return errors.Join(fn(ctx, tx), u.err)
	})
}

// An erasure leaves the numbers of a member's notices, and no name.
func TestErasureOfThresholds(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 1_000_000)
		b.limit(b.Ledger, ledger.MemberSubject("ann"), ledger.PeriodMonth, 60)
		b.spend(b.Ledger, "r1", "ann", "", 30)
		require.NoError(t, b.store.EraseUser(t.Context(), "ann"))
		require.Equal(t, []string{"50: 30 of 60"}, b.thresholds(notices.LimitThreshold))
		found, err := b.store.Notices(t.Context(), alice, "", "", 10)
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprintf("%+v", found), "ann")
	})
}

// The notices of a limit are kept until long after the end of its window, however long that is: a process that remembers nothing tells no threshold again.
// The end of a billing period may move, so that its notices are kept as long as others.
func TestNoticesOfLimitsOutliveTheirWindows(t *testing.T) {
	for name, c := range map[string]struct {
		period time.Duration
		kept   bool
	}{"hour": {period: time.Hour}, "year": {period: 365 * 24 * time.Hour}, "billing period": {period: ledger.PeriodBilling, kept: true}} {
		t.Run(name, func(t *testing.T) {
			each(t, "empty", func(t *testing.T, b *fixture) {
				b.give("gift", 1_000_000)
				b.clock.Set(b.account().PeriodStart)
				start, end := b.account().PeriodStart, b.account().PeriodEnd
				if c.period != ledger.PeriodBilling {
					micros := end.UnixMicro() - end.UnixMicro()%c.period.Microseconds() + c.period.Microseconds()
					start, end = time.UnixMicro(micros), time.UnixMicro(micros).Add(c.period)
				}
				pruned := func(at time.Time) int64 {
					n, err := b.store.PruneNotices(t.Context(), time.Unix(0, 0), at, 10)
					require.NoError(t, err)
					return n
				}
				b.clock.Set(start)
				b.spends(b.again(), "r1", 50, 100, c.period)
				expire := end.Add(62 * 24 * time.Hour)
				require.Zero(t, pruned(expire))
				b.clock.Set(end.Add(-time.Second))
				b.spends(b.again(), "r2", 1, 100, c.period)
				require.Equal(t, []string{"50: 50 of 100 key_1"}, b.thresholds(notices.LimitThreshold))
				if c.kept {
					require.Zero(t, pruned(ledger.Never))
					return
				}
				require.EqualValues(t, 1, pruned(expire.Add(time.Microsecond)))
			})
		})
	}
}

// A trial may last longer than notices are kept. Its thresholds are told once, and their notices go after it.
func TestALongTrialTellsItsThresholdsOnce(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		sale := s.plans.prices["price_pro"]
		sale.Plan.Trial = &plans.Trial{Days: 730, Credit: 1000}
		end := s.begin.AddDate(0, 0, 730)
		s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":"trialing","created":%d,"start_date":%[1]d,
			"trial_start":%[1]d,"trial_end":%d,"billing_cycle_anchor":%[2]d,"current_period_start":%[1]d,"current_period_end":%[2]d,
			"items":{"data":[{"quantity":1,"price":{"id":"price_pro","object":"price"}}]}}`, s.begin.Unix(), end.Unix()))
		require.Equal(t, end, s.account().PeriodEnd)
		credit := s.account().Balance
		s.limit(s.Ledger, ledger.MemberSubject("user_1"), ledger.PeriodBilling, credit)
		s.settle(s.hold("r1", credit/2), credit/2)
		told := func() int {
			ofCredit, ofLimit := s.thresholds(notices.CreditThreshold), s.thresholds(notices.LimitThreshold)
			require.Len(t, ofLimit, len(ofCredit), "the limit is as large as the credit")
			return len(ofCredit)
		}
		prune := func() {
			_, err := s.store.PruneNotices(t.Context(), s.clock.Now().AddDate(0, 0, -400), s.clock.Now(), 10)
			require.NoError(t, err)
		}
		require.Equal(t, 1, told())
		s.clock.Set(s.begin.AddDate(0, 0, 500))
		prune()
		require.Equal(t, 1, told(), "it outlasts the retention of 400 days")
		s.Ledger = s.again()
		s.settle(s.hold("r2", 1), 1)
		require.Equal(t, 1, told())
		s.clock.Set(end.AddDate(0, 0, -1))
		s.settle(s.hold("r3", credit*3/10), credit*3/10) // 80 %
		require.Equal(t, 2, told())
		s.clock.Set(end.AddDate(0, 0, 398))
		prune()
		require.Equal(t, 2, told(), "the second is younger than its retention, and the end of the trial could have moved")
		s.clock.Set(end.AddDate(0, 0, 401))
		prune()
		require.Zero(t, told())
	})
}
