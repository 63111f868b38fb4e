package billing_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/services/billing"
)

// included asks a replica what the plan of org_1 is, and whether it includes a feature.
func (h *fixture) included(feature string) (planID string, included bool) {
	h.t.Helper()
	got, err := h.from("gateway").CheckEntitlement(h.as(admin), &billingv1.CheckEntitlementRequest{Feature: feature})
	require.NoError(h.t, err)
	return got.GetPlanId(), got.GetIncluded()
}

// A change that one replica commits is what the next answer of another one says, also when that one has not yet read the plans that were applied. What was
// applied for free accounts is seen as soon as a replica looks again for applied plans: within a second, which leaves half of it for the reading.
func TestEntitlementsAtAnotherReplica(t *testing.T) {
	require.LessOrEqual(t, billing.CatalogInterval, 500*time.Millisecond)
	env := maps.Clone(selling)
	env["STRIPE_WEBHOOK_SECRET"] = webhookSecret
	each(t, env, func(t *testing.T, h *fixture) {
		other := h.replica()
		h.apply(planFile)
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		_, err := other.from("ai").Reserve(t.Context(), reserve("req_other", "org_1", "user_member"))
		require.NoError(t, err, "a plan that was applied elsewhere")
		plan, included := other.included("api_keys")
		require.Equal(t, "pro", plan)
		require.True(t, included)

		third := h.replica()
		plan, included = third.included("api_keys")
		require.Equal(t, "pro", plan)
		require.True(t, included)

		id := h.listed("/v1/subscriptions")[0]
		h.at(http.MethodDelete, "/v1/subscriptions/"+id, nil)
		_, included = other.included("api_keys")
		require.True(t, included, "nobody was told")
		stop := h.run()
		defer stop()
		_, err = h.deliver(webhookSecret, hint("evt_ended", "customer.subscription.deleted", "subscription", id))
		require.NoError(t, err)
		h.eventually("evt_ended", inboxv1.EventState_EVENT_STATE_DONE)
		for _, replica := range []*fixture{h, other, third} {
			plan, included = replica.included("api_keys")
			require.Equal(t, "free", plan)
			require.False(t, included)
		}

		if other != h {
			defer other.run()()
		}
		h.apply(strings.Replace(planFile, "features: [chat]", "features: [chat, images]", 1))
		require.Eventually(t, func() bool {
			got, err := other.from("gateway").ListEntitlements(other.as(admin), &billingv1.ListEntitlementsRequest{})
			return err == nil && slices.Contains(got.GetFeatures(), "images")
		}, time.Minute, 5*time.Millisecond)
	})
}
