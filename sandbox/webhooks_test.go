package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	stripewebhook "github.com/stripe/stripe-go/v76/webhook"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// edge is where webhooks arrive.
type edge struct {
	mu     sync.Mutex
	status int
	got    []arrived
}

type arrived struct {
	path   string
	header http.Header
	body   string
}

func newEdge(t *testing.T) (*edge, string) {
	t.Helper()
	e := &edge{status: http.StatusOK}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return e, server.URL
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, arrived{r.URL.Path, r.Header, string(raw)})
	w.WriteHeader(e.status)
}

func (e *edge) answer(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

func (e *edge) take() []arrived {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.got
	e.got = nil
	return out
}

func flush(t *testing.T, base string) string {
	t.Helper()
	status, body := fetch(t, "POST", base+"/control/webhooks/flush", "")
	require.Equal(t, http.StatusOK, status, body)
	return strings.TrimSpace(body)
}

func TestWebhooksReachTheEdge(t *testing.T) {
	e, url := newEdge(t)
	s, base := serve(t, sandbox.Config{EdgeURL: url + "/"})
	require.Equal(t, sandbox.ClerkWebhookSecret, s.Environment()["CLERK_WEBHOOK_SECRET"])
	require.Equal(t, sandbox.StripeWebhookSecret, s.Environment()["STRIPE_WEBHOOK_SECRET"])
	require.Equal(t, s.Clerk().InstanceID(), s.Environment()["CLERK_INSTANCE_ID"])
	_, err := s.Clerk().MintToken(t.Context(), clerk.TokenSpec{User: "alice"})
	require.NoError(t, err)
	_, err = stripeClient(base+"/stripe", 0).Customers.New(nil)
	require.NoError(t, err)
	_, err = s.FlushWebhooks(t.Context())
	require.NoError(t, err)
	byPath := map[string][]arrived{}
	for _, a := range e.take() {
		byPath[a.path] = append(byPath[a.path], a)
	}
	require.Len(t, byPath["/api/webhooks/clerk"], 4, "user.created, email.created, session.created, user.updated")
	for _, a := range byPath["/api/webhooks/clerk"] {
		require.Regexp(t, `^msg_`, a.header.Get("svix-id"))
		require.Regexp(t, `^v1,`, a.header.Get("svix-signature"))
		require.Regexp(t, `^\d+$`, a.header.Get("svix-timestamp"))
	}
	require.Len(t, byPath["/api/webhooks/stripe"], 1)
	one := byPath["/api/webhooks/stripe"][0]
	event, err := stripewebhook.ConstructEvent([]byte(one.body), one.header.Get("Stripe-Signature"), sandbox.StripeWebhookSecret)
	require.NoError(t, err)
	require.Equal(t, "customer.created", string(event.Type))

	_, err = sandbox.New(sandbox.Config{EdgeURL: "localhost:8080"})
	require.ErrorContains(t, err, "absolute http")
	_, err = sandbox.New(sandbox.Config{WebhookRetryScale: 2})
	require.ErrorContains(t, err, "retry_scale")
}

func TestWebhooksByControl(t *testing.T) {
	e, url := newEdge(t)
	s, base := serve(t, sandbox.Config{})
	for name, test := range map[string]struct{ method, path, body, want string }{
		"no provider":           {"POST", "", `{"url":"http://x/","secret":"whsec_eA=="}`, `provider \"\" is unknown; use clerk or stripe`},
		"no secret":             {"POST", "", `{"provider":"clerk","url":"http://x/"}`, "set either secret or secrets"},
		"two kinds":             {"POST", "", `{"provider":"clerk","url":"http://x/","secret":"whsec_eA==","secrets":["whsec_eA=="]}`, "set either secret or secrets"},
		"bad secret":            {"POST", "", `{"provider":"clerk","url":"http://x/","secret":"whsec_?"}`, "base64"},
		"bad settings":          {"PATCH", "/settings", `{"lose_fraction":2}`, "0 to 1"},
		"unknown setting":       {"PATCH", "/settings", `{"loose":2}`, "unknown field"},
		"unknown provider":      {"PATCH", "/settings", `{"provider":"openai"}`, "use clerk or stripe"},
		"no retry scale":        {"PATCH", "/settings", `{"retry_scale":0}`, "retry_scale must be greater than 0"},
		"no concurrency":        {"PATCH", "/settings", `{"concurrency":0}`, "concurrency must be 1 to 64"},
		"scale as a text":       {"PATCH", "/settings", `{"retry_scale":"slow"}`, `"error":"retry_scale must be a number, got string"`},
		"half a delivery":       {"PATCH", "/settings", `{"lose_next":1.5}`, `"error":"lose_next must be a whole number, got number 1.5"`},
		"a negative seed":       {"PATCH", "/settings", `{"seed":-1}`, `"error":"seed must be a whole number that is not negative, got number -1"`},
		"paused as a text":      {"PATCH", "/settings", `{"paused":"yes"}`, `"error":"paused must be true or false, got string"`},
		"types as a text":       {"PATCH", "/settings", `{"types":"a.b"}`, `"error":"types must be a list, got string"`},
		"url as a number":       {"POST", "", `{"provider":"clerk","url":7}`, `"error":"url must be a text, got number"`},
		"a list":                {"PATCH", "/settings", `[]`, `"error":"the body must be an object, got array"`},
		"unknown state":         {"GET", "/deliveries?state=foo", "", `state \"foo\" is unknown; use pending, sending, delivered, failed, lost or dropped`},
		"bad limit":             {"GET", "/deliveries?limit=0", "", "limit must be"},
		"flush nobody":          {"POST", "/flush?provider=x", "", "is unknown"},
		"no data":               {"POST", "/send", `{"provider":"clerk","type":"a"}`, "set type and data"},
		"no type":               {"POST", "/send", `{"provider":"clerk","data":{}}`, "set type and data"},
		"rotate to bad":         {"POST", "/clerk-endpoint-9/rotate", `{"secret":"whsec_eA=="}`, "endpoint or delivery not found"},
		"resend nothing":        {"POST", "/deliveries/clerk-delivery-9/resend", "", "endpoint or delivery not found"},
		"resend an unknown one": {"POST", "/deliveries/x/resend", "", "delivery x not found"},
		"remove nothing":        {"DELETE", "/x", "", "webhook endpoint x not found"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := fetch(t, test.method, base+"/control/webhooks"+test.path, test.body)
			require.GreaterOrEqual(t, status, 400)
			require.Less(t, status, 500)
			require.Contains(t, body, test.want)
		})
	}

	status, body := fetch(t, "POST", base+"/control/webhooks", `{"provider":"clerk","url":"`+url+`/hook","secret":"whsec_b2xk"}`)
	require.Equal(t, http.StatusCreated, status)
	require.JSONEq(t, `{"id":"clerk-endpoint-1","provider":"clerk","url":"`+url+`/hook","secrets":["whsec_b2xk"]}`, body)
	_, body = fetch(t, "POST", base+"/control/webhooks/clerk-endpoint-1/rotate", `{"secret":"whsec_bmV3","keep_old":true}`)
	require.Contains(t, body, `"secrets":["whsec_bmV3","whsec_b2xk"]`)
	_, body = fetch(t, "GET", base+"/control/webhooks", "")
	require.Contains(t, body, "clerk-endpoint-1")

	_, body = fetch(t, "PATCH", base+"/control/webhooks/settings", `{"provider":"clerk","paused":true,"retry_scale":0.5,"lose_next":1,"concurrency":1,"types":["user.created"],"delay_ms":5}`)
	require.Contains(t, body, `{"provider":"clerk","paused":true,"retry_scale":0.5,"concurrency":1,"seed":0,"types":["user.created"],"lose_next":1,"lose_fraction":0,"double_next":0,"double_fraction":0,"delay_ms":5,"shuffle":0}`)
	_, err := s.Clerk().MintToken(t.Context(), clerk.TokenSpec{User: "alice"})
	require.NoError(t, err)
	e.answer(http.StatusInternalServerError)
	require.JSONEq(t, `{"delivered":0,"failed":3}`, flush(t, base), "one of four is lost")
	e.answer(http.StatusOK)
	require.JSONEq(t, `{"delivered":3,"failed":0}`, flush(t, base))
	require.Len(t, strings.Fields(e.take()[0].header.Get("svix-signature")), 2)

	var list struct {
		Counts     map[string]int `json:"counts"`
		Deliveries []struct {
			ID       string `json:"id"`
			Type     string `json:"type"`
			State    string `json:"state"`
			Subject  string `json:"subject"`
			Attempts int    `json:"attempts"`
			Status   int    `json:"status"`
		} `json:"deliveries"`
	}
	_, body = fetch(t, "GET", base+"/control/webhooks/deliveries?provider=clerk&type=user.created", "")
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Equal(t, map[string]int{"pending": 0, "sending": 0, "delivered": 3, "failed": 0, "lost": 1, "dropped": 0}, list.Counts)
	require.Len(t, list.Deliveries, 1)
	require.Equal(t, "lost", list.Deliveries[0].State)
	require.Equal(t, "alice", list.Deliveries[0].Subject)
	status, _ = fetch(t, "POST", base+"/control/webhooks/deliveries/"+list.Deliveries[0].ID+"/resend", "")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"delivered":1,"failed":0}`, flush(t, base), "late, but it comes")
	_, body = fetch(t, "GET", base+"/control/webhooks/deliveries?state=delivered&limit=2", "")
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Len(t, list.Deliveries, 2)
	require.Equal(t, 1, list.Deliveries[0].Attempts)
	require.Equal(t, http.StatusOK, list.Deliveries[0].Status)

	e.take()
	fetch(t, "POST", base+"/control/webhooks/send", `{"provider":"clerk","type":"role.created","subject":"role_1","data":{"id":"role_1"},"instance_id":"ins_other","id":"msg_mine"}`)
	fetch(t, "POST", base+"/control/webhooks/send", `{"provider":"clerk","raw":"not JSON"}`)
	flush(t, base)
	made := e.take()
	require.Len(t, made, 2)
	require.Equal(t, "msg_mine", made[0].header.Get("svix-id"))
	require.Contains(t, made[0].body, `"instance_id":"ins_other"`)
	require.Equal(t, "not JSON", made[1].body)

	fetch(t, "POST", base+"/control/reset", "")
	_, body = fetch(t, "GET", base+"/control/webhooks/settings", "")
	require.Contains(t, body, `{"provider":"clerk","paused":false,"retry_scale":0.5`)
	_, body = fetch(t, "GET", base+"/control/webhooks/deliveries", "")
	require.Contains(t, body, `"deliveries":[]`)
	_, body = fetch(t, "DELETE", base+"/control/webhooks/clerk-endpoint-1", "")
	require.JSONEq(t, `{"removed":1}`, body)
	fetch(t, "POST", base+"/control/webhooks", `{"provider":"stripe","url":"`+url+`/hook","secrets":["a","b"]}`)
	fetch(t, "POST", base+"/control/webhooks/send", `{"provider":"stripe","type":"x.y","data":{"id":"x_1"}}`)
	flush(t, base)
	made = e.take()
	require.Len(t, made, 1)
	require.Regexp(t, `^t=\d+,v1=[0-9a-f]{64},v1=[0-9a-f]{64}$`, made[0].header.Get("Stripe-Signature"))
	require.Contains(t, made[0].body, `"type": "x.y"`)
}
