package billing_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
)

const historyFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0.00"}
  - {id: pro, name: Pro, price: "20.00", included_credit: "25.00", renewal_advance_percent: 25, grace_days: 7}
  - {id: max, name: Max, price: "50.00", included_credit: "70.00", renewal_advance_percent: 25, grace_days: 7}
packs:
  - {id: credit_20, name: $20 of credit, price: "20.00", credit: "21.00"}
`

// history is what happens to an account at Stripe. Two histories of the same seed are the same there.
type history struct {
	*fixture
	dice     *rand.Rand
	customer string
	prices   []string
	pack     string
	// news are the events that have not been told yet.
	news []string
}

// try calls the fake as Stripe's dashboard would. What Stripe refuses does not happen.
func (h *history) try(method, path string, form url.Values) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Authorization", "Bearer sk_test_billing")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.stripe.ServeHTTP(w, r)
	require.Less(h.t, w.Code, http.StatusInternalServerError, w.Body.String())
}

func (h *history) pick(path string) string {
	all := h.listed(path)
	if len(all) == 0 {
		return "none"
	}
	return all[h.dice.IntN(len(all))]
}

func newHistory(h *fixture, seed uint64) *history {
	h.t.Helper()
	h.Set(time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC))
	h.apply(historyFile)
	session := h.checkout(purchase("", "credit_20")) // it makes the customer
	x := &history{fixture: h, dice: rand.New(rand.NewPCG(seed, 0)), customer: h.listed("/v1/customers")[0], prices: h.listed("/v1/prices?type=recurring")}
	x.pack = h.listed("/v1/prices?type=one_time")[0]
	x.try(http.MethodPost, "/v1/checkout/sessions/"+session.GetId()+"/expire", nil)
	x.card("visa")
	x.told()
	return x
}

func (h *history) card(name string) {
	h.t.Helper()
	m := h.at(http.MethodPost, "/v1/payment_methods/pm_card_"+name+"/attach", url.Values{"customer": {h.customer}})
	h.at(http.MethodPost, "/v1/customers/"+h.customer, url.Values{"invoice_settings[default_payment_method]": {m}})
}

// step is one thing that happens.
func (h *history) step() {
	const live = "/v1/subscriptions?limit=100"
	sub, invoice := h.pick(live), "/v1/invoices/"+h.pick("/v1/invoices?limit=100")
	price := url.Values{"items[0][price]": {h.prices[h.dice.IntN(len(h.prices))]}}
	switch h.dice.IntN(15) {
	case 0, 1, 2:
		if sub == "none" && len(h.listed("/v1/subscriptions?status=all&limit=100")) < 3 {
			price.Set("customer", h.customer)
			h.try(http.MethodPost, "/v1/subscriptions", price)
		}
	case 3, 4:
		for range 1 + h.dice.IntN(3) { // within one second
			price := url.Values{"items[0][price]": {h.prices[h.dice.IntN(len(h.prices))]}}
			price.Set("items[0][id]", h.item(sub))
			price.Set("proration_behavior", "always_invoice")
			price.Set("payment_behavior", "pending_if_incomplete")
			h.try(http.MethodPost, "/v1/subscriptions/"+sub, price)
		}
	case 5:
		end := url.Values{"cancel_at_period_end": {fmt.Sprint(h.dice.IntN(2) == 0)}}
		switch h.dice.IntN(4) {
		case 0:
			end = url.Values{"cancel_at": {fmt.Sprint(h.Now().Add(time.Duration(1+h.dice.IntN(20*24)) * time.Hour).Unix())}}
		case 1:
			end = url.Values{"cancel_at": {""}}
		}
		h.try(http.MethodPost, "/v1/subscriptions/"+sub, end)
	case 6:
		h.try(http.MethodDelete, "/v1/subscriptions/"+sub, nil)
	case 7:
		h.card([]string{"visa", "chargeCustomerFail"}[h.dice.IntN(2)])
	case 8:
		h.try(http.MethodPost, invoice+"/pay", nil)
	case 9:
		h.try(http.MethodPost, "/v1/refunds", url.Values{"charge": {h.pick("/v1/charges?limit=100")}, "amount": {fmt.Sprint(1 + h.dice.IntN(2500))}})
	case 10:
		_, _ = h.stripe.OpenDispute(h.pick("/v1/charges?limit=100"), "")
	case 11:
		_, _ = h.stripe.CloseDispute(h.pick("/v1/disputes?limit=100"), h.dice.IntN(2) == 0)
	case 12:
		amount := fmt.Sprint(1 + h.dice.IntN(1000))
		h.try(http.MethodPost, "/v1/credit_notes", url.Values{"invoice": {strings.TrimPrefix(invoice, "/v1/invoices/")}, "amount": {amount}, "credit_amount": {amount}})
	case 13:
		id := h.at(http.MethodPost, "/v1/checkout/sessions", url.Values{
			"mode": {"payment"}, "customer": {h.customer}, "line_items[0][price]": {h.pack}, "success_url": {"https://app.example.com/"}, "invoice_creation[enabled]": {"true"},
		})
		_, err := h.stripe.Pay(id, "visa", "ann@example.test")
		require.NoError(h.t, err)
	case 14:
		h.pass(time.Duration(h.dice.IntN(20*24)) * time.Hour)
	}
	h.pass(time.Hour)
}

// item is the item of a subscription.
func (h *history) item(sub string) string {
	if sub == "none" {
		return "none"
	}
	return h.listed("/v1/subscription_items?subscription=" + sub)[0]
}

func (h *history) pass(d time.Duration) {
	h.t.Helper()
	h.Add(d)
	_, err := h.stripe.Advance()
	require.NoError(h.t, err)
}

// settle pays what a live subscription owes, so that nothing depends on what was forgiven before.
func (h *history) settle() {
	h.card("visa")
	for range 2 {
		for _, status := range []string{"open", "draft"} {
			for _, id := range h.listed("/v1/invoices?limit=100&status=" + status) {
				h.try(http.MethodPost, "/v1/invoices/"+id+"/pay", nil)
			}
		}
	}
}

// told returns the events since the last call.
func (h *history) told() (news []string) {
	h.emitted.Lock()
	defer h.emitted.Unlock()
	news, h.emitted.bodies = h.emitted.bodies, nil
	return news
}

// tell delivers some of the news in any order: some are lost, some come twice, some come later.
func (h *history) tell(chance *rand.Rand) {
	h.t.Helper()
	h.news = append(h.news, h.told()...)
	chance.Shuffle(len(h.news), func(i, j int) { h.news[i], h.news[j] = h.news[j], h.news[i] })
	var later []string
	for n, body := range h.news {
		switch chance.IntN(5) {
		case 0, 1: // lost
		case 2:
			later = append(later, body)
		default:
			for range 1 + chance.IntN(2) {
				_, err := h.deliver(webhookSecret, body)
				require.NoError(h.t, err)
			}
			if chance.IntN(3) == 0 { // the same news under another id
				var e map[string]any
				require.NoError(h.t, json.Unmarshal([]byte(body), &e))
				e["id"] = fmt.Sprintf("evt_again_%d_%d", h.Now().UnixNano(), n)
				again, err := json.Marshal(e)
				require.NoError(h.t, err)
				_, err = h.deliver(webhookSecret, string(again))
				require.NoError(h.t, err)
			}
		}
	}
	h.news = later
	require.Eventually(h.t, func() bool {
		waiting, err := h.from("gateway").ListEvents(h.as(operator), &billingv1.ListEventsRequest{State: inboxv1.EventState_EVENT_STATE_PENDING, PageSize: 1})
		return err == nil && len(waiting.GetEvents()) == 0
	}, time.Minute, 2*time.Millisecond)
}

// outcome is what the account has in the end.
func (h *history) outcome() string {
	h.t.Helper()
	h.fixture.news()
	h.fixture.news()
	a := h.account()
	got, err := h.from("gateway").GetSubscription(h.as(admin), &billingv1.GetSubscriptionRequest{})
	s := got.GetSubscription()
	if err != nil {
		return fmt.Sprint("never subscribed ", a.GetPlanId(), a.GetBalanceNanoUsd(), " ", err)
	}
	return fmt.Sprint(a.GetPlanId(), " ", a.GetBalanceNanoUsd(), " ", s.GetId(), s.GetStatus(), s.GetAccess(), s.GetPlanId(), s.GetSeats(), s.GetCancelTime(), s.GetPeriodEndTime())
}

// Whatever is lost, doubled, reordered or late of the news of one to three subscriptions, packs, refunds, disputes and credit notes: the account has in the
// end what it has with perfect news. stripe/sync-engine#268 dropped updates, wasp-lang/open-saas#688 granted twice for one invoice, laravel/cashier-stripe#1201
// depended on the order, and polarsource/polar#9410 revoked in the wrong order.
func TestAnyNewsLeadToTheSameEnd(t *testing.T) {
	seeds := uint64(3)
	if os.Getenv("TRIVET_FAULTS") != "" {
		seeds = 40
	}
	env := webhookEnv()
	env["CORS_ALLOWED_ORIGINS"] = selling["CORS_ALLOWED_ORIGINS"]
	env["STRIPE_RECONCILE_INTERVAL"] = "0s" // the histories reconcile themselves, and only one run may at a time
	each(t, env, func(t *testing.T, first *fixture) {
		for seed := range seeds {
			truth := newHistory(newFixture(t, env, onSQLite(t)), seed)
			told := newHistory(first.again(env), seed)
			stop, chance := told.run(), rand.New(rand.NewPCG(seed, 1))
			for range 25 {
				truth.step()
				truth.fixture.news()
				told.step()
				told.tell(chance)
			}
			truth.settle()
			told.settle()
			want, got := truth.outcome(), told.outcome()
			stop()
			require.Equal(t, want, got, "seed %d", seed)
			truth.sound()
			told.sound()
		}
	})
}
