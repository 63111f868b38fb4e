package billing_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// A month after a year begins with the next period, and can be taken back. The year stays until then.
func TestAMonthAfterAYear(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(changeFile)
		h.subscribe(admin, "pro", year)
		client := h.from("gateway")
		end := h.subscription().GetPeriodEndTime().AsTime()
		id := h.listed("/v1/subscriptions")[0]
		toMonth := func() {
			p, err := h.preview("pro", 0, month)
			require.NoError(t, err)
			require.Zero(t, p.GetAmountMinorUnits())
			require.Zero(t, p.GetCreditNanoUsd())
			require.EqualValues(t, 2_000, p.GetNextAmountMinorUnits())
			require.Equal(t, end, p.GetEffectiveTime().AsTime())
			done, err := h.change(p)
			require.NoError(t, err)
			require.Equal(t, year, done.GetSubscription().GetInterval())
			require.Equal(t, end, done.GetSubscription().GetPeriodEndTime().AsTime())
			require.Equal(t, month, done.GetSubscription().GetScheduledChange().GetInterval())
			require.Equal(t, end, done.GetSubscription().GetScheduledChange().GetEffectiveTime().AsTime())
		}
		toMonth()
		kept, err := client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
		require.NoError(t, err)
		require.Nil(t, kept.GetSubscription().GetScheduledChange())
		require.Equal(t, year, kept.GetSubscription().GetInterval())
		toMonth()
		require.Equal(t, []int64{20_000}, h.invoiced())

		renewed, err := h.stripe.Renew(id)
		require.NoError(t, err)
		require.Equal(t, end.Unix(), renewed.CurrentPeriodStart)
		h.Set(end.Add(time.Second))
		h.news()
		require.Equal(t, month, h.subscription().GetInterval())
		require.Equal(t, end.AddDate(0, 1, 0), h.subscription().GetPeriodEndTime().AsTime())
		require.Equal(t, []int64{2_000, 20_000}, h.invoiced())
	})
}

// What is paid at Stripe may show there a moment later: the success page waits for it.
func TestTheSuccessPageWaits(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		session := h.checkout(purchase("pro", ""))
		_, err := h.stripe.Pay(session.GetId(), "visa", "ann@example.test")
		require.NoError(t, err)
		var late atomic.Int32
		alter := func(r *http.Request, body []byte) []byte {
			if strings.HasPrefix(r.URL.Path, "/v1/subscriptions/") && late.Add(1) == 1 {
				return edited(t, body, func(o map[string]any) { o["status"] = "incomplete" })
			}
			return body
		}
		h.alter.Store(&alter)
		got, err := h.from("gateway").GetCheckoutSession(h.as(admin), &billingv1.GetCheckoutSessionRequest{CheckoutSessionId: session.GetId()})
		require.NoError(t, err)
		require.EqualValues(t, 2, late.Load(), "the subscription was read again")
		require.True(t, got.GetCheckoutSession().GetApplied())
		require.Equal(t, billingv1.CheckoutStatus_CHECKOUT_STATUS_COMPLETE, got.GetCheckoutSession().GetStatus())
		require.Equal(t, "pro", h.account().GetPlanId())
	})
}

// The portal is for cards, the address and tax ids, invoices and canceling at the end of the period. It changes no plan.
func TestWhatThePortalOffers(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		var sent []url.Values
		before := func(r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != "/v1/billing_portal/configurations" {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			form, err := url.ParseQuery(string(body))
			if err != nil {
				t.Error(err)
			}
			sent = append(sent, form)
		}
		h.before.Store(&before)
		h.apply(planFile)
		h.apply(planFile)
		require.Len(t, sent, 1, "one configuration, however often plans are applied")
		features := map[string]string{}
		for name, values := range sent[0] {
			if rest, ok := strings.CutPrefix(name, "features"); ok {
				features[rest] = strings.Join(values, " ")
			}
		}
		require.Equal(t, map[string]string{
			"[customer_update][enabled]":            "true",
			"[customer_update][allowed_updates][0]": "address", "[customer_update][allowed_updates][1]": "email",
			"[customer_update][allowed_updates][2]": "name", "[customer_update][allowed_updates][3]": "tax_id",
			"[invoice_history][enabled]": "true", "[payment_method_update][enabled]": "true",
			"[subscription_cancel][enabled]": "true", "[subscription_cancel][mode]": "at_period_end",
			"[subscription_update][enabled]": "false", "[subscription_update][default_allowed_updates]": "", "[subscription_update][products]": "",
		}, features)
	})
}

