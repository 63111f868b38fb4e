package billing_test

import (
	"net/http"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

const limitsFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0.00", limits: {requests_per_minute: 1}}
  - {id: pro, name: Pro, price: "20.00", included_credit: "25.00", limits: {requests_per_minute: 20}}
  - {id: max, name: Max, price: "50.00", included_credit: "70.00", limits: {requests_per_minute: 50}}
`

// A webhook of a changed subscription changes the limits that calls have, with nothing else to help. TRIVET_FAULTS=1 makes 200 changes; the log shows how
// long they took.
func TestWebhooksChangeLimits(t *testing.T) {
	changes := 4
	if os.Getenv("TRIVET_FAULTS") != "" {
		changes = 200
	}
	env := webhookEnv()
	env["CORS_ALLOWED_ORIGINS"], env["STRIPE_RECONCILE_INTERVAL"] = selling["CORS_ALLOWED_ORIGINS"], "0s"
	each(t, env, func(t *testing.T, h *fixture) {
		h.apply(limitsFile)
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		stop := h.run()
		defer stop()
		read := func() (int32, error) {
			got, err := h.from("ai").GetEntitlements(t.Context(), &billingv1.GetEntitlementsRequest{AccountId: "org_1"})
			return got.GetLimits().GetRequestsPerMinute(), err
		}
		limit := func() int32 {
			got, err := read()
			require.NoError(t, err)
			return got
		}
		require.EqualValues(t, 20, limit())
		sub := h.listed("/v1/subscriptions")[0]
		item, prices := h.listed("/v1/subscription_items?subscription=" + sub)[0], h.listed("/v1/prices?type=recurring")
		require.Len(t, prices, 2)
		h.news() // all that Stripe has told before
		x := &history{fixture: h}
		var took []time.Duration
		for n := range changes { // the newest price, that of max, is the first
			x.told()
			before := limit()
			h.at(http.MethodPost, "/v1/subscriptions/"+sub, url.Values{"items[0][id]": {item}, "items[0][price]": {prices[n%2]}, "proration_behavior": {"none"}})
			begun := time.Now()
			for _, body := range x.told() {
				_, err := h.deliver(webhookSecret, body)
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool {
				now, err := read()
				return err == nil && now != before
			}, time.Minute, time.Millisecond)
			require.Equal(t, int32(70), limit()+before, "from one plan to the other")
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		t.Logf("%d changes, from the webhook to the limits: median %s, p99 %s", len(took), took[len(took)/2], took[len(took)*99/100])
	})
}
