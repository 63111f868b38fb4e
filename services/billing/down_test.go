package billing_test

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

// silence is a network on which Stripe does not answer in time, while it is on.
type silence struct{ on bool }

func (s *silence) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.on {
		return nil, context.DeadlineExceeded
	}
	return http.DefaultTransport.RoundTrip(r)
}

// outage makes a subscription, a hold, a preview and all else that the RPCs need.
func outage(t *testing.T, breaker string, network http.RoundTripper) (*fixture, *madeBefore) {
	t.Helper()
	env := map[string]string{
		"STRIPE_SECRET_KEY": "sk_test_secret", "CORS_ALLOWED_ORIGINS": "https://app.example.com", "STRIPE_WEBHOOK_SECRET": webhookSecret,
		"STRIPE_TRIES": "1", "STRIPE_BREAKER_FAILURES": breaker, "STRIPE_READS_PER_SECOND": "10000",
	}
	h := &fixture{transport: network, sleep: func(context.Context, time.Duration) error { return nil }}
	h.Clock = billingtest.NewClock(time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC))
	h.stripe, _ = billingtest.Stripe(t, fakeConfig(h))
	h.begin(t, env, onSQLite(t), "")
	h.apply(outageFile)
	m := &madeBefore{address: h.listen(), session: h.buy(purchase("pro", "")).GetId(), request: callid.New("org_1", h.Now())}
	h.subscribe(alice, "pro", month)
	h.apply(strings.ReplaceAll(outageFile, `price: "20.00", included`, `price: "24.00", included`))
	_, err := h.reconcile(&billingv1.ReconcileRequest{}) // it learns of the cards
	require.NoError(t, err)
	p, err := h.preview("team", 2, month)
	require.NoError(t, err)
	m.preview = p.GetId()
	h.call(m.request, "org_1", "user_member")
	hold, err := h.from("ai").Reserve(t.Context(), reserve("req_before", "org_1", "user_member"))
	require.NoError(t, err)
	m.hold = hold.GetHoldId()
	_, err = h.deliver(webhookSecret, hint("evt_before", "customer.updated", "customer", "cus_1"))
	require.NoError(t, err)
	return h, m
}

// While Stripe is down, what Trivet knows by itself works, and what needs Stripe says 503 and when to try again.
func TestStripeIsDown(t *testing.T) {
	table := outageTable()
	methods := billingv1.File_trivet_billing_v1_billing_proto.Services().ByName("BillingService").Methods()
	names := map[string]bool{}
	for i := range methods.Len() {
		names[string(methods.Get(i).Name())] = true
	}
	for name := range maps.Keys(table) {
		require.True(t, names[name], "%s is not an RPC", name)
	}
	require.Len(t, table, len(names), "each RPC takes a side")

	for name, c := range map[string]struct {
		fault   fault.Fault
		breaker string
		// least is how long a caller should wait at least, where Stripe says it.
		least time.Duration
	}{
		"it answers 500":           {fault: fault.Fault{Kind: fault.Status, Status: 500}},
		"it answers 503 for long":  {fault: fault.Fault{Kind: fault.Status, Status: 503, RetryAfter: 90 * time.Second}, least: 90 * time.Second},
		"it limits":                {fault: fault.Fault{Kind: fault.RateLimit, RetryAfter: 60 * time.Second}, least: 60 * time.Second},
		"it answers garbage":       {fault: fault.Fault{Kind: fault.Garbage}},
		"it cuts connections":      {fault: fault.Fault{Kind: fault.Close}},
		"it is silent":             {},
		"it is left alone by then": {fault: fault.Fault{Kind: fault.Status, Status: 500}, breaker: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			network := &silence{}
			breaker := "0"
			if c.breaker != "" {
				breaker = c.breaker
			}
			h, m := outage(t, breaker, network)
			network.on = c.fault.Kind == ""
			if !network.on {
				billingtest.Fail(t, h.stripe, c.fault)
			}
			for rpc, during := range table {
				err := during.call(h, m)
				if during.side == works {
					require.NoError(t, err, rpc)
					continue
				}
				require.Error(t, err, rpc)
				e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err)
				require.Positive(t, e.RetryAfter, rpc)
				if rpc != "EraseUser" && rpc != "Reconcile" { // these try again by themselves
					require.GreaterOrEqual(t, e.RetryAfter, c.least, rpc)
				}
			}
			h.sound()
		})
	}
}
