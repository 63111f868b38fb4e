package allinone

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox"
)

const sellingPlans = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00"}
  - {id: pro, name: Pro, price: "20.00", yearly_price: "200.00", included_credit: "25.00"}
  - {id: team, name: Team, price: "10.00", included_credit: "12.00", seats: {min: 2, max: 5}, trial: {days: 14, credit: "3.00"}}
packs:
  - {id: credit_20, name: $20 of credit, price: "20.00", credit: "21.00"}
`

// seller is an installation with a sandbox that counts the requests to Stripe that change something.
type seller struct {
	*forger
	box    *sandbox.Sandbox
	writes atomic.Int64
}

func newSeller(t *testing.T) (s *seller, env map[string]string) {
	t.Helper()
	s = &seller{}
	var handler atomic.Pointer[http.Handler]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/stripe/") {
			s.writes.Add(1)
		}
		(*handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var err error
	s.box, err = sandbox.New(sandbox.Config{Now: func() time.Time { return time.Date(2027, 1, 15, 8, 0, 30, 0, time.UTC) }, BaseURL: server.URL})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.box.Close(context.Background())) })
	serving := s.box.Handler()
	handler.Store(&serving)
	env = (&faultySandbox{Sandbox: s.box, t: t}).environment()
	env["TRIVET_DATA_DIR"] = t.TempDir()
	s.forger = newForger(t, env)
	return s, env
}

// send calls the edge as a user.
func (f *forger) send(user, method, path string, body any) (status int, answer string) {
	f.t.Helper()
	return f.sendIn("", user, method, path, body)
}

// sendIn calls the edge as an admin of an organization; "" for none.
func (f *forger) sendIn(organization, user, method, path string, body any) (status int, answer string) {
	f.t.Helper()
	var claims map[string]any
	if organization != "" {
		claims = map[string]any{"o": map[string]any{"id": organization, "rol": "admin"}}
	}
	raw, err := json.Marshal(body)
	require.NoError(f.t, err)
	request, err := http.NewRequestWithContext(f.t.Context(), method, f.edge+"/api/v1/billing"+path, bytes.NewReader(raw))
	require.NoError(f.t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+f.session(user, claims))
	response, err := http.DefaultClient.Do(request)
	require.NoError(f.t, err)
	defer func() { require.NoError(f.t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(f.t, err)
	return response.StatusCode, string(text)
}

// must calls the edge and reads what it answers.
func (f *forger) must(user, method, path string, body, into any) {
	f.t.Helper()
	f.mustIn("", user, method, path, body, into)
}

// mustIn is must as an admin of an organization.
func (f *forger) mustIn(organization, user, method, path string, body, into any) {
	f.t.Helper()
	status, answer := f.sendIn(organization, user, method, path, body)
	require.Equal(f.t, http.StatusOK, status, answer)
	require.NoError(f.t, json.Unmarshal([]byte(answer), into))
}

// subscribe buys a plan.
func (s *seller) subscribe(user, plan string) {
	s.t.Helper()
	s.subscribeIn("", user, plan)
}

// subscribeIn buys a plan for an organization.
func (s *seller) subscribeIn(organization, user, plan string) {
	s.t.Helper()
	var made struct{ CheckoutSession struct{ ID string } }
	s.mustIn(organization, user, http.MethodPost, "/checkoutSessions", checkoutOf(plan, nil), &made)
	pay := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://127.0.0.1/control/stripe/checkout/"+made.CheckoutSession.ID+"/pay",
		strings.NewReader(`{"email":"ann@example.test"}`))
	pay.Header.Set("Content-Type", "application/json")
	paid := httptest.NewRecorder()
	s.box.Handler().ServeHTTP(paid, pay)
	require.Equal(s.t, http.StatusOK, paid.Code, paid.Body)
	var got struct{ CheckoutSession struct{ Applied bool } }
	s.mustIn(organization, user, http.MethodGet, "/checkoutSessions/"+made.CheckoutSession.ID, nil, &got)
	require.True(s.t, got.CheckoutSession.Applied)
}

func checkoutOf(plan string, change map[string]any) map[string]any {
	body := map[string]any{"planId": plan, "successUrl": "https://app.example.com/paid", "cancelUrl": "https://app.example.com/"}
	maps.Copy(body, change)
	return body
}

func planFileBody(old, replacement string) map[string]any {
	return map[string]any{"planFile": base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(sellingPlans, old, replacement)))}
}

// state is what two accounts and the operator see of the ledger.
func (s *seller) state() (all []string) {
	s.t.Helper()
	for _, user := range []string{"user_ann", "user_bob"} {
		for _, path := range []string{"/account", "/subscription", "/entries", "/notices", "/invoices", "/topUp", "/spendLimits"} {
			_, answer := s.send(user, http.MethodGet, path, nil)
			if i := strings.Index(answer, `"requestId"`); i >= 0 {
				answer = answer[:i]
			}
			all = append(all, user+path+answer)
		}
	}
	_, versions := s.send("user_operator", http.MethodGet, "/planVersions", nil)
	return append(all, versions)
}

// Bad input through the edge gets an error that names the field, the line or the setting. Nothing changes at Stripe or in the ledger.
func TestBadInputThroughTheEdge(t *testing.T) {
	s, env := newSeller(t)
	var applied struct{}
	s.must("user_operator", http.MethodPost, "/plans:apply", planFileBody("", ""), &applied)
	s.subscribe("user_ann", "pro")
	var preview struct{ SubscriptionPreview struct{ ID string } }
	s.must("user_ann", http.MethodPost, "/subscription:preview", map[string]any{"planId": "team", "seats": 2}, &preview)
	require.NotEmpty(t, preview.SubscriptionPreview.ID)
	s.now = s.now.Add(16 * time.Minute) // the preview is valid for 15
	before := s.state()
	s.writes.Store(0)
	for name, c := range map[string]struct {
		user, path string
		body       map[string]any
		status     int
		says       []string
	}{
		"an unknown plan":    {"user_bob", "/checkoutSessions", checkoutOf("gold", nil), 404, []string{"NOT_FOUND", "planId", "gold"}},
		"an unknown version": {"user_operator", "/plans:migrate", map[string]any{"from": "pro@1", "to": "pro@9"}, 400, []string{"INVALID_ARGUMENT", `"to"`, "version 9"}},
		"a price in another currency": {
			"user_operator", "/plans:apply", planFileBody(`price: "20.00"`, `price: "20.00 EUR"`), 400, []string{"INVALID_ARGUMENT", "planFile", "line 4"},
		},
		"a fraction of a cent":        {"user_operator", "/plans:apply", planFileBody(`"200.00"`, `"200.005"`), 400, []string{"INVALID_ARGUMENT", "planFile", "line 4"}},
		"a plan that is held already": {"user_ann", "/checkoutSessions", checkoutOf("pro", nil), 409, []string{"CONFLICT", "planId"}},
		"an expired preview": {
			"user_ann", "/subscription:change", map[string]any{"previewId": preview.SubscriptionPreview.ID}, 409, []string{"CONFLICT", "previewId", "preview"},
		},
		"a portal without a customer": {"user_bob", "/portalSessions", map[string]any{"returnUrl": "https://app.example.com/"}, 409, []string{"CONFLICT", "bought nothing yet"}},
		"a foreign redirect": {
			"user_bob", "/checkoutSessions", checkoutOf("pro", map[string]any{"cancelUrl": "https://evil.example.com/"}), 400,
			[]string{"INVALID_ARGUMENT", "cancelUrl", "CORS_ALLOWED_ORIGINS"},
		},
		"a foreign redirect of the portal": {
			"user_ann", "/portalSessions", map[string]any{"returnUrl": "https://evil.example.com/"}, 400, []string{"INVALID_ARGUMENT", "returnUrl", "CORS_ALLOWED_ORIGINS"},
		},
		"more seats than allowed":             {"user_ann", "/subscription:preview", map[string]any{"planId": "team", "seats": 6}, 400, []string{"INVALID_ARGUMENT", "seats"}},
		"a plan file with a typo":             {"user_operator", "/plans:apply", planFileBody("trial:", "trail:"), 400, []string{"INVALID_ARGUMENT", "planFile", "line 5", "trail"}},
		"a removed plan that has subscribers": {"user_operator", "/plans:apply", planFileBody(slices.Collect(strings.Lines(sellingPlans))[3], ""), 400, []string{"INVALID_ARGUMENT", "planFile", "pro"}},
	} {
		status, answer := s.send(c.user, http.MethodPost, c.path, c.body)
		require.Equal(t, c.status, status, "%s: %s", name, answer)
		for _, text := range c.says {
			require.Contains(t, answer, text, name)
		}
	}
	require.Zero(t, s.writes.Load(), "requests to Stripe that change something")
	require.Equal(t, before, s.state())

	env["STRIPE_SECRET_KEY"] = "sk_live_secret"
	live := newForger(t, env)
	status, answer := live.send("user_operator", http.MethodPost, "/plans:apply", planFileBody("", ""))
	require.Equal(t, http.StatusInternalServerError, status, answer)
	require.Contains(t, answer, "CONFIGURATION_ERROR")
	require.Contains(t, live.log.String(), "STRIPE_SECRET_KEY is a live key", "the log names the setting")
	require.Zero(t, s.writes.Load(), "a key of the other mode")
}
