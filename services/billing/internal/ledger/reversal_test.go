package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// taken is an object at Stripe that takes money back, in its states. Its last state counts.
type taken struct {
	kind   mirror.Kind
	id     string
	paid   string // the payment intent, or the invoice of a credit note
	refund string // of a credit note
	amount int64
	states []string
}

// counts is what the last state takes back.
func (o taken) counts() int64 {
	switch o.states[len(o.states)-1] {
	case "failed", "canceled", "won", "void", "warning_closed":
		return 0
	}
	return o.amount
}

func (o taken) body(state string) string {
	if o.kind == mirror.CreditNote {
		return fmt.Sprintf(`{"id":%q,"object":"credit_note","status":%q,"amount":%d,"invoice":%q,"refund":%q,"customer":"cus_1","created":1}`,
			o.id, state, o.amount, o.paid, o.refund)
	}
	return fmt.Sprintf(`{"id":%q,"object":%q,"status":%q,"amount":%d,"payment_intent":%q,"charge":"ch_1","created":1}`, o.id, o.kind, state, o.amount, o.paid)
}

// story makes up what happens to a payment of total.
func story(dice *rand.Rand, tag, payment, invoice string, total int64) (all []taken) {
	pick := func(lists ...[]string) []string { return lists[dice.IntN(len(lists))] }
	for n := range dice.IntN(4) {
		o := taken{amount: 1 + dice.Int64N(total), paid: payment}
		switch dice.IntN(4) {
		case 0, 1:
			o.kind, o.id = mirror.Refund, fmt.Sprintf("re_%s_%d", tag, n)
			o.states = pick([]string{"succeeded"}, []string{"pending", "succeeded"}, []string{"pending", "failed"}, []string{"requires_action", "canceled"})
		case 2:
			o.kind, o.id = mirror.Dispute, fmt.Sprintf("dp_%s_%d", tag, n)
			o.states = pick([]string{"needs_response", "won"}, []string{"needs_response", "under_review", "lost"}, []string{"warning_needs_response", "warning_closed"})
		case 3:
			o.kind, o.id, o.paid = mirror.CreditNote, fmt.Sprintf("cn_%s_%d", tag, n), invoice
			o.states = pick([]string{"issued"}, []string{"issued", "void"})
			if dice.IntN(2) == 0 && o.states[len(o.states)-1] == "issued" { // it refunds a part of its amount
				r := taken{kind: mirror.Refund, id: "re_of_" + o.id, paid: payment, amount: 1 + dice.Int64N(o.amount), states: []string{"succeeded"}}
				o.refund = r.id
				o.amount -= r.amount // what is left to count; the body says all
				all = append(all, r)
			}
		}
		all = append(all, o)
	}
	return all
}

// Whatever is refunded, disputed and credited, in whatever order and however often the news of it and of the purchase come: what is left is the credit
// less its part, once. elizaOS/eliza#11017 did not give back what a won dispute had taken, managoat/fountain#1126 took twice.
func TestReversalsOfPacksAndInvoices(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		dice := rand.New(rand.NewPCG(7, 11))
		s.sub(0, "active")
		s.invoice(0, "paid")
		packs := int64(0)
		for month := 1; month < 13; month++ {
			s.clock.Set(s.month(month).Add(time.Minute))
			tag := fmt.Sprint(month)
			ofPack, ofInvoice := story(dice, "p"+tag, "pi_pack_"+tag, "in_pack_"+tag, 121), story(dice, "i"+tag, "pi_in_"+tag, "in_"+tag, 2380)
			var news []func()
			for _, o := range append(ofPack[:len(ofPack):len(ofPack)], ofInvoice...) {
				news = append(news, func() {
					for n := range 1 + dice.IntN(2) {
						for _, state := range o.states[min(n, len(o.states)-1):] {
							whole := o
							for _, r := range append(ofPack[:len(ofPack):len(ofPack)], ofInvoice...) {
								if r.id == o.refund {
									whole.amount += r.amount
								}
							}
							s.write(o.kind, whole.body(state))
						}
					}
				})
			}
			news = append(news, func() {
				s.write(mirror.CheckoutSession, fmt.Sprintf(`{"id":"cs_%[1]s","object":"checkout.session","customer":"cus_1","mode":"payment","status":"complete",
					"payment_status":"paid","payment_intent":"pi_pack_%[1]s","invoice":"in_pack_%[1]s","amount_total":121,"created":%[2]d,
					"line_items":{"data":[{"quantity":1,"price":{"id":"price_pack","object":"price"}}]}}`, tag, s.begin.Unix()))
			}, func() { s.sub(month, "active") }, func() { s.invoice(month, "paid") })
			dice.Shuffle(len(news), func(i, j int) { news[i], news[j] = news[j], news[i] })
			for _, tell := range news {
				tell()
			}
			left := func(credit, total int64, all []taken) int64 {
				sum := int64(0)
				for _, o := range all {
					sum += o.counts()
				}
				return credit - credit*min(sum, total)/total
			}
			packs += left(500, 121, ofPack)
			require.Equal(t, packs+left(250, 2380, ofInvoice)+left(750, 2380, ofInvoice), s.account().Balance, "month %d: %+v %+v", month, ofPack, ofInvoice)
			s.sound()
		}
	})
}

