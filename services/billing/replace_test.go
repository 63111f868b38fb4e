package billing_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

// useCard makes a test card the one that pays for the subscription.
func (h *fixture) useCard(name string) {
	h.t.Helper()
	customer, id := h.listed("/v1/customers")[0], h.listed("/v1/subscriptions")[0]
	card := h.at(http.MethodPost, "/v1/payment_methods/pm_card_"+name+"/attach", url.Values{"customer": {customer}})
	h.at(http.MethodPost, "/v1/subscriptions/"+id, url.Values{"default_payment_method": {card}})
}

func (h *fixture) subscription() *billingv1.Subscription {
	h.t.Helper()
	got, err := h.from("gateway").GetSubscription(h.as(admin), &billingv1.GetSubscriptionRequest{})
	require.NoError(h.t, err)
	return got.GetSubscription()
}

// scheduled buys the plan team and schedules a change to the plan pro.
func scheduled(t *testing.T, test func(t *testing.T, h *fixture)) {
	t.Helper()
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(changeFile)
		require.True(t, h.buy(purchase("team", "")).GetApplied())
		h.schedule()
		test(t, h)
	})
}

func (h *fixture) schedule() {
	h.t.Helper()
	p, err := h.preview("pro", 0, month)
	require.NoError(h.t, err)
	_, err = h.change(p)
	require.NoError(h.t, err)
	require.Equal(h.t, "pro", h.subscription().GetScheduledChange().GetPlanId())
}

// A scheduled change stays until the one that replaces it is paid, and goes then, whoever looks first.
func TestAScheduledChangeStaysUntilItsReplacementIsPaid(t *testing.T) {
	upgrade := func(h *fixture) (*billingv1.SubscriptionPreview, *billingv1.ChangeSubscriptionResponse) {
		p, err := h.preview("team", 3, month)
		require.NoError(h.t, err)
		done, err := h.change(p)
		require.NoError(h.t, err)
		return p, done
	}
	pay := func(h *fixture) {
		h.useCard("visa")
		h.at(http.MethodPost, "/v1/invoices/"+h.listed("/v1/invoices")[0]+"/pay", nil)
	}
	t.Run("paid at once", func(t *testing.T) {
		scheduled(t, func(t *testing.T, h *fixture) {
			_, done := upgrade(h)
			require.EqualValues(t, 3, done.GetSubscription().GetSeats())
			require.Nil(t, done.GetSubscription().GetScheduledChange())
		})
	})
	t.Run("paid later, and the caller repeats", func(t *testing.T) {
		scheduled(t, func(t *testing.T, h *fixture) {
			h.useCard("chargeCustomerFail")
			p, done := upgrade(h)
			require.NotEmpty(t, done.GetPaymentUrl())
			require.EqualValues(t, 1, done.GetSubscription().GetSeats())
			require.Equal(t, "pro", done.GetSubscription().GetScheduledChange().GetPlanId())
			pay(h)
			done, err := h.change(p)
			require.NoError(t, err)
			require.EqualValues(t, 3, done.GetSubscription().GetSeats())
			require.Nil(t, done.GetSubscription().GetScheduledChange())
		})
	})
	t.Run("paid later, and nobody asks", func(t *testing.T) {
		scheduled(t, func(t *testing.T, h *fixture) {
			h.useCard("chargeCustomerFail")
			_, _ = upgrade(h)
			pay(h)
			h.Add(time.Minute)
			stop := h.run()
			defer stop()
			require.Eventually(t, func() bool { return h.subscription().GetScheduledChange() == nil }, time.Minute, 10*time.Millisecond)
			require.EqualValues(t, 3, h.subscription().GetSeats())
		})
	})
	t.Run("never paid", func(t *testing.T) {
		scheduled(t, func(t *testing.T, h *fixture) {
			h.useCard("chargeCustomerFail")
			_, _ = upgrade(h)
			h.at(http.MethodPost, "/v1/invoices/"+h.listed("/v1/invoices")[0]+"/void", nil)
			h.useCard("visa")
			renewed, err := h.stripe.Renew(h.listed("/v1/subscriptions")[0])
			require.NoError(t, err)
			h.Set(time.Unix(renewed.CurrentPeriodStart, 0).Add(time.Second))
			_, err = h.reconcile(&billingv1.ReconcileRequest{})
			require.NoError(t, err)
			require.Equal(t, "pro", h.account().GetPlanId())
		})
	})
	t.Run("a later scheduled change is not replaced", func(t *testing.T) {
		scheduled(t, func(t *testing.T, h *fixture) {
			h.useCard("chargeCustomerFail")
			_, _ = upgrade(h)
			h.schedule()
			pay(h)
			h.Add(time.Minute)
			require.NoError(t, h.service.FinishReplacements(t.Context()))
			_, err := h.reconcile(&billingv1.ReconcileRequest{})
			require.NoError(t, err)
			require.Equal(t, "pro", h.subscription().GetScheduledChange().GetPlanId())
			require.EqualValues(t, 3, h.subscription().GetSeats())
		})
	})
	t.Run("another change cannot be scheduled", func(t *testing.T) {
		scheduled(t, func(t *testing.T, h *fixture) {
			h.useCard("chargeCustomerFail")
			_, _ = upgrade(h)
			billingtest.Fail(t, h.stripe, fault.Fault{Kind: fault.Status, Status: 400, Method: "POST", Path: "/v1/subscription_schedules/*", Count: 1})
			p, err := h.preview("pro", 0, month)
			require.NoError(t, err)
			_, err = h.change(p)
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, err)
			pay(h)
			h.Add(time.Minute)
			require.NoError(t, h.service.FinishReplacements(t.Context()))
			require.Nil(t, h.subscription().GetScheduledChange(), "the paid change still replaces the first scheduled one")
			require.EqualValues(t, 3, h.subscription().GetSeats())
		})
	})
	t.Run("not paid before the period is about to end", func(t *testing.T) {
		scheduled(t, func(t *testing.T, h *fixture) {
			end := h.subscription().GetPeriodEndTime().AsTime()
			h.useCard("chargeCustomerFail")
			h.Set(end.Add(-10 * time.Minute))
			_, done := upgrade(h)
			require.NotEmpty(t, done.GetPaymentUrl())
			invoice := h.listed("/v1/invoices")[0]
			h.Set(end.Add(-6 * time.Minute))
			require.NoError(t, h.service.FinishReplacements(t.Context()))
			require.Equal(t, []string{invoice}, h.listed("/v1/invoices?status=open"), "it can still be paid")
			h.Set(end.Add(-4 * time.Minute))
			require.NoError(t, h.service.FinishReplacements(t.Context()))
			require.Empty(t, h.listed("/v1/invoices?status=open"), "a payment would buy what is undone at once")
			h.useCard("visa")
			p, err := h.preview("team", 3, month)
			require.NoError(t, err)
			_, err = h.change(p)
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
			require.Empty(t, h.listed("/v1/invoices?status=open"))
			h.Set(end.Add(time.Second))
			_, err = h.stripe.Advance()
			require.NoError(t, err)
			_, err = h.reconcile(&billingv1.ReconcileRequest{})
			require.NoError(t, err)
			require.Equal(t, "pro", h.account().GetPlanId())
		})
	})
	t.Run("paid later, and another change is scheduled before anybody looks", func(t *testing.T) {
		scheduled(t, func(t *testing.T, h *fixture) {
			h.useCard("chargeCustomerFail")
			_, _ = upgrade(h)
			pay(h)
			h.schedule()
			require.EqualValues(t, 3, h.subscription().GetSeats())
			require.Len(t, h.listed("/v1/subscription_schedules"), 2, "the replaced one is released")
			renewed, err := h.stripe.Renew(h.listed("/v1/subscriptions")[0])
			require.NoError(t, err)
			h.Set(time.Unix(renewed.CurrentPeriodStart, 0).Add(time.Second))
			_, err = h.reconcile(&billingv1.ReconcileRequest{})
			require.NoError(t, err)
			require.Equal(t, "pro", h.account().GetPlanId())
		})
	})
}

