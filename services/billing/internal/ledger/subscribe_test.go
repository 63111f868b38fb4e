package ledger_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/follow"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// subscriber is an account with a customer at Stripe, at midnight of a day.
type subscriber struct {
	*fixture
	begin time.Time
}

// subscribed runs a test on both databases.
func subscribed(t *testing.T, test func(t *testing.T, s *subscriber)) {
	t.Helper()
	each(t, "monthly", func(t *testing.T, b *fixture) {
		pro := &plans.Plan{ID: "pro", Version: 1, Name: "Pro", Price: 20_000_000_000, IncludedCredit: 1000, RenewalAdvance: 25, GraceDays: 7}
		b.plans.all[pro.Ref()] = *pro
		b.plans.prices = map[string]plans.Sale{
			"price_pro":  {Offer: plans.Offer{Plan: pro}, Interval: plans.Month},
			"price_pack": {Offer: plans.Offer{Pack: &plans.Pack{ID: "pack", Version: 1, Credit: 500}}},
		}
		_, err := b.store.BeginCustomer(t.Context(), customers.Begin{AccountID: alice, Time: b.clock.Now()})
		require.NoError(t, err)
		require.NoError(t, b.store.SaveCustomer(t.Context(), alice, "cus_1"))
		s := &subscriber{fixture: b, begin: b.clock.Now().Truncate(time.Second)}
		test(t, s)
	})
}

// write mirrors an object, with what follows from it.
func (s *subscriber) write(kind mirror.Kind, body string) {
	s.t.Helper()
	o, err := mirror.Parse(kind, []byte(body))
	require.NoError(s.t, err)
	o.Sequence, err = s.store.TakeSequence(s.t.Context(), kind, o.ID)
	require.NoError(s.t, err)
	f := &follow.Follower{Store: s.store, Ledger: s.Ledger}
	written, err := s.store.WriteObject(s.t.Context(), o, f.Written)
	require.NoError(s.t, err)
	require.True(s.t, written)
}

// sub mirrors the subscription in its nth month.
func (s *subscriber) sub(month int, status string, fields ...string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":%q,"created":%d,"start_date":%[2]d,"billing_cycle_anchor":%[2]d,
		"current_period_start":%d,"current_period_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_pro","object":"price"}}]}`,
		status, s.begin.Unix(), s.month(month).Unix(), s.month(month+1).Unix())
	for _, f := range fields {
		body += "," + f
	}
	s.write(mirror.Subscription, body+"}")
}

func (s *subscriber) month(n int) time.Time { return s.begin.AddDate(0, n, 0) }

func (s *subscriber) invoice(month int, status string) {
	s.t.Helper()
	s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_%d","object":"invoice","customer":"cus_1","subscription":"sub_1","status":%q,"created":%d,"payment_intent":"pi_in_%[1]d","total":2380,"lines":{"data":[
		{"type":"subscription","amount":2000,"quantity":1,"price":{"id":"price_pro","object":"price"},"period":{"start":%[3]d,"end":%d}}]}}`,
		month, status, s.month(month).Unix(), s.month(month+1).Unix()))
}

func (s *subscriber) pack(id string) {
	s.t.Helper()
	s.write(mirror.CheckoutSession, fmt.Sprintf(`{"id":%q,"object":"checkout.session","customer":"cus_1","mode":"payment","status":"complete","payment_status":"paid",
		"created":%d,"line_items":{"data":[{"quantity":1,"price":{"id":"price_pack","object":"price"}}]}}`, id, s.begin.Unix()))
}

func (s *subscriber) requirePlan(ref string, balance int64) {
	s.t.Helper()
	a := s.account()
	require.Equal(s.t, ref, a.Plan)
	require.Equal(s.t, balance, a.Balance)
	s.sound()
}

// free is the credit of the default plan.
func (s *subscriber) free() int64 { return s.plans.Default().IncludedCredit }

// However often an object is written, and in whatever order, each source is granted once.
func TestEachSourceIsGrantedOnce(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.sub(0, "incomplete")
		s.requirePlan("monthly", s.free())
		for range 3 {
			s.invoice(0, "paid")
			s.sub(0, "active")
			s.pack("cs_1")
		}
		s.requirePlan("pro@1", s.free()+1000+500)
		a := s.account()
		require.Equal(t, s.begin, a.PeriodStart)
		require.Equal(t, s.month(1), a.PeriodEnd)
		s.pack("cs_2")
		s.requirePlan("pro@1", s.free()+2000)
	})
}

