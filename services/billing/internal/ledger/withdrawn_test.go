package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

func (s *subscriber) day(n int) time.Time { return s.begin.AddDate(0, 0, n) }

// endsAt mirrors the subscription in its first month, which is going to end on a day.
func (s *subscriber) endsAt(day int) {
	s.t.Helper()
	s.sub(0, "active", fmt.Sprintf(`"cancel_at":%d`, s.day(day).Unix()))
}

// followed does what time alone has changed.
func (s *subscriber) followed() {
	s.t.Helper()
	done, err := s.FollowDue(s.t.Context(), 10)
	require.NoError(s.t, err)
	require.Equal(s.t, 1, done)
}

// taken mirrors a refund or a dispute of the payment of the first month.
func (s *subscriber) taken(kind mirror.Kind, status string, cents int) {
	s.t.Helper()
	s.write(kind, fmt.Sprintf(`{"id":"%s_1","object":%[1]q,"status":%q,"amount":%d,"payment_intent":"pi_in_0","charge":"ch_1","created":%d}`, kind, status, cents, s.clock.Now().Unix()))
}

// A subscription is going to end within its month. Its owner takes that back, and Trivet hears of it after the time: the credit of the month is what it is when
// the news comes in time.
func TestAnEndThatWasTakenBackIsHeardOfLate(t *testing.T) {
	const left = 700 // of 1000
	nothing := func(*subscriber) {}
	var held ledger.Hold
	for name, c := range map[string]struct {
		before, between, after func(s *subscriber) // the end by the own clock, and the news
		ended, want            int64
	}{
		"nothing else": {nothing, nothing, nothing, 0, left},
		"a call that runs meanwhile": {
			func(s *subscriber) { held = s.hold("r2", 400) }, nothing, func(s *subscriber) { s.settle(held, 100) }, 400, left - 100,
		},
		"a call that ends meanwhile": {
			func(s *subscriber) { held = s.hold("r2", 400) }, func(s *subscriber) { s.settle(held, 100) }, nothing, 400, left - 100,
		},
		"debt meanwhile": {
			func(s *subscriber) { held = s.hold("r2", 100) }, func(s *subscriber) {
				s.settle(held, 250)
				require.EqualValues(s.t, -150, s.account().Balance)
			}, nothing, 100, left - 250,
		},
		"more debt than credit": {
			func(s *subscriber) { held = s.hold("r2", 100) }, func(s *subscriber) { s.settle(held, 900) }, nothing, 100, left - 900,
		},
		"a refund before":    {func(s *subscriber) { s.taken(mirror.Refund, "succeeded", 1190) }, nothing, nothing, 0, left - 500},
		"a refund meanwhile": {nothing, func(s *subscriber) { s.taken(mirror.Refund, "succeeded", 1190) }, nothing, 0, left - 500},
		"a refund after":     {nothing, nothing, func(s *subscriber) { s.taken(mirror.Refund, "succeeded", 1190) }, 0, left - 500},
		"a dispute that is won meanwhile": {
			func(s *subscriber) { s.taken(mirror.Dispute, "needs_response", 2380) }, func(s *subscriber) { s.taken(mirror.Dispute, "won", 2380) }, nothing, 0, left,
		},
		"a dispute that is won after": {
			func(s *subscriber) { s.taken(mirror.Dispute, "needs_response", 1190) }, nothing, func(s *subscriber) { s.taken(mirror.Dispute, "won", 1190) }, 0, left,
		},
		"a dispute that was won before": {
			func(s *subscriber) {
				s.taken(mirror.Dispute, "needs_response", 1190)
				s.taken(mirror.Dispute, "won", 1190)
			}, nothing, nothing, 0, left,
		},
		"a dispute that is won, and opened again": {
			func(s *subscriber) { s.taken(mirror.Dispute, "needs_response", 2380) }, func(s *subscriber) { s.taken(mirror.Dispute, "won", 2380) }, func(s *subscriber) {
				s.taken(mirror.Dispute, "needs_response", 1190)
			}, 0, left - 500,
		},
		"twice": {
			nothing, nothing, func(s *subscriber) {
				s.endsAt(15)
				s.clock.Set(s.day(16))
				s.followed()
				require.Zero(s.t, s.account().Balance)
				s.sub(0, "active")
			}, 0, left,
		},
		"and then an end": {
			nothing, nothing, func(s *subscriber) { s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix())) }, 0, 0,
		},
		"a later end": {
			nothing, nothing, func(s *subscriber) {
				s.endsAt(20)
				require.EqualValues(s.t, left, s.account().Balance)
				s.clock.Set(s.day(20))
				s.followed()
			}, 0, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				s.settle(s.hold("r0", s.free()), s.free())
				s.invoice(0, "paid")
				s.sub(0, "active")
				s.settle(s.hold("r1", 300), 300)
				s.endsAt(10)
				c.before(s)
				s.clock.Set(s.day(10))
				s.requirePlan("pro@1", s.account().Balance) // until it is followed
				s.followed()
				s.requirePlan("monthly", c.ended)
				s.clock.Set(s.day(11))
				c.between(s)
				s.sound()
				for range 2 {
					s.sub(0, "active")
					s.sound()
				}
				require.Equal(t, "pro@1", s.account().Plan)
				c.after(s)
				s.sound()
				require.Equal(t, c.want, s.account().Balance)
			})
		})
	}
}

