package billing_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Webhooks of every listed secret are accepted, and Stripe gets the newest key, from the moment that they are put in use.
func TestStripeSecretsRotate(t *testing.T) {
	h := newFixture(t, webhookEnv(), onSQLite(t))
	const third = "whsec_3333333333333333"
	rotate := func(key string, secrets ...string) error {
		c := config(t, webhookEnv())
		c.StripeSecretKey, c.StripeWebhookSecrets = settings.NewSecrets(key, "sk_test_billing"), settings.NewSecrets(secrets...)
		return h.service.Rotate(c)
	}
	accepted := func(secret, id string) bool {
		_, err := h.deliver(secret, hint(id, "customer.updated", "customer", "cus_1"))
		return err == nil
	}
	require.False(t, accepted(third, "evt_1"))
	require.NoError(t, rotate("sk_test_billing", third, webhookSecret))
	require.True(t, accepted(third, "evt_2"))
	require.True(t, accepted(webhookSecret, "evt_3"))
	require.False(t, accepted(olderSecret, "evt_4"))
	require.ErrorContains(t, rotate("sk_test_billing", "whsec_ "), "STRIPE_WEBHOOK_SECRET")
	require.True(t, accepted(third, "evt_5"), "a refused secret changes nothing")
	for _, other := range []string{"sk_live_x", "rk_live_x", "x"} {
		require.ErrorContains(t, rotate(other, webhookSecret), "restart to change the mode")
	}
	require.True(t, accepted(third, "evt_6"))

	var mu sync.Mutex
	var keys []string
	before := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, r.Header.Get("Authorization"))
		r.Header.Set("Authorization", "Bearer sk_test_billing")
	}
	h.before.Store(&before)
	require.NoError(t, rotate("sk_test_newer", webhookSecret))
	_, err := h.from("gateway").ListInvoices(h.as(alice), &billingv1.ListInvoicesRequest{})
	require.NoError(t, err)
	_, err = h.reconcile(&billingv1.ReconcileRequest{})
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(t, keys)
	for _, key := range keys {
		require.Equal(t, "Bearer sk_test_newer", key)
	}
}

// A webhook goes to the address, and is signed with the secrets, that were put in use last.
func TestReceiversOfWebhooksRotate(t *testing.T) {
	key := []byte(strings.Repeat("n", 32))
	before, after := newReceiver(t), newReceiverOf(t, key)
	h := newFixture(t, before.env(), onSQLite(t))
	env := after.env()
	env["BILLING_EVENTS_SECRET"] = "whsec_" + base64.StdEncoding.EncodeToString(key)
	require.NoError(t, h.service.Rotate(config(t, env)))
	begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	h.Set(begin)
	h.apply(yearFile)
	require.True(t, h.buy(purchase("pro", "")).GetApplied())
	h.useCard("chargeCustomerFail")
	h.reach(begin.AddDate(0, 1, 0))
	h.reach(begin.AddDate(0, 1, 0).Add(time.Hour))
	require.NotEmpty(t, h.notices(0))
	stop := h.run()
	defer stop()
	require.Eventually(t, func() bool { return len(after.deliveries()) > 0 }, time.Minute, 2*time.Millisecond)
	require.Empty(t, before.deliveries())
	delete(env, "BILLING_EVENTS_URL")
	require.ErrorContains(t, h.service.Rotate(config(t, env)), "BILLING_EVENTS_URL")
}
