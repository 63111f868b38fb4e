package billing_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

// notices lists the notices of org_1, the oldest first.
func (h *fixture) notices(kind billingv1.NoticeKind) []*billingv1.Notice {
	h.t.Helper()
	got, err := h.from("gateway").ListNotices(h.as(admin), &billingv1.ListNoticesRequest{Kind: kind})
	require.NoError(h.t, err)
	slices.Reverse(got.GetNotices())
	return got.GetNotices()
}

// newerInvoices makes more invoices of org_1 than Stripe lists at once.
func (h *fixture) newerInvoices() {
	h.t.Helper()
	h.Add(time.Second)
	form := url.Values{"customer": {h.listed("/v1/customers")[0]}, "auto_advance": {"false"}}
	for range 101 {
		h.at(http.MethodPost, "/v1/invoices", form)
	}
}

// A renewal that fails, with Stripe as it is: the notices, the link that pays, and who may see them.
func TestNoticesOfAFailedRenewal(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
		h.Set(begin)
		h.apply(yearFile)
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		h.useCard("chargeCustomerFail")
		end := begin.AddDate(0, 1, 0)
		h.reach(end)
		h.reach(end.Add(time.Hour))
		failed := h.notices(billingv1.NoticeKind_NOTICE_KIND_PAYMENT_FAILED)
		require.Len(t, failed, 1)
		require.Equal(t, h.notices(0), failed)
		n := failed[0]
		require.Equal(t, "org_1", n.GetAccountId())
		require.Equal(t, "pro", n.GetPlanId())
		require.EqualValues(t, 20_000_000_000, n.GetAmountNanoUsd())
		require.Equal(t, h.listed("/v1/invoices?status=open")[0], n.GetInvoiceId())
		require.Contains(t, n.GetPayUrl(), n.GetInvoiceId())
		h.newerInvoices()
		require.Equal(t, n.GetPayUrl(), h.notices(billingv1.NoticeKind_NOTICE_KIND_PAYMENT_FAILED)[0].GetPayUrl(), "behind a page of newer invoices")

		h.reach(end.AddDate(0, 0, 7))
		h.due(billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_SUSPENDED)
		h.useCard("visa")
		h.at(http.MethodPost, "/v1/invoices/"+n.GetInvoiceId()+"/pay", nil)
		h.news()
		_, err := h.from("gateway").CancelSubscription(h.as(admin), &billingv1.CancelSubscriptionRequest{Now: true})
		require.NoError(t, err)
		var kinds []billingv1.NoticeKind
		for _, n := range h.notices(0) {
			kinds = append(kinds, n.GetKind())
		}
		require.Equal(t, []billingv1.NoticeKind{
			billingv1.NoticeKind_NOTICE_KIND_PAYMENT_FAILED, billingv1.NoticeKind_NOTICE_KIND_DOWNGRADED, billingv1.NoticeKind_NOTICE_KIND_RECOVERED,
			billingv1.NoticeKind_NOTICE_KIND_ENDED,
		}, kinds)
		require.Empty(t, h.notices(billingv1.NoticeKind_NOTICE_KIND_PAYMENT_FAILED)[0].GetPayUrl(), "it is paid")

		client := h.from("gateway")
		var paged []string
		token := ""
		for range 2 {
			page, err := client.ListNotices(h.as(operator), &billingv1.ListNoticesRequest{AccountId: "org_1", PageSize: 2, PageToken: token})
			require.NoError(t, err)
			require.Len(t, page.GetNotices(), 2)
			for _, n := range page.GetNotices() {
				paged = append(paged, n.GetId())
			}
			token = page.GetNextPageToken()
		}
		require.Empty(t, token)
		require.True(t, slices.IsSortedFunc(paged, func(a, b string) int { return strings.Compare(b, a) }))
		_, err = client.ListNotices(h.as(member), &billingv1.ListNoticesRequest{})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
		_, err = client.ListNotices(h.as(elsewhere), &billingv1.ListNoticesRequest{AccountId: "org_1"})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
		other, err := client.ListNotices(h.as(elsewhere), &billingv1.ListNoticesRequest{})
		require.NoError(t, err)
		require.Empty(t, other.GetNotices())
	})
}

// A list that stops waiting for Stripe does not count as a failure of Stripe: it stops no other call.
func TestStripeDoesNotFailWhenNoticesStopWaiting(t *testing.T) {
	begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	h := &fixture{Clock: billingtest.NewClock(begin), payURLTime: 20 * time.Millisecond}
	h.stripe, _ = billingtest.Stripe(t, fake.Config{Now: h.Now, AfterRetries: "unpaid", Emit: h.emit})
	env := maps.Clone(selling)
	env["STRIPE_BREAKER_FAILURES"] = "3"
	h.begin(t, env, onSQLite(t), "")
	h.apply(yearFile)
	require.True(t, h.buy(purchase("pro", "")).GetApplied())
	h.useCard("chargeCustomerFail")
	h.reach(begin.AddDate(0, 1, 0))
	h.reach(begin.AddDate(0, 1, 0).Add(time.Hour))
	var hung atomic.Int64
	hang := func(r *http.Request) {
		hung.Add(1)
		<-r.Context().Done()
	}
	h.before.Store(&hang)
	for calls := 0; hung.Load() < 10; calls++ { // a slow machine may give up before it calls
		require.Less(t, calls, 1000, "calls are stopped")
		require.Len(t, h.notices(0), 1)
	}
	h.before.Store(nil)
	status, err := h.from("gateway").GetStatus(t.Context(), &billingv1.GetStatusRequest{})
	require.NoError(t, err)
	require.Equal(t, statusv1.Status_STATUS_OPERATIONAL, status.GetProvider().GetStatus())
}
