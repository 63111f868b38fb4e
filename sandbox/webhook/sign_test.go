package webhook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripewebhook "github.com/stripe/stripe-go/v76/webhook"

	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// TestSvixSignatureMatchesItsDocumentation has the vector of Svix's documentation on verifying by hand.
func TestSvixSignatureMatchesItsDocumentation(t *testing.T) {
	const first = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	at, body := time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)
	h, err := webhook.Svix([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
	require.NoError(t, err)
	require.Equal(t, first, h.Get("svix-signature"))
	require.Equal(t, "1614265330", h.Get("svix-timestamp"))
	require.Equal(t, "msg_p5jXN8AQM9LWM0D4loKWxJek", h.Get("svix-id"))

	h, err = webhook.Svix([]string{"whsec_bmV3", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
	require.NoError(t, err)
	require.Regexp(t, `^v1,[0-9A-Za-z+/=]{44} v1,g0hM9SsE`, h.Get("svix-signature"), "one signature per secret")

	for _, bad := range []string{"", "whsec_", "whsec_?"} {
		_, err := webhook.Svix([]string{bad}, "", at, nil)
		require.ErrorContains(t, err, "base64")
	}
}

func TestStripeSDKAcceptsTheSignature(t *testing.T) {
	now, body := time.Now(), []byte(`{"id":"evt_1","object":"event","api_version":"2023-10-16"}`)
	h, err := webhook.Stripe([]string{"whsec_new", "whsec_old"}, "evt_1", now, body)
	require.NoError(t, err)
	for _, secret := range []string{"whsec_new", "whsec_old"} {
		event, err := stripewebhook.ConstructEvent(body, h.Get("Stripe-Signature"), secret)
		require.NoError(t, err)
		require.Equal(t, "evt_1", event.ID)
	}
	_, err = stripewebhook.ConstructEvent(body, h.Get("Stripe-Signature"), "whsec_other")
	require.ErrorIs(t, err, stripewebhook.ErrNoValidSignature)
	_, err = stripewebhook.ConstructEvent(append(body, ' '), h.Get("Stripe-Signature"), "whsec_new")
	require.ErrorIs(t, err, stripewebhook.ErrNoValidSignature)
	_, err = webhook.Stripe([]string{""}, "", now, nil)
	require.Error(t, err)
}