// When the news comes after the month, nothing of the month comes back, and the next month gives its credit.
func TestAnEndThatWasTakenBackIsHeardOfInTheNextMonth(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.settle(s.hold("r0", s.free()), s.free())
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.pack("cs_1")
		s.endsAt(10)
		s.clock.Set(s.day(11))
		s.followed()
		s.requirePlan("monthly", 500)
		s.clock.Set(s.month(1).Add(time.Hour))
		s.invoice(1, "paid") // before that of the subscription
		s.sub(1, "active")
		s.requirePlan("pro@1", 500+1000+s.free()) // a month of the free plan began before the news
	})
}

// An end within the next month, of which only the news of the renewal is late, ends the advance. It comes back with the rest.
func TestAnEndWithinAMonthThatBeganWithoutNews(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.settle(s.hold("r0", s.free()), s.free())
		s.invoice(0, "paid")
		s.sub(0, "active", fmt.Sprintf(`"cancel_at":%d`, s.month(1).AddDate(0, 0, 5).Unix()))
		s.clock.Set(s.month(1))
		s.requirePlan("pro@1", 250)
		s.clock.Set(s.month(1).AddDate(0, 0, 5))
		s.followed()
		s.requirePlan("monthly", 0)
		s.clock.Set(s.month(1).AddDate(0, 0, 6))
		s.sub(1, "active")
		s.requirePlan("pro@1", 250)
		s.invoice(1, "paid")
		s.requirePlan("pro@1", 1000)
	})
}

// Of two subscriptions, the one that does not entitle keeps the credit that it has given, too.
func TestAnEndThatWasTakenBackOfTheOtherSubscription(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.settle(s.hold("r0", s.free()), s.free())
		top := &plans.Plan{ID: "max", Version: 1, Name: "Max", Price: 50_000_000_000, IncludedCredit: 3000}
		s.plans.all[top.Ref()], s.plans.prices["price_max"] = *top, plans.Sale{Offer: plans.Offer{Plan: top}, Interval: plans.Month}
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.endsAt(10)
		s.clock.Set(s.day(11))
		from, to := s.day(11).Unix(), s.day(40).Unix()
		s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_m","object":"invoice","customer":"cus_1","subscription":"sub_2","status":"paid","created":%d,"total":5000,"lines":{"data":[
			{"type":"subscription","amount":5000,"quantity":1,"price":{"id":"price_max","object":"price"},"period":{"start":%[1]d,"end":%d}}]}}`, from, to))
		s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_2","object":"subscription","customer":"cus_1","status":"active","created":%d,"start_date":%[1]d,"billing_cycle_anchor":%[1]d,
			"current_period_start":%[1]d,"current_period_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_max","object":"price"}}]}}`, from, to))
		s.requirePlan("max@1", 3000)
		s.sub(0, "active")
		s.requirePlan("max@1", 3000+1000)
		s.clock.Set(s.month(1))
		s.requirePlan("max@1", 3000)
	})
}

