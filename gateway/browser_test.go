package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// A developer whose page is refused finds its origin and the setting in the log.
func TestARefusedOriginIsLogged(t *testing.T) {
	const allowed, refused = "https://app.example.com", "http://localhost:5173"
	allow := func(c *gateway.Config) { c.AllowedOrigins = []string{allowed} }
	for name, o := range map[string]options{"no origin is allowed": {}, "another origin is allowed": {config: allow}} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodOptions, http.MethodGet} {
				h := newHouse(t, o)
				resp := h.do(t, method, "/v1/models", "", header("Origin", refused), header("Access-Control-Request-Method", "GET"))
				require.Empty(t, resp.header.Get("Access-Control-Allow-Origin"))
				require.Contains(t, h.logs.String(), `"origin":"`+refused+`"`)
				require.Contains(t, h.logs.String(), "CORS_ALLOWED_ORIGINS")
			}
		})
	}
	h := newHouse(t, options{config: allow})
	resp := h.do(t, http.MethodGet, "/v1/models", "", header("Origin", allowed))
	require.Equal(t, allowed, resp.header.Get("Access-Control-Allow-Origin"))
	h.do(t, http.MethodGet, "/v1/models", "", header("Origin", h.url))
	h.do(t, http.MethodGet, "/v1/models", "")
	require.NotContains(t, h.logs.String(), "CORS_ALLOWED_ORIGINS", "an allowed origin, the edge's own pages, and callers without one")

	for range 50 {
		h.do(t, http.MethodGet, "/v1/models", "", header("Origin", "https://"+strings.Repeat("x", 1000)+".test"))
	}
	require.Less(t, strings.Count(h.logs.String(), "CORS_ALLOWED_ORIGINS"), 50, "strangers cannot fill the log")
	require.NotContains(t, h.logs.String(), strings.Repeat("x", 300))
}

// What a provider calls a page stays inert in a browser.
func TestProviderPagesAreInert(t *testing.T) {
	h := newHouse(t, options{})
	h.ai.relay = answers(&aiv1.RelayHead{Status: 502, Headers: map[string]string{
		"content-type": "text/html", "content-security-policy": "default-src *", "x-content-type-options": "",
	}}, "<script>alert(1)</script>")
	resp := h.do(t, http.MethodPost, "/v1/chat/completions", `{}`)
	require.Equal(t, 502, resp.status)
	require.Equal(t, "nosniff", resp.header.Get("X-Content-Type-Options"))
	require.Equal(t, "default-src 'none'; frame-ancestors 'none'; sandbox", resp.header.Get("Content-Security-Policy"))
	require.Contains(t, h.do(t, http.MethodGet, "/docs", "").header.Get("Content-Security-Policy"), "script-src 'sha256-", "the edge's own page has its own policy")
}

// Usage may come in a piece of its own, after the one that says why the model stopped.
func TestPiecesAfterTheFinishReason(t *testing.T) {
	h := newHouse(t, options{})
	h.ai.stream = func(_ *aiv1.ChatStreamRequest, s grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error {
		cost := int64(12)
		_ = s.Send(&aiv1.ChatStreamResponse{Delta: "Hi"})
		_ = s.Send(&aiv1.ChatStreamResponse{FinishReason: "stop"})
		return s.Send(&aiv1.ChatStreamResponse{CostNanoUsd: &cost})
	}
	resp := h.do(t, http.MethodPost, ssePath, typedChat)
	require.NoError(t, resp.broken)
	require.Equal(t, 3, strings.Count(resp.body, "data: "))
	require.Contains(t, resp.body, `"costNanoUsd":"12"`)
	require.NotContains(t, resp.body, "event: error")
}