// A year that is paid at once is one payment for twelve months: what is refunded of it lowers the present month and each later one.
func TestARefundOfAYear(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.plans.prices["price_year"] = plans.Sale{Offer: s.plans.prices["price_pro"].Offer, Interval: plans.Year}
		body := fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":"active","created":%d,"start_date":%[1]d,"billing_cycle_anchor":%[1]d,
			"current_period_start":%[1]d,"current_period_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_year","object":"price"}}]}}`,
			s.begin.Unix(), s.begin.AddDate(1, 0, 0).Unix())
		s.write(mirror.Subscription, body)
		s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_y","object":"invoice","customer":"cus_1","subscription":"sub_1","status":"paid","created":%d,"payment_intent":"pi_y",
			"total":20000,"lines":{"data":[{"type":"subscription","amount":20000,"quantity":1,"price":{"id":"price_year","object":"price"},
			"period":{"start":%[1]d,"end":%d}}]}}`, s.begin.Unix(), s.begin.AddDate(1, 0, 0).Unix()))
		require.Equal(t, s.free()+1000, s.account().Balance)
		s.clock.Set(s.month(1))
		require.EqualValues(t, 1000, s.account().Balance)
		s.write(mirror.Refund, `{"id":"re_1","object":"refund","status":"succeeded","amount":5000,"payment_intent":"pi_y","charge":"ch_1","created":1}`)
		require.EqualValues(t, 750, s.account().Balance)
		s.clock.Set(s.month(2))
		require.EqualValues(t, 750, s.account().Balance)
		s.write(mirror.CreditNote, `{"id":"cn_1","object":"credit_note","status":"issued","amount":15000,"invoice":"in_y","customer":"cus_1","created":1}`)
		require.Zero(t, s.account().Balance)
		s.clock.Set(s.month(3))
		require.Zero(t, s.account().Balance)
	})
}

// Credit that a won dispute gave back ends with its subscription.
func TestReturnedCreditEndsWithItsSubscription(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		for _, status := range []string{"needs_response", "won"} {
			s.write(mirror.Dispute, fmt.Sprintf(`{"id":"dp_1","object":"dispute","status":%q,"amount":2380,"payment_intent":"pi_in_0","charge":"ch_1","created":1}`, status))
		}
		s.requirePlan("pro@1", s.free()+1000)
		s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.begin.Unix()))
		s.requirePlan("monthly", s.free())
	})
}

// Credit does not come back after its subscription has ended: neither when a refund fails, nor when a late settlement corrects a call. That is also so
// where an earlier version has left an empty grant its expiry.
func TestCreditDoesNotComeBackAfterTheEnd(t *testing.T) {
	refund := func(s *subscriber, status string) {
		s.write(mirror.Refund, fmt.Sprintf(`{"id":"re_1","object":"refund","status":%q,"amount":2380,"payment_intent":"pi_in_0","charge":"ch_1","created":1}`, status))
	}
	end := func(s *subscriber) {
		s.clock.Add(time.Second)
		s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		s.clock.Add(time.Microsecond) // the credit is good for the calls of the moment of the end
	}
	for name, c := range map[string]func(t *testing.T, s *subscriber){
		"a refund that fails": func(t *testing.T, s *subscriber) {
			refund(s, "pending")
			s.requirePlan("pro@1", s.free())
			end(s)
			refund(s, "failed")
			s.requirePlan("monthly", s.free())
			end(s)
			s.requirePlan("monthly", s.free())
		},
		"a late settlement": func(t *testing.T, s *subscriber) {
			h := s.hold("r1", s.free()+1000)
			s.clock.Add(lease)
			s.sweep(1)
			require.Zero(t, s.account().Balance)
			end(s)
			s.settle(h, s.free()-1)
			s.requirePlan("monthly", 1)
			end(s)
			s.requirePlan("monthly", 1)
		},
		"the expiry of an earlier version": func(t *testing.T, s *subscriber) {
			refund(s, "pending")
			end(s)
			s.exec("UPDATE credit_grant SET expire_time = " + fmt.Sprint(s.month(1).UnixMicro()) + " WHERE source LIKE 'sub:%'")
			refund(s, "failed")
			s.requirePlan("monthly", s.free()+1000)
			end(s)
			s.requirePlan("monthly", s.free())
		},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				s.invoice(0, "paid")
				s.sub(0, "active")
				s.requirePlan("pro@1", s.free()+1000)
				c(t, s)
			})
		})
	}
}