// The credit of a trial ends with it. When its end moves, the credit's end moves with it, also when the news comes after the first end.
func TestATrialWhoseEndMoves(t *testing.T) {
	for name, c := range map[string]struct {
		heard, ends int  // the day of the news, and the day on which the trial then ends
		paid        bool // it goes over into the first paid month
		want        int64
		until       int // the day on which the credit ends
	}{
		"later, in time":     {10, 20, false, 30, 20},
		"later, and late":    {15, 20, false, 30, 20},
		"earlier, in time":   {5, 10, false, 30, 10},
		"earlier, and late":  {12, 10, false, 0, 10},
		"ended by a payment": {5, 5, true, 1000, 5},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				s.settle(s.hold("r0", s.free()), s.free())
				sale := s.plans.prices["price_pro"]
				sale.Plan.Trial = &plans.Trial{Days: 14, Credit: 50}
				s.plans.all["pro@1"] = *sale.Plan
				trial := func(status string, begin, end, trialEnd int) {
					s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":%q,"created":%d,"start_date":%[2]d,"billing_cycle_anchor":%d,
						"current_period_start":%d,"current_period_end":%d,"trial_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_pro","object":"price"}}]}}`,
						status, s.begin.Unix(), s.day(trialEnd).Unix(), s.day(begin).Unix(), s.day(end).Unix(), s.day(trialEnd).Unix()))
				}
				trial("trialing", 0, 14, 14)
				s.settle(s.hold("r1", 20), 20)
				s.clock.Set(s.day(c.heard))
				require.Equal(t, map[bool]int64{true: 30, false: 0}[c.heard < 14], s.account().Balance)
				if c.paid {
					s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_p","object":"invoice","customer":"cus_1","subscription":"sub_1","status":"paid","created":%d,"total":2000,"lines":{"data":[
						{"type":"subscription","amount":2000,"quantity":1,"price":{"id":"price_pro","object":"price"},"period":{"start":%[1]d,"end":%d}}]}}`,
						s.day(c.ends).Unix(), s.day(c.ends+30).Unix()))
					trial("active", c.ends, c.ends+30, c.ends)
				} else {
					trial("trialing", 0, c.ends, c.ends)
				}
				s.sound()
				require.Equal(t, c.want, s.account().Balance)
				if s.clock.Now().Before(s.day(c.until)) {
					s.clock.Set(s.day(c.until))
				}
				require.Equal(t, map[bool]int64{true: 1000, false: 0}[c.paid], s.account().Balance)
				s.sound()
			})
		})
	}
}