// A plan that another replica has applied a moment ago is known when its first subscription comes.
func TestAPlanOfAnotherReplica(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.plans.applied, s.plans.prices = s.plans.prices, map[string]plans.Sale{}
		delete(s.plans.applied, "price_pack")
		delete(s.plans.all, "pro@1")
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.requirePlan("pro@1", s.free()+1000)
	})
}

// A renewal whose news is late gets its advance by the own clock, and the rest when it is paid.
func TestRenewalWithoutNews(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.pack("cs_1")
		s.clock.Set(s.month(1))
		s.requirePlan("pro@1", 500+250)
		require.Equal(t, s.month(1), s.account().PeriodStart)
		s.sub(1, "active")
		s.invoice(1, "draft")
		s.requirePlan("pro@1", 500+250)
		s.invoice(1, "paid")
		s.requirePlan("pro@1", 500+1000)
	})
}

// A failed payment leaves the plan for the time of grace, which time alone ends. Bought credit stays; free credit does not come.
func TestAFailedPayment(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.pack("cs_1")
		s.clock.Set(s.month(1).Add(2 * time.Hour))
		s.invoice(1, "open")
		s.sub(1, "past_due")
		s.requirePlan("pro@1", 500+250)
		s.clock.Set(s.month(1).AddDate(0, 0, 7))
		done, err := s.FollowDue(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, 1, done)
		s.requirePlan("monthly", 500+250)
		s.clock.Set(s.month(2).Add(time.Hour))
		s.requirePlan("monthly", 500)
		s.invoice(1, "paid")
		s.sub(2, "active")
		s.invoice(2, "paid")
		s.requirePlan("pro@1", 500+1000)
	})
}

// The end takes the plan's credit, but not what calls under way hold, nor what was bought. The free plan's credit comes with its next month.
// polarsource/polar#10513 and polarsource/polar#8451 wiped bought credit with a subscription.
func TestTheEnd(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.pack("cs_1")
		s.clock.Set(s.begin.AddDate(0, 0, 10))
		held := s.hold("r1", 400)
		for range 2 {
			s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		}
		s.requirePlan("monthly", s.free()+400+500)
		s.settle(held, held.Amount)
		s.requirePlan("monthly", s.free()+500)
		s.clock.Set(s.month(1).AddDate(0, 0, 1))
		s.requirePlan("monthly", s.free()+500)
		require.NoError(t, s.store.Write(t.Context(), alice, func(ctx context.Context, tx ledger.Tx) error { return s.Follow(ctx, tx, alice) }))
		s.requirePlan("monthly", s.free()+500)
	})
}

// An operator has the billing cycle begin anew within a month, and the invoice of the new month is paid: it brings the credit of a whole month, once. What is
// left of the month before keeps its end, and bought credit stays. useautumn/autumn#2804 charged the new cycle and left the balance as it was.
func TestACycleThatBeginsAnew(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.pack("cs_1")
		s.settle(s.hold("r1", s.free()+700), s.free()+700)
		s.clock.Set(s.begin.AddDate(0, 0, 10))
		anew, end := s.clock.Now(), s.month(1)
		restarted := *s
		restarted.begin = anew
		for range 2 {
			restarted.sub(0, "active", fmt.Sprintf(`"start_date":%d`, s.begin.Unix()))
			restarted.invoice(1, "draft")
		}
		require.EqualValues(t, 300+500+250, s.account().Balance, "the rest, the pack and the part of a renewal that is given at once")
		s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_anew","object":"invoice","customer":"cus_1","subscription":"sub_1","status":"paid","created":%d,"total":2380,
			"payment_intent":"pi_anew","lines":{"data":[{"type":"subscription","amount":2000,"quantity":1,"price":{"id":"price_pro","object":"price"},
			"period":{"start":%[1]d,"end":%d}}]}}`, anew.Unix(), restarted.month(1).Unix()))
		require.EqualValues(t, 300+500+1000, s.account().Balance)
		require.Equal(t, anew, s.account().PeriodStart)
		s.clock.Set(end)
		require.EqualValues(t, 500+1000, s.account().Balance)
		s.clock.Set(restarted.month(1))
		require.EqualValues(t, 500+250, s.account().Balance)
		s.sound()
	})
}

// A customer that Stripe deletes takes its subscription along. What is of another app's customer follows nobody.
func TestADeletedCustomer(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.write(mirror.Subscription, `{"id":"sub_9","object":"subscription","customer":"cus_9","status":"active","created":1,"items":{"data":[]}}`)
		sequence, err := s.store.TakeSequence(t.Context(), mirror.Customer, "cus_1")
		require.NoError(t, err)
		f := &follow.Follower{Store: s.store, Ledger: s.Ledger}
		_, err = s.store.WriteObject(t.Context(), mirror.Object{Kind: mirror.Customer, ID: "cus_1", Deleted: true, Sequence: sequence}, f.Written)
		require.NoError(t, err)
		s.requirePlan("monthly", s.free())
		id, err := s.store.Customer(t.Context(), alice)
		require.NoError(t, err)
		require.Empty(t, id)
	})
}

// A subscription whose price Trivet does not have, after a change in Stripe's dashboard, gives no credit while it lives, and its end ends the plan.
func TestAPriceOfAnotherApp(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.requirePlan("pro@1", s.free()+1000)
		custom := func(status string, fields string) {
			s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":%q,"created":%d,"current_period_start":%[2]d,
				"current_period_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_custom","object":"price"}}]}%s}`,
				status, s.begin.Unix(), s.month(1).Unix(), fields))
		}
		custom("active", "")
		for month := 1; month < 3; month++ {
			s.clock.Set(s.month(month).AddDate(0, 0, 1))
			require.LessOrEqual(t, s.account().Balance, s.free(), "month %d", month)
			for _, want := range []int{1, 0} {
				n, err := s.FollowDue(t.Context(), 10)
				require.NoError(t, err)
				require.LessOrEqual(t, n, want, "it is not due again at once")
			}
		}
		custom("canceled", fmt.Sprintf(`,"ended_at":%d`, s.clock.Now().Unix()))
		require.Equal(t, "monthly", s.account().Plan)
		for month := 3; month < 6; month++ {
			s.clock.Set(s.month(month).AddDate(0, 0, 2))
			require.Equal(t, s.free(), s.account().Balance, "month %d", month)
		}
		require.Equal(t, "monthly", s.account().Plan)
	})
}