// A scheduled change keeps the discount and whatever else the subscription has.
func TestAScheduledChangeKeepsThePromotionCode(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(changeFile)
		coupon := h.at(http.MethodPost, "/v1/coupons", url.Values{"percent_off": {"25"}, "duration": {"forever"}})
		h.at(http.MethodPost, "/v1/promotion_codes", url.Values{"coupon": {coupon}, "code": {"SPRING"}})
		session := h.checkout(purchase("team", ""))
		_, err := h.stripe.PayAs(session.GetId(), fake.Payer{Card: "visa", Email: "ann@example.test", Country: "DE", Code: "spring"})
		require.NoError(t, err)
		got, err := h.from("gateway").GetCheckoutSession(h.as(admin), &billingv1.GetCheckoutSessionRequest{CheckoutSessionId: session.GetId()})
		require.NoError(t, err)
		require.True(t, got.GetCheckoutSession().GetApplied())
		totals := func() (all []int64) {
			page, err := h.from("gateway").ListInvoices(h.as(admin), &billingv1.ListInvoicesRequest{})
			require.NoError(t, err)
			for _, inv := range page.GetInvoices() {
				all = append(all, inv.GetTotalMinorUnits())
			}
			return all
		}
		require.Equal(t, []int64{8925}, totals(), "$100 less 25 %, and 19 % of tax")
		h.schedule()
		_, err = h.stripe.Renew(h.listed("/v1/subscriptions")[0])
		require.NoError(t, err)
		require.Equal(t, []int64{1785, 8925}, totals(), "$20 less 25 %, and 19 % of tax")
	})
}

// A change that is scheduled anew does not take back what the subscription got since the schedule was made.
func TestAScheduledChangeKeepsTheSeatsOfNow(t *testing.T) {
	scheduled(t, func(t *testing.T, h *fixture) {
		id := h.listed("/v1/subscriptions")[0]
		item := h.listed("/v1/subscription_items?subscription=" + id)[0]
		h.at(http.MethodPost, "/v1/subscriptions/"+id, url.Values{"items[0][id]": {item}, "items[0][quantity]": {"3"}}) // in the dashboard
		h.schedule()
		require.EqualValues(t, 3, h.subscription().GetSeats())
	})
}
