package billing_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

// The fake Stripe has no limit of reads, and waits for nothing.
var selling = map[string]string{
	"STRIPE_SECRET_KEY": "sk_test_secret", "CORS_ALLOWED_ORIGINS": "https://app.example.com", "STRIPE_READS_PER_SECOND": "10000", "STRIPE_RETRY_DELAY": "1ms",
}

const planFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00", features: [chat]}
  - {id: pro, name: Pro, price: "20.00", yearly_price: "200.00", included_credit: "25.00", features: [chat, api_keys]}
  - {id: team, name: Team, price: "10.00", included_credit: "12.00", seats: {min: 2, max: 5}, trial: {days: 14, credit: "3.00"}}
packs:
  - {id: credit_20, name: $20 of credit, price: "20.00", credit: "21.00"}
`

// apply applies a plan file as the operator.
func (h *fixture) apply(file string) []*billingv1.PlanChange {
	h.t.Helper()
	got, err := h.from("gateway").ApplyPlans(h.as(operator), &billingv1.ApplyPlansRequest{PlanFile: []byte(file)})
	require.NoError(h.t, err)
	return got.GetChanges()
}

func purchase(plan, pack string) *billingv1.CreateCheckoutSessionRequest {
	r := &billingv1.CreateCheckoutSessionRequest{
		SuccessUrl: "https://app.example.com/paid?session={CHECKOUT_SESSION_ID}", CancelUrl: "https://app.example.com/billing",
	}
	if plan != "" {
		r.Item = &billingv1.CreateCheckoutSessionRequest_PlanId{PlanId: plan}
	} else {
		r.Item = &billingv1.CreateCheckoutSessionRequest_PackId{PackId: pack}
	}
	return r
}

// checkout opens a session as the admin of org_1.
func (h *fixture) checkout(r *billingv1.CreateCheckoutSessionRequest) *billingv1.CheckoutSession {
	h.t.Helper()
	got, err := h.from("gateway").CreateCheckoutSession(h.as(admin), r)
	require.NoError(h.t, err)
	return got.GetCheckoutSession()
}

// buy buys as a person does: on the page, and back to the app.
func (h *fixture) buy(r *billingv1.CreateCheckoutSessionRequest) *billingv1.CheckoutSession {
	h.t.Helper()
	session := h.checkout(r)
	back, err := h.stripe.Pay(session.GetId(), "visa", "ann@example.test")
	require.NoError(h.t, err)
	require.Equal(h.t, "https://app.example.com/paid?session="+session.GetId(), back)
	got, err := h.from("gateway").GetCheckoutSession(h.as(admin), &billingv1.GetCheckoutSessionRequest{CheckoutSessionId: session.GetId()})
	require.NoError(h.t, err)
	require.Equal(h.t, billingv1.CheckoutStatus_CHECKOUT_STATUS_COMPLETE, got.GetCheckoutSession().GetStatus())
	return got.GetCheckoutSession()
}

func (h *fixture) account() *billingv1.Account {
	h.t.Helper()
	got, err := h.from("gateway").GetAccount(h.as(admin), &billingv1.GetAccountRequest{})
	require.NoError(h.t, err)
	return got.GetAccount()
}

// sell runs a test on both databases, with a Stripe that has the same clock.
func sell(t *testing.T, test func(t *testing.T, h *fixture)) {
	t.Helper()
	each(t, selling, test)
}

// A plan and a pack are in the account when the person is back, without any webhook. Each checkout of a saved customer lets Stripe keep the address and the
// name, or Stripe refuses it, and so does the sandbox: laravel/cashier-stripe#1778, Significant-Gravitas/AutoGPT#13058 and
// NativePHP/nativephp.com#408 could not open one.
func TestBuyingAPlanAndAPack(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		require.EqualValues(t, 5_000_000_000, h.account().GetBalanceNanoUsd())
		require.True(t, h.buy(purchase("", "credit_20")).GetApplied())
		require.EqualValues(t, 26_000_000_000, h.account().GetBalanceNanoUsd())
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		account := h.account()
		require.Equal(t, "pro", account.GetPlanId())
		require.EqualValues(t, 51_000_000_000, account.GetBalanceNanoUsd())

		client := h.from("gateway")
		_, err := client.GetUsage(h.as(member), &billingv1.GetUsageRequest{})
		require.NoError(t, err, "on the first day of a period, which begins at 09:30")
		sub, err := client.GetSubscription(h.as(member), &billingv1.GetSubscriptionRequest{})
		require.NoError(t, err)
		require.Equal(t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ACTIVE, sub.GetSubscription().GetAccess())
		require.EqualValues(t, 1, sub.GetSubscription().GetPlanVersion())
		require.Equal(t, account.GetPeriodEndTime().AsTime(), sub.GetSubscription().GetPeriodEndTime().AsTime())
		included, err := client.CheckEntitlement(h.as(member), &billingv1.CheckEntitlementRequest{Feature: "api_keys"})
		require.NoError(t, err)
		require.True(t, included.GetIncluded())

		_, err = client.CreateCheckoutSession(h.as(admin), purchase("pro", ""))
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		require.True(t, h.buy(purchase("", "credit_20")).GetApplied(), "packs can be bought again")
		require.EqualValues(t, 72_000_000_000, h.account().GetBalanceNanoUsd())
		invoices, err := client.ListInvoices(h.as(admin), &billingv1.ListInvoicesRequest{})
		require.NoError(t, err)
		require.NotEmpty(t, invoices.GetInvoices())
		require.NotEmpty(t, invoices.GetInvoices()[0].GetHostedUrl())
		portal, err := client.CreatePortalSession(h.as(admin), &billingv1.CreatePortalSessionRequest{ReturnUrl: "https://app.example.com/billing"})
		require.NoError(t, err)
		require.Contains(t, portal.GetPortalSession().GetUrl(), "/portal/")
	})
}

func TestSeatsAndTrial(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		r := purchase("team", "")
		r.Seats = 3
		require.True(t, h.buy(r).GetApplied())
		account := h.account()
		require.Equal(t, "team", account.GetPlanId())
		require.EqualValues(t, 8_000_000_000, account.GetBalanceNanoUsd(), "free credit and that of the trial")
		sub, err := h.from("gateway").GetSubscription(h.as(admin), &billingv1.GetSubscriptionRequest{})
		require.NoError(t, err)
		require.Equal(t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_TRIAL, sub.GetSubscription().GetAccess())
		require.EqualValues(t, 3, sub.GetSubscription().GetSeats())
		require.NotNil(t, sub.GetSubscription().GetTrialEndTime())
	})
}

// Whatever is asked for at once, an account gets one customer and one open session.
// gitroomhq/postiz-app#2061, strelov1/freehire#2740 and gitpod-io/gitpod#16524 left two subscriptions for one customer.
func TestConcurrentFirstCheckouts(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		client, ctx := h.from("gateway"), h.as(admin)
		var group sync.WaitGroup
		var mu sync.Mutex
		ids := map[string]int{}
		for range 50 {
			group.Go(func() {
				got, err := client.CreateCheckoutSession(ctx, purchase("pro", ""))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				ids[got.GetCheckoutSession().GetId()]++
			})
		}
		group.Wait()
		require.Len(t, ids, 1, "the same request gets the same session")
		require.Len(t, h.listed("/v1/customers"), 1)
		other := h.checkout(purchase("", "credit_20"))
		require.NotContains(t, ids, other.GetId())
		require.Equal(t, []string{other.GetId()}, h.listed("/v1/checkout/sessions?status=open"), "another request ends the earlier session")
	})
}

// A buyer who pays on an earlier page, at any moment while another plan is asked for, gets no second subscription.
func TestAnEarlierPageIsPaidMeanwhile(t *testing.T) {
	for _, moment := range []string{"GET /v1/subscriptions", "GET /v1/checkout/sessions", "POST /v1/checkout/sessions/"} {
		t.Run(moment, func(t *testing.T) {
			sell(t, func(t *testing.T, h *fixture) {
				h.apply(planFile)
				first := h.checkout(purchase("pro", ""))
				var once sync.Once
				pay := func(r *http.Request) {
					if strings.HasPrefix(r.Method+" "+r.URL.Path, moment) {
						once.Do(func() { _, _ = h.stripe.Pay(first.GetId(), "visa", "ann@example.test") })
					}
				}
				h.before.Store(&pay)
				_, err := h.from("gateway").CreateCheckoutSession(h.as(admin), purchase("team", ""))
				h.before.Store(nil)
				open := h.listed("/v1/checkout/sessions?status=open")
				if live := h.listed("/v1/subscriptions?status=active"); len(live) == 1 {
					require.Error(t, err)
					require.Empty(t, open, "no page for a second subscription")
					return
				}
				require.NoError(t, err, "the earlier page was closed before it was paid")
				require.Len(t, open, 1)
			})
		})
	}
}

// An answer that was lost, and a failure that Stripe repeats, leave one open session.
func TestCheckoutAfterFailures(t *testing.T) {
	for name, f := range map[string]fault.Fault{
		"a lost answer": {Kind: fault.CommitTimeout, Method: "POST", Path: "/v1/checkout/sessions", Count: 1},
		"an error":      {Kind: fault.Status, Status: 500, Method: "POST", Path: "/v1/checkout/sessions", Count: 1},
		"a limit":       {Kind: fault.RateLimit, RetryAfter: 6 * time.Second, Method: "POST", Path: "/v1/checkout/sessions", Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			sell(t, func(t *testing.T, h *fixture) {
				h.apply(planFile)
				billingtest.Fail(t, h.stripe, f)
				_, err := h.from("gateway").CreateCheckoutSession(h.as(admin), purchase("pro", ""))
				if f.Kind != fault.CommitTimeout { // then the call is repeated with the same key
					e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err)
					require.Positive(t, e.RetryAfter)
				}
				session := h.checkout(purchase("pro", ""))
				require.Equal(t, []string{session.GetId()}, h.listed("/v1/checkout/sessions?status=open"))
				require.Len(t, h.listed("/v1/customers"), 1)
			})
		})
	}
}

// A page that could not be closed for certain is not taken for one that was paid: the buyer never has two.
func TestAnEarlierPageThatMayBeOpen(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		h.checkout(purchase("pro", ""))
		billingtest.Fail(t, h.stripe, fault.Fault{Kind: fault.Status, Status: 500, Method: "POST", Path: "/v1/checkout/sessions/*"})
		_, err := h.from("gateway").CreateCheckoutSession(h.as(admin), purchase("team", ""))
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err)
		require.Len(t, h.listed("/v1/checkout/sessions?status=open"), 1)
		h.stripe.Faults().Clear()
		session := h.checkout(purchase("team", ""))
		require.Equal(t, []string{session.GetId()}, h.listed("/v1/checkout/sessions?status=open"))
	})
}

// What cannot be bought is refused with the field that is wrong, and nothing is made at Stripe.
func TestRefusedPurchases(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		_, err := h.from("gateway").CreateCheckoutSession(h.as(admin), purchase("pro", ""))
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, err)
		h.apply(planFile)
		with := func(plan, pack string, change func(*billingv1.CreateCheckoutSessionRequest)) *billingv1.CreateCheckoutSessionRequest {
			r := purchase(plan, pack)
			change(r)
			return r
		}
		yearly := func(r *billingv1.CreateCheckoutSessionRequest) {
			r.Interval = billingv1.BillingInterval_BILLING_INTERVAL_YEAR
		}
		back := func(url string) func(*billingv1.CreateCheckoutSessionRequest) {
			return func(r *billingv1.CreateCheckoutSessionRequest) { r.SuccessUrl = url }
		}
		seats := func(n int32) func(*billingv1.CreateCheckoutSessionRequest) {
			return func(r *billingv1.CreateCheckoutSessionRequest) { r.Seats = n }
		}
		const invalid, missing = errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND
		for name, c := range map[string]struct {
			request *billingv1.CreateCheckoutSessionRequest
			reason  errorsv1.ErrorReason
			field   string
		}{
			"an unknown plan":       {purchase("gold", ""), missing, "planId"},
			"an unknown pack":       {purchase("", "credit_1"), missing, "packId"},
			"a free plan":           {purchase("free", ""), invalid, "planId"},
			"not sold by the year":  {with("team", "", yearly), invalid, "interval"},
			"a yearly pack":         {with("", "credit_20", yearly), invalid, "interval"},
			"too many seats":        {with("team", "", seats(6)), invalid, "seats"},
			"too few seats":         {with("team", "", seats(1)), invalid, "seats"},
			"seats of a flat plan":  {with("pro", "", seats(2)), invalid, "seats"},
			"seats of a pack":       {with("", "credit_20", seats(1)), invalid, "seats"},
			"a foreign origin":      {with("pro", "", back("https://evil.example.com/paid")), invalid, "successUrl"},
			"a port of the origin":  {with("pro", "", back("https://app.example.com:8443/")), invalid, "successUrl"},
			"another scheme":        {with("pro", "", back("http://app.example.com/")), invalid, "successUrl"},
			"an origin as a prefix": {with("pro", "", back("https://app.example.com.evil.test/")), invalid, "successUrl"},
			"credentials":           {with("pro", "", back("https://app.example.com@evil.test/")), invalid, "successUrl"},
			"a script":              {with("pro", "", back("javascript:alert(1)")), invalid, "successUrl"},
			"this machine":          {with("pro", "", back("http://localhost:3000/")), invalid, "successUrl"},
			"no address":            {with("pro", "", back("")), invalid, "successUrl"},
		} {
			_, err := h.from("gateway").CreateCheckoutSession(h.as(admin), c.request)
			e := requireReason(t, c.reason, err)
			require.Equal(t, c.field, e.Fields[0].Name, name)
		}
		require.Empty(t, h.listed("/v1/customers"))
		_, err = h.from("gateway").CreatePortalSession(h.as(admin), &billingv1.CreatePortalSessionRequest{ReturnUrl: "https://app.example.com/"})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		_, err = h.from("gateway").GetSubscription(h.as(admin), &billingv1.GetSubscriptionRequest{})
		_ = requireReason(t, missing, err)
		_, err = h.from("gateway").CreateCheckoutSession(h.as(member), purchase("pro", ""))
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
	})
}

// A session is shown to its own account only.
func TestCheckoutSessionOfAnother(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		session := h.checkout(purchase("pro", ""))
		for _, id := range []string{session.GetId(), "cs_test_unknown"} {
			_, err := h.from("gateway").GetCheckoutSession(h.as(elsewhere), &billingv1.GetCheckoutSessionRequest{CheckoutSessionId: id})
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		}
		got, err := h.from("gateway").GetCheckoutSession(h.as(admin), &billingv1.GetCheckoutSessionRequest{CheckoutSessionId: session.GetId()})
		require.NoError(t, err)
		require.False(t, got.GetCheckoutSession().GetApplied())
	})
}

// Erasing a person deletes their customer at Stripe, which ends what they pay for.
func TestErasureReachesStripe(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		got, err := h.from("gateway").CreateCheckoutSession(h.as(alice), purchase("pro", ""))
		require.NoError(t, err)
		_, err = h.stripe.Pay(got.GetCheckoutSession().GetId(), "visa", "alice@example.test")
		require.NoError(t, err)
		require.Len(t, h.listed("/v1/subscriptions"), 1)
		for range 2 {
			_, err = h.from("auth").EraseUser(t.Context(), &billingv1.EraseUserRequest{UserId: "user_alice"})
			require.NoError(t, err)
		}
		require.Empty(t, h.listed("/v1/customers"))
		require.Empty(t, h.listed("/v1/subscriptions"))
		_, err = h.from("gateway").CreateCheckoutSession(h.as(alice), purchase("pro", ""))
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, err)
	})
}

// Another version is a new one. Who has bought the old one stays on it.
// polarsource/polar#11427 wiped balances when a plan was edited.
func TestSubscribersStayOnTheirVersion(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		require.NotEmpty(t, h.apply(planFile))
		require.Empty(t, h.apply(planFile), "idempotent")
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		changes := h.apply(`
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00", features: [chat]}
  - {id: pro, name: Pro, price: "25.00", included_credit: "25.00"}