// A customer that was deleted at Stripe is replaced by one new customer, whoever asks at once, and there is one open page.
func TestCheckoutsAfterTheCustomerIsDeleted(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		h.checkout(purchase("", "credit_20"))
		gone := h.listed("/v1/customers")
		require.Len(t, gone, 1)
		h.at(http.MethodDelete, "/v1/customers/"+gone[0], nil)
		client, ctx := h.from("gateway"), h.as(admin)
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				for range 100 {
					_, err := client.CreateCheckoutSession(ctx, purchase("pro", ""))
					if err == nil {
						return
					}
					if e := errs.From(err); e.Reason != errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE { // the news of the deletion is written first
						t.Error(err)
						return
					}
				}
				t.Error("no page after 100 calls")
			})
		}
		group.Wait()
		fresh := h.listed("/v1/customers")
		require.Len(t, fresh, 1)
		require.NotEqual(t, gone, fresh)
		require.Len(t, h.listed("/v1/checkout/sessions?status=open"), 1)
	})
}

// A customer's credit at Stripe pays a part of a change. The preview shows what is left to pay, and not the total: paddle-node-sdk#106 ignored the credit.
func TestAPreviewCountsTheCreditAtStripe(t *testing.T) {
	subscribed(t, func(t *testing.T, h *fixture) {
		whole, err := h.preview("team", 1, month)
		require.NoError(t, err)
		require.Greater(t, whole.GetAmountMinorUnits(), int64(500))
		h.at(http.MethodPost, "/v1/customers/"+h.listed("/v1/customers")[0], url.Values{"balance": {"-500"}})
		p, err := h.preview("team", 1, month)
		require.NoError(t, err)
		require.Equal(t, whole.GetAmountMinorUnits()-500, p.GetAmountMinorUnits())
		require.Equal(t, whole.GetCreditNanoUsd(), p.GetCreditNanoUsd(), "the plan's credit is that of the price")
		require.Equal(t, whole.GetNextAmountMinorUnits(), p.GetNextAmountMinorUnits())
		before := h.account().GetBalanceNanoUsd()
		_, err = h.change(p)
		require.NoError(t, err)
		require.Equal(t, before+p.GetCreditNanoUsd(), h.account().GetBalanceNanoUsd())
		require.Equal(t, []int64{p.GetAmountMinorUnits(), 2_000}, h.charged())
	})
}

// charged are the amounts of the charges at Stripe, newest first.
func (h *fixture) charged() (all []int64) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, "/v1/charges", http.NoBody)
	r.Header.Set("Authorization", "Bearer sk_test_secret")
	w := httptest.NewRecorder()
	h.stripe.ServeHTTP(w, r)
	var list struct{ Data []struct{ Amount int64 } }
	require.NoError(h.t, json.Unmarshal(w.Body.Bytes(), &list))
	for _, c := range list.Data {
		all = append(all, c.Amount)
	}
	return all
}

// edited changes an object that Stripe answers with.
func edited(t *testing.T, body []byte, change func(map[string]any)) []byte {
	t.Helper()
	var object map[string]any
	require.NoError(t, json.Unmarshal(body, &object))
	change(object)
	out, err := json.Marshal(object)
	require.NoError(t, err)
	return out
}
