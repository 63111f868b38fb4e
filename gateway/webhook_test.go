package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func TestWebhooksReachTheirServiceUnchanged(t *testing.T) {
	edge := newEdge(t, options{})
	raw := "{\"type\" : \"user.created\"}\n\xff\x00 not even JSON"
	var clerk *authv1.ReceiveWebhookRequest
	edge.auth.webhook = func(in *authv1.ReceiveWebhookRequest) error { clerk = in; return nil }
	resp := edge.do(t, http.MethodPost, "/api/webhooks/clerk", raw,
		header("svix-id", "msg_1"), header("svix-timestamp", "1"), header("svix-signature", "v1,abc"), header("cookie", "secret"), header("Authorization", ""))
	require.Equal(t, 200, resp.status, resp.body)
	require.Equal(t, `{"received": true}`, resp.body)
	require.Equal(t, "application/json", resp.header.Get("Content-Type"))
	require.Equal(t, raw, string(clerk.GetBody()), "the bytes are unchanged")
	require.Equal(t, map[string]string{"svix-id": "msg_1", "svix-timestamp": "1", "svix-signature": "v1,abc"}, clerk.GetHeaders(), "no other header is passed on")

	var stripe *billingv1.ReceiveWebhookRequest
	edge.billing.webhook = func(in *billingv1.ReceiveWebhookRequest) error { stripe = in; return nil }
	resp = edge.do(t, http.MethodPost, "/api/webhooks/stripe", raw, header("stripe-signature", "t=1,v1=ab"))
	require.Equal(t, 200, resp.status, resp.body)
	require.Equal(t, map[string]string{"stripe-signature": "t=1,v1=ab"}, stripe.GetHeaders())
}

// Both header families reach the service: Svix and Standard Webhooks.
func TestBothHeaderFamiliesReachTheService(t *testing.T) {
	edge := newEdge(t, options{})
	var got *authv1.ReceiveWebhookRequest
	edge.auth.webhook = func(in *authv1.ReceiveWebhookRequest) error { got = in; return nil }
	want := map[string]string{}
	var edits []func(*http.Request)
	for _, name := range []string{"svix-id", "svix-timestamp", "svix-signature", "webhook-id", "webhook-timestamp", "webhook-signature"} {
		want[name] = "value of " + name
		edits = append(edits, header(name, want[name]))
	}
	require.Equal(t, 200, edge.do(t, http.MethodPost, "/api/webhooks/clerk", "{}", edits...).status)
	require.Equal(t, want, got.GetHeaders())
	require.Equal(t, 200, edge.do(t, http.MethodPost, "/api/webhooks/clerk", "{}", edits[3:]...).status)
	require.Len(t, got.GetHeaders(), 3)
}

// provider is a webhook path in front of a fake service.
type provider struct {
	path, header string
	post         func(body string, edit ...func(*http.Request)) reply
	get          func(path string, edit ...func(*http.Request)) reply
	logs         func() string
	fails        error
	calls        int
}

// eachProvider runs a test for both webhook paths, without a credential.
func eachProvider(t *testing.T, o options, test func(t *testing.T, p *provider)) {
	t.Helper()
	for _, p := range []*provider{
		{path: "/api/webhooks/clerk", header: "Svix-Signature"}, {path: "/api/webhooks/stripe", header: "Stripe-Signature"},
	} {
		t.Run(p.path, func(t *testing.T) {
			edge := newEdge(t, o)
			receive := func() error { p.calls++; return p.fails }
			foreign := func() error { t.Error("the other service was called"); return nil }
			clerk, stripe := receive, foreign
			if p.header == "Stripe-Signature" {
				clerk, stripe = foreign, receive
			}
			edge.auth.webhook = func(*authv1.ReceiveWebhookRequest) error { return clerk() }
			edge.billing.webhook = func(*billingv1.ReceiveWebhookRequest) error { return stripe() }
			p.post = func(body string, edit ...func(*http.Request)) reply {
				return edge.do(t, http.MethodPost, p.path, body, append(edit, header("Authorization", ""))...)
			}
			p.get = func(path string, edit ...func(*http.Request)) reply {
				return edge.do(t, http.MethodGet, path, "", edit...)
			}
			p.logs = func() string { return edge.logs.String() }
			test(t, p)
			require.Equal(t, 405, edge.do(t, http.MethodGet, p.path, "").status)
			require.Equal(t, 404, edge.do(t, http.MethodPost, "/api/webhooks/github", "{}").status)
		})
	}
}

