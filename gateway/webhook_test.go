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

func TestWebhooksGoToTheirServiceAsTheyCame(t *testing.T) {
	h := newHouse(t, options{})
	raw := "{\"type\" : \"user.created\"}\n\xff\x00 not even JSON"
	var clerk *authv1.ReceiveWebhookRequest
	h.auth.webhook = func(in *authv1.ReceiveWebhookRequest) error { clerk = in; return nil }
	resp := h.do(t, http.MethodPost, "/api/webhooks/clerk", raw,
		header("svix-id", "msg_1"), header("svix-timestamp", "1"), header("svix-signature", "v1,abc"), header("cookie", "secret"), header("Authorization", ""))
	require.Equal(t, 200, resp.status, resp.body)
	require.Equal(t, `{"received": true}`, resp.body)
	require.Equal(t, "application/json", resp.header.Get("Content-Type"))
	require.Equal(t, raw, string(clerk.GetBody()), "byte for byte")
	require.Equal(t, map[string]string{"svix-id": "msg_1", "svix-timestamp": "1", "svix-signature": "v1,abc"}, clerk.GetHeaders(), "nothing else is handed over")

	var stripe *billingv1.ReceiveWebhookRequest
	h.billing.webhook = func(in *billingv1.ReceiveWebhookRequest) error { stripe = in; return nil }
	resp = h.do(t, http.MethodPost, "/api/webhooks/stripe", raw, header("stripe-signature", "t=1,v1=ab"))
	require.Equal(t, 200, resp.status, resp.body)
	require.Equal(t, map[string]string{"stripe-signature": "t=1,v1=ab"}, stripe.GetHeaders())
}

func TestWebhookRefusals(t *testing.T) {
	h := newHouse(t, options{})
	var fails error
	calls := 0
	h.auth.webhook = func(*authv1.ReceiveWebhookRequest) error { calls++; return fails }
	post := func(body string, edit ...func(*http.Request)) reply {
		return h.do(t, http.MethodPost, "/api/webhooks/clerk", body, edit...)
	}
	for reason, status := range map[errorsv1.ErrorReason]int{
		errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID: 401,
		errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:       500,
		errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE:       503,
	} {
		fails = errs.New(reason, "No.")
		resp := post("{}")
		require.Equal(t, status, resp.status)
		require.Contains(t, resp.body, `"code":"`+errs.Code(reason)+`"`)
	}
	before := calls
	doubled := post("{}", func(r *http.Request) { r.Header["Svix-Id"] = []string{"a", "b"} })
	require.Equal(t, 401, doubled.status, "a header sent twice could be read as either")

	huge := strings.Repeat("x", 1<<20+1)
	require.Equal(t, 413, post(huge).status)
	chunked := post(huge, func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(huge)), -1 })
	require.Equal(t, 413, chunked.status, "a body of unknown length is too large, not badly signed: %s", chunked.body)
	require.Equal(t, before, calls)
	fails = nil
	require.Equal(t, 200, post(huge[:1<<20]).status, "exactly the limit")
	require.Equal(t, 405, h.do(t, http.MethodGet, "/api/webhooks/clerk", "").status)
	require.Equal(t, 404, h.do(t, http.MethodPost, "/api/webhooks/github", "{}").status)
}

func TestWebhooksNeedHTTPSInProduction(t *testing.T) {
	for name, tc := range map[string]struct {
		proxies []string
		proto   []string
		status  int
	}{
		"plain":                          {nil, nil, 403},
		"a header of a stranger's":       {nil, []string{"https"}, 403},
		"a trusted proxy":                {[]string{"127.0.0.1", "::1"}, []string{"https"}, 200},
		"a trusted proxy without TLS":    {[]string{"127.0.0.1", "::1"}, []string{"http"}, 403},
		"a trusted proxy that says both": {[]string{"127.0.0.1", "::1"}, []string{"http", "https"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, options{config: func(c *gateway.Config) { c.Environment, c.TrustedProxies = "production", tc.proxies }})
			h.auth.webhook = func(*authv1.ReceiveWebhookRequest) error { return nil }
			resp := h.do(t, http.MethodPost, "/api/webhooks/clerk", "{}", func(r *http.Request) { r.Header["X-Forwarded-Proto"] = tc.proto })
			require.Equal(t, tc.status, resp.status, resp.body)
		})
	}
}

// A provider sends all of its webhooks from a few addresses: only what it did not sign counts against them.
func TestOnlyRefusedWebhooksCountAgainstTheirAddress(t *testing.T) {
	h := newHouse(t, options{config: func(c *gateway.Config) {
		c.IPRequestsPerMinute, c.TrustedProxies = 40, []string{"127.0.0.1", "::1"}
	}})
	var fails error
	h.billing.webhook = func(*billingv1.ReceiveWebhookRequest) error { return fails }
	from := func(address string) int {
		return h.do(t, http.MethodPost, "/api/webhooks/stripe", "{}", header("X-Forwarded-For", address)).status
	}
	for range 100 {
		require.Equal(t, 200, from("198.51.100.1"))
	}
	fails = errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "No.")
	for range 20 {
		require.Equal(t, 503, from("198.51.100.1"), "our own trouble is not the provider's fault")
	}
	fails = errs.New(errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, "No.")
	for range 10 { // a quarter of a minute's
		require.Equal(t, 401, from("203.0.113.1"))
	}
	require.Equal(t, 429, from("203.0.113.1"))
	fails = nil
	require.Equal(t, 429, from("203.0.113.1"), "whoever has sent so much that was forged must wait")
	require.Equal(t, 200, from("198.51.100.1"))
	require.Equal(t, 429, h.do(t, http.MethodGet, "/v1/models", "", header("X-Forwarded-For", "203.0.113.1")).status)
}
