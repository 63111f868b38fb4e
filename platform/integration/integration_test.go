package integration_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/integration"
)

func TestTheTableIsComplete(t *testing.T) {
	require.Equal(t, []string{"clerk", "openai", "stripe", "email"}, integration.Names(integration.All()))
	require.Equal(t, []string{"clerk", "openai", "stripe"}, integration.Names(integration.Required()))
	require.Equal(t, []string{"clerk", "stripe"}, integration.Names(integration.WithWebhooks()))
	require.Equal(t, []string{"clerk", "stripe"}, integration.Names(integration.Reconciled()))
	services := map[string]bool{}
	for _, i := range integration.All() {
		require.NotEmpty(t, i.Title, i.Name)
		if !i.Optional {
			require.False(t, services[i.Service], "%s: each service has one integration that is not optional", i.Name)
			services[i.Service] = true
		}
		require.Equal(t, len(i.WebhookHeaders) > 0, i.EventsPath != "", "%s: what comes in by webhook is shown to operators", i.Name)
		for _, h := range i.WebhookHeaders {
			require.Equal(t, http.CanonicalHeaderKey(h), h, i.Name)
		}
		require.Equal(t, len(i.WebhookHeaders) > 0, i.WebhookSetting != "", "%s: webhooks are signed", i.Name)
		if i.WebhookSetting != "" {
			require.Contains(t, i.SandboxSettings, i.WebhookSetting, "%s: the sandbox signs its webhooks", i.Name)
		}
		require.NotEmpty(t, i.RealSettings, i.Name)
		require.True(t, slices.Contains(i.SandboxSettings, i.RealSettings[0]), "%s: the sandbox sets what names the real one", i.Name)
		require.Equal(t, "/api/webhooks/"+i.Name, i.WebhookPath())
		found, ok := integration.Named(i.Name)
		require.True(t, ok)
		require.Equal(t, i, found)
	}
	_, ok := integration.Named("paypal")
	require.False(t, ok)
}