func TestWebhookRefusals(t *testing.T) {
	eachProvider(t, options{}, func(t *testing.T, p *provider) {
		for reason, status := range map[errorsv1.ErrorReason]int{
			errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID: 401,
			errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:       500,
			errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE:       503,
		} {
			p.fails = errs.New(reason, "No.")
			resp := p.post("{}")
			require.Equal(t, status, resp.status)
			require.Contains(t, resp.body, `"code":"`+errs.Code(reason)+`"`)
		}
		before := p.calls
		for name, values := range map[string][]string{
			"sent twice, could be read as either": {"a", "b"}, "not UTF-8": {"v1,\xff"}, "not ASCII": {"v1,é"}, "too long": {strings.Repeat("x", 8<<10+1)},
		} {
			resp := p.post("{}", func(r *http.Request) { r.Header[p.header] = values })
			require.Equal(t, 401, resp.status, name)
			require.Contains(t, resp.body, "WEBHOOK_SIGNATURE_INVALID", name)
		}

		huge := strings.Repeat("x", 1<<20+1)
		require.Equal(t, 413, p.post(huge).status)
		chunked := p.post(huge, func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(huge)), -1 })
		require.Equal(t, 413, chunked.status, "a body of unknown length is too large, not badly signed: %s", chunked.body)
		require.Equal(t, http.StatusUnsupportedMediaType, p.post("{}", header("Content-Encoding", "gzip")).status)
		require.Equal(t, before, p.calls)
		p.fails = nil
		require.Equal(t, 200, p.post(huge[:1<<20]).status, "exactly the limit")
	})
}

func TestWebhooksNeedHTTPSInProduction(t *testing.T) {
	for name, tc := range map[string]struct {
		proxies []string
		proto   []string
		status  int
	}{
		"plain":                           {nil, nil, 403},
		"an untrusted header":             {nil, []string{"https"}, 403},
		"a trusted proxy":                 {[]string{"127.0.0.1", "::1"}, []string{"https"}, 200},
		"a trusted proxy without TLS":     {[]string{"127.0.0.1", "::1"}, []string{"http"}, 403},
		"a trusted proxy with two values": {[]string{"127.0.0.1", "::1"}, []string{"http", "https"}, 403},
		"a trusted proxy, first https":    {[]string{"127.0.0.1", "::1"}, []string{"https", "http"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			o := options{production: true, config: func(c *gateway.Config) { c.TrustedProxies = tc.proxies }}
			eachProvider(t, o, func(t *testing.T, p *provider) {
				resp := p.post("{}", func(r *http.Request) { r.Header["X-Forwarded-Proto"] = tc.proto })
				require.Equal(t, tc.status, resp.status, resp.body)
				require.Equal(t, tc.status == 200, p.calls == 1)
				require.Equal(t, tc.status != 200, strings.Contains(p.logs(), "webhook refused"), "the refusal is logged")
				require.Equal(t, tc.status, p.post("{}", func(r *http.Request) { r.Header["X-Forwarded-Proto"] = tc.proto }).status)
				require.LessOrEqual(t, strings.Count(p.logs(), "webhook refused"), 1, "once a second")
			})
		})
	}
	eachProvider(t, options{}, func(t *testing.T, p *provider) {
		require.Equal(t, 200, p.post("{}").status, "development accepts plain HTTP")
	})
}

// A provider sends all of its webhooks from a few addresses, so only refused requests count against the IP limit.
func TestOnlyRefusedWebhooksCountAgainstTheIPLimit(t *testing.T) {
	o := options{config: func(c *gateway.Config) {
		c.IPRequestsPerMinute, c.TrustedProxies = 40, []string{"127.0.0.1", "::1"}
	}}
	eachProvider(t, o, func(t *testing.T, p *provider) {
		from := func(address string) int { return p.post("{}", header("X-Forwarded-For", address)).status }
		for range 100 {
			require.Equal(t, 200, from("198.51.100.1"))
		}
		p.fails = errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "No.")
		for range 20 {
			require.Equal(t, 503, from("198.51.100.1"), "our own failures do not count")
		}
		p.fails = errs.New(errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, "No.")
		for range 10 { // the burst: a quarter of the limit
			require.Equal(t, 401, from("203.0.113.1"))
		}
		require.Equal(t, 429, from("203.0.113.1"))
		p.fails = nil
		require.Equal(t, 429, from("203.0.113.1"), "the address is limited after too many forged webhooks")
		require.Equal(t, 200, from("198.51.100.1"))
		require.Equal(t, 429, p.get("/v1/models", header("X-Forwarded-For", "203.0.113.1")).status)
	})
}
