package allinone

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

// While Stripe is down, the edge answers what needs it with 503, and says in a header and in the body when to try again. The rest works. The table of all
// RPCs is in services/billing.
func TestStripeIsDownThroughTheEdge(t *testing.T) {
	s, env := newSeller(t)
	var applied struct{}
	s.must("user_operator", http.MethodPost, "/plans:apply", planFileBody("", ""), &applied)
	s.subscribe("user_ann", "pro")
	down := &faultySandbox{Sandbox: s.box, t: t}
	down.control(http.MethodPost, map[string]any{"provider": "stripe", "kind": "rate_limit", "retry_after": 90})
	for name, c := range map[string]struct {
		user, method, path string
		body               any
	}{
		"checkout": {"user_bob", http.MethodPost, "/checkoutSessions", checkoutOf("pro", nil)},
		"portal":   {"user_ann", http.MethodPost, "/portalSessions", map[string]any{"returnUrl": "https://app.example.com/"}},
		"invoices": {"user_ann", http.MethodGet, "/invoices", nil},
		"preview":  {"user_ann", http.MethodPost, "/subscription:preview", map[string]any{"planId": "team", "seats": 2}},
		"cancel":   {"user_ann", http.MethodPost, "/subscription:cancel", map[string]any{}},
		"apply":    {"user_operator", http.MethodPost, "/plans:apply", planFileBody("", "")},
	} {
		raw, err := json.Marshal(c.body)
		require.NoError(t, err)
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.edge+"/api/v1/billing"+c.path, bytes.NewReader(raw))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+s.session(c.user, nil))
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode, "%s: %s", name, text)
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		require.NoError(t, err, name)
		require.GreaterOrEqual(t, seconds, 90, name)
		require.Contains(t, string(text), `"code":"SERVICE_UNAVAILABLE"`, name)
		require.Contains(t, string(text), `"retryAfter":`+strconv.Itoa(seconds), name)
	}
	for _, path := range []string{"/account", "/subscription", "/plans", "/usage", "/entitlements", "/entries", "/notices", "/topUp", "/spendLimits", "/overage"} {
		status, answer := s.send("user_ann", http.MethodGet, path, nil)
		require.Equal(t, http.StatusOK, status, "%s: %s", path, answer)
	}
	status, answer := s.send("user_operator", http.MethodGet, "/planVersions", nil)
	require.Equal(t, http.StatusOK, status, answer)
	var found strings.Builder
	require.NoError(t, VerifyLedger(t.Context(), settings.Env{Get: withDatabase(func(name string) string { return env[name] })}, &found), "%s", &found)
}