packs: []
`)
		var texts []string
		for _, c := range changes {
			texts = append(texts, c.GetKind().String()+" "+c.GetId()+" "+c.GetField()+" "+c.GetBefore()+" > "+c.GetAfter())
		}
		require.Equal(t, []string{
			"PLAN_CHANGE_KIND_UPDATE plan:pro features chat, api_keys > ", "PLAN_CHANGE_KIND_UPDATE plan:pro price 20.00 > 25.00",
			"PLAN_CHANGE_KIND_UPDATE plan:pro yearly_price 200.00 > ", "PLAN_CHANGE_KIND_ARCHIVE plan:team   > ", "PLAN_CHANGE_KIND_ARCHIVE pack:credit_20   > ",
		}, texts)
		client := h.from("gateway")
		included, err := client.CheckEntitlement(h.as(admin), &billingv1.CheckEntitlementRequest{Feature: "api_keys"})
		require.NoError(t, err)
		require.True(t, included.GetIncluded())
		sub, err := client.GetSubscription(h.as(admin), &billingv1.GetSubscriptionRequest{})
		require.NoError(t, err)
		require.EqualValues(t, 1, sub.GetSubscription().GetPlanVersion())
		onSale, err := client.ListPlans(t.Context(), &billingv1.ListPlansRequest{})
		require.NoError(t, err)
		require.Len(t, onSale.GetPlans(), 2)
		require.EqualValues(t, 2, onSale.GetPlans()[1].GetVersion())
		versions, err := client.ListPlanVersions(h.as(operator), &billingv1.ListPlanVersionsRequest{})
		require.NoError(t, err)
		require.Len(t, versions.GetPlanVersions(), 5)

		without := `plans: [{id: free, name: Free, price: "0", included_credit: "5.00"}]`
		_, err = client.ApplyPlans(h.as(operator), &billingv1.ApplyPlansRequest{PlanFile: []byte(without)})
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		require.Equal(t, "pro", e.Metadata["plan"])
		_, err = client.ApplyPlans(h.as(admin), &billingv1.ApplyPlansRequest{PlanFile: []byte(planFile)})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
	})
}

// A refund at Stripe takes credit back, and a dispute the rest until it is won.
func TestRefundOfAPack(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		require.True(t, h.buy(purchase("", "credit_20")).GetApplied())
		before := h.account().GetBalanceNanoUsd()
		reconcile := func() {
			_, err := h.reconcile(&billingv1.ReconcileRequest{})
			require.NoError(t, err)
		}
		charge := h.listed("/v1/charges")[0]
		h.at(http.MethodPost, "/v1/refunds", url.Values{"charge": {charge}, "amount": {"1000"}})
		reconcile()
		require.Equal(t, before-10_500_000_000, h.account().GetBalanceNanoUsd())
		dispute, err := h.stripe.OpenDispute(charge, "")
		require.NoError(t, err)
		reconcile()
		require.Equal(t, before-21_000_000_000, h.account().GetBalanceNanoUsd())
		_, err = h.stripe.CloseDispute(dispute.ID, true)
		require.NoError(t, err)
		for range 2 {
			reconcile()
			require.Equal(t, before-10_500_000_000, h.account().GetBalanceNanoUsd())
		}
	})
}
