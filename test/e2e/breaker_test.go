package e2e

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWebhooksWhileABreakerIsOpen: while nothing is sent to a provider, its webhooks are stored and acknowledged, and those whose
// handling calls it wait. They are applied when the breaker has closed.
func TestWebhooksWhileABreakerIsOpen(t *testing.T) {
	in := allInOne(t, "STRIPE_BREAKER_FAILURES=1", "STRIPE_TRIES=1")
	w, c, token := newEventMaker(in), newSender(in.edge), in.token("user_alice", nil)
	in.control(http.MethodPost, "/control/faults", map[string]any{"provider": "stripe", "kind": "status", "status": 500}, nil)
	require.Eventually(t, func() bool {
		in.call(t.Context(), http.MethodPost, "/api/v1/billing/checkoutSessions", token, `{"planId":"pro","successUrl":"https://example.test/ok","cancelUrl":"https://example.test/no"}`)
		return in.breaker("stripe") == "2"
	}, time.Minute, 100*time.Millisecond, "the breaker opens")

	events := w.events(t, 3)
	for _, event := range events {
		a, err := c.send(t.Context(), event)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, "%s: %s", event.source, a.body)
		require.JSONEq(t, `{"received": true}`, string(a.body))
		require.NotEmpty(t, in.event(event.source, event.id).State, "%s is stored", event.id)
	}
	require.NotEqual(t, "0", in.breaker("stripe"))
	for _, event := range events {
		if event.source == "stripe" {
			require.NotEqual(t, "EVENT_STATE_DONE", in.event(event.source, event.id).State, "%s needs Stripe", event.id)
		}
	}

	in.control(http.MethodDelete, "/control/faults?provider=stripe", nil, nil)
	for _, event := range events {
		require.Eventually(t, func() bool { return in.event(event.source, event.id).State == "EVENT_STATE_DONE" }, 2*time.Minute, 200*time.Millisecond, "%s is applied", event.id)
	}
	require.Equal(t, "0", in.breaker("stripe"), "the breaker is closed")
	in.verifyLedger()
}

// breakerState is a series of the state of breakers.
var breakerState = regexp.MustCompile(`(?m)^trivet_provider_breaker_state\{[^}]*integration="([a-z]+)"[^}]*\} (\d)$`)

// breaker is the state of a provider's breaker: 0 closed, 1 half-open, 2 open.
func (in *installation) breaker(provider string) string {
	in.t.Helper()
	request, err := http.NewRequestWithContext(in.t.Context(), http.MethodGet, in.ops[0]+"/metrics", http.NoBody)
	require.NoError(in.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(in.t, err)
	defer func() { _ = response.Body.Close() }()
	for _, series := range breakerState.FindAllStringSubmatch(readAll(in.t, response), -1) {
		if series[1] == provider {
			return series[2]
		}
	}
	return ""
}