// A subscription that cannot be followed does not keep the others waiting.
func TestOneSubscriptionCannotBlockTheOthers(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		_, err := s.store.BeginCustomer(t.Context(), customers.Begin{AccountID: bob, Time: s.clock.Now()})
		require.NoError(t, err)
		require.NoError(t, s.store.SaveCustomer(t.Context(), bob, "cus_2"))
		s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_2","object":"subscription","customer":"cus_2","status":"active","created":%d,"current_period_start":%[1]d,
			"current_period_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_pro","object":"price"}}]}}`, s.begin.Unix()-60, s.month(1).Unix()-60))
		s.exec("UPDATE stripe_object SET body = '[]' WHERE id = 'sub_2'")
		s.clock.Set(s.month(1).AddDate(0, 0, 40))
		for range 2 {
			_, err = s.FollowDue(t.Context(), 1)
		}
		require.NoError(t, err, "the second time it is the other one's turn")
	})
}

// An advance for more seats than the renewal charges stays as it was given, and the rest is less. A refund of the payment takes back what both gave.
func TestAnAdvanceForOtherSeats(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		team := &plans.Plan{ID: "pro", Version: 1, Price: 20_000_000_000, IncludedCredit: 1000, RenewalAdvance: 25, GraceDays: 7, Seats: &plans.Seats{Min: 1, Max: 9}}
		s.plans.all[team.Ref()] = *team
		s.plans.prices["price_pro"] = plans.Sale{Offer: plans.Offer{Plan: team}, Interval: plans.Month}
		sub := func(month, seats int) {
			s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":"active","created":%d,"start_date":%[1]d,
				"billing_cycle_anchor":%[1]d,"current_period_start":%d,"current_period_end":%d,"items":{"data":[{"quantity":%d,"price":{"id":"price_pro","object":"price"}}]}}`,
				s.begin.Unix(), s.month(month).Unix(), s.month(month+1).Unix(), seats))
		}
		invoice := func(month, seats int) {
			s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_%d","object":"invoice","customer":"cus_1","subscription":"sub_1","status":"paid","created":%d,"payment_intent":"pi_1","total":100,
				"lines":{"data":[{"type":"subscription","amount":100,"quantity":%d,"price":{"id":"price_pro","object":"price"},"period":{"start":%[2]d,"end":%[4]d}}]}}`,
				month, s.month(month).Unix(), seats, s.month(month+1).Unix()))
		}
		sub(0, 5)
		s.clock.Set(s.month(1))
		sub(1, 5)
		s.requirePlan("pro@1", 5*250)
		sub(1, 3)
		invoice(1, 3)
		s.requirePlan("pro@1", 3*1000)
		s.reversal(mirror.Refund, "re_1", "succeeded", 100)
		s.requirePlan("pro@1", 0)
	})
}

// A subscription begins at Stripe before its news come. A call that was abandoned in between counts in the period before, and its late settlement, which
// corrects the charge, is not refused.
func TestALateSettlementOfACallFromBeforeTheNews(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		h := s.hold("r1", 100)
		_, err := s.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 100}, 0)
		require.NoError(t, err)
		s.clock.Add(lease)
		swept, err := s.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, swept)
		before := s.account().Balance
		s.invoice(0, "paid")
		s.sub(0, "active") // since before the call
		require.Zero(t, s.account().Period)
		require.EqualValues(t, 30, s.settle(h, 30).Cost)
		require.Zero(t, s.account().Period)
		require.Equal(t, before+1000+70, s.account().Balance)
		s.settle(s.hold("r2", 5), 5)
		require.EqualValues(t, 5, s.account().Period.Cost)
	})
}

// mirrored mirrors an object without what follows from it.
func (s *subscriber) mirrored(kind mirror.Kind, body string) {
	s.t.Helper()
	o, err := mirror.Parse(kind, []byte(body))
	require.NoError(s.t, err)
	o.Sequence, err = s.store.TakeSequence(s.t.Context(), kind, o.ID)
	require.NoError(s.t, err)
	_, err = s.store.WriteObject(s.t.Context(), o, nil)
	require.NoError(s.t, err)
}

// The invoice of a year pays for each of its months, also when hundreds of invoices of automatic top-ups or of seats come after it.
func TestAYearWithManyInvoices(t *testing.T) {
	for name, of := range map[string]string{"of top-ups": "null", "of seats": `"sub_1"`} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				s.plans.prices["price_year"] = plans.Sale{Offer: s.plans.prices["price_pro"].Offer, Interval: plans.Year}
				s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_y","object":"invoice","customer":"cus_1","subscription":"sub_1","status":"paid","created":%d,"payment_intent":"pi_y",
					"total":20000,"lines":{"data":[{"type":"subscription","amount":20000,"quantity":1,"price":{"id":"price_year","object":"price"},
					"period":{"start":%[1]d,"end":%d}}]}}`, s.begin.Unix(), s.begin.AddDate(1, 0, 0).Unix()))
				for n := range 450 { // three of each second, so that a page ends within one
					s.mirrored(mirror.Invoice, fmt.Sprintf(`{"id":"in_%03d","object":"invoice","customer":"cus_1","subscription":%s,"status":"paid","created":%d,"total":2000,"lines":{"data":[]}}`,
						n, of, s.begin.Add(time.Duration(n/3+1)*time.Second).Unix()))
				}
				s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":"active","created":%d,"start_date":%[1]d,"billing_cycle_anchor":%[1]d,
					"current_period_start":%[1]d,"current_period_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_year","object":"price"}}]}}`,
					s.begin.Unix(), s.begin.AddDate(1, 0, 0).Unix()))
				s.requirePlan("pro@1", s.free()+1000)
				for n := 1; n < 4; n++ {
					s.clock.Set(s.month(n))
					s.requirePlan("pro@1", 1000)
				}
			})
		})
	}
}

// The time of grace counts from an invoice of before the period, also when hundreds of invoices come after it.
func TestAnUnpaidInvoiceBehindManyOthers(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		old := s.month(1).AddDate(0, 0, -6)
		s.mirrored(mirror.Invoice, fmt.Sprintf(`{"id":"in_old","object":"invoice","customer":"cus_1","subscription":"sub_1","status":"open","attempted":true,"created":%d,"total":2000,
			"lines":{"data":[]}}`, old.Unix()))
		for n := range 250 {
			s.mirrored(mirror.Invoice, fmt.Sprintf(`{"id":"in_%03d","object":"invoice","customer":"cus_1","subscription":null,"status":"paid","created":%d,"total":2000,"lines":{"data":[]}}`,
				n, old.Add(time.Duration(n+1)*time.Minute).Unix()))
		}
		access := func(at time.Time) subscriptions.Access {
			s.clock.Set(at)
			s.sub(1, "past_due")
			st, err := s.store.Subscription(t.Context(), alice)
			require.NoError(t, err)
			return st.Access
		}
		require.Equal(t, subscriptions.Grace, access(old.AddDate(0, 0, 7).Add(-time.Second)))
		require.Equal(t, subscriptions.Suspended, access(old.AddDate(0, 0, 7)))
	})
}