// Payments of a month are heard of in any order: two upgrades of one second, fewer seats and more again, and a refund of one of them.
func TestPaymentsOfAMonthInAnyOrder(t *testing.T) {
	team := func(s *subscriber) {
		pro := &plans.Plan{ID: "pro", Version: 1, Price: 20_000_000_000, IncludedCredit: 1000, RenewalAdvance: 25, GraceDays: 7, Seats: &plans.Seats{Min: 1, Max: 99}}
		s.plans.all[pro.Ref()] = *pro
		s.plans.prices["price_pro"] = plans.Sale{Offer: plans.Offer{Plan: pro}, Interval: plans.Month}
	}
	change := func(s *subscriber, id string, from, to, day int) {
		line := func(amount, seats int) string {
			return fmt.Sprintf(`{"type":"subscription","amount":%d,"proration":true,"quantity":%d,"price":{"id":"price_pro","object":"price"},"period":{"start":%d,"end":%d}}`,
				amount, seats, s.day(day).Unix(), s.month(1).Unix())
		}
		s.write(mirror.Invoice, fmt.Sprintf(`{"id":%q,"object":"invoice","customer":"cus_1","subscription":"sub_1","status":"paid","created":%d,"payment_intent":"pi_%[1]s","total":100,
			"lines":{"data":[%[3]s,%[4]s]}}`, id, s.day(day).Unix(), line(-100*from, from), line(100*to, to)))
	}
	refund := func(s *subscriber, invoice string) {
		s.write(mirror.Refund, fmt.Sprintf(`{"id":"re_1","object":"refund","status":"succeeded","amount":100,"payment_intent":"pi_%s","charge":"ch_1","created":%d}`, invoice, s.day(20).Unix()))
	}
	share := func(s *subscriber, seats int64, day int) int64 {
		rest, whole := int64(s.month(1).Sub(s.day(day))), int64(s.month(1).Sub(s.begin))
		return (seats*1000*(rest/1e9) + whole/1e9 - 1) / (whole / 1e9)
	}
	for name, c := range map[string]struct {
		news []func(s *subscriber)
		want func(s *subscriber) int64
	}{
		"two upgrades within a second": {
			[]func(*subscriber){func(s *subscriber) { change(s, "in_b", 1, 3, 10) }, func(s *subscriber) { change(s, "in_a", 3, 7, 10) }},
			func(s *subscriber) int64 { return 1000 + share(s, 6, 10) },
		},
		"more seats, fewer, and some more": {
			[]func(*subscriber){func(s *subscriber) { change(s, "in_a", 1, 9, 10) }, func(s *subscriber) { change(s, "in_b", 9, 1, 12) }, func(s *subscriber) { change(s, "in_c", 1, 8, 14) }},
			func(s *subscriber) int64 { return 1000 + share(s, 8, 10) },
		},
		"more seats, fewer, and as many more": {
			[]func(*subscriber){func(s *subscriber) { change(s, "in_a", 1, 9, 10) }, func(s *subscriber) { change(s, "in_b", 9, 1, 12) }, func(s *subscriber) { change(s, "in_c", 1, 9, 14) }},
			func(s *subscriber) int64 { return 1000 + share(s, 8, 10) },
		},
		"an upgrade and a refund of it": {
			[]func(*subscriber){func(s *subscriber) { change(s, "in_a", 1, 9, 10) }, func(s *subscriber) { refund(s, "in_a") }},
			func(*subscriber) int64 { return 1000 },
		},
		"two upgrades within a second and a refund of the second": {
			[]func(*subscriber){func(s *subscriber) { change(s, "in_b", 1, 4, 10) }, func(s *subscriber) { change(s, "in_a", 4, 7, 10) }, func(s *subscriber) { refund(s, "in_a") }},
			func(s *subscriber) int64 { return 1000 + share(s, 3, 10) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			permuted(len(c.news), func(order []int) {
				t.Run(fmt.Sprint(order), func(t *testing.T) {
					subscribed(t, func(t *testing.T, s *subscriber) {
						team(s)
						s.settle(s.hold("r0", s.free()), s.free())
						s.invoice(0, "paid")
						s.sub(0, "active")
						s.clock.Set(s.day(21))
						for _, i := range order {
							c.news[i](s)
						}
						require.Equal(t, c.want(s), s.account().Balance)
						s.sound()
					})
				})
			})
		})
	}
}

// permuted calls a function with each order of n things.
func permuted(n int, call func(order []int), chosen ...int) {
	if len(chosen) == n {
		call(chosen)
		return
	}
next:
	for i := range n {
		for _, j := range chosen {
			if i == j {
				continue next
			}
		}
		permuted(n, call, append(append([]int{}, chosen...), i)...)
	}
}
