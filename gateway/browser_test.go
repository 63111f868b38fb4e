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

// The log names the refused origin and the setting that allows it.
func TestRefusedOriginIsLogged(t *testing.T) {
	const allowed, refused = "https://app.example.com", "http://localhost:5173"
	allow := func(c *gateway.Config) { c.AllowedOrigins = []string{allowed} }
	for name, o := range map[string]options{"no origin is allowed": {}, "another origin is allowed": {config: allow}} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodOptions, http.MethodGet} {
				edge := newEdge(t, o)
				resp := edge.do(t, method, "/v1/models", "", header("Origin", refused), header("Access-Control-Request-Method", "GET"))
				require.Empty(t, resp.header.Get("Access-Control-Allow-Origin"))
				require.Contains(t, edge.logs.String(), `"origin":"`+refused+`"`)
				require.Contains(t, edge.logs.String(), "CORS_ALLOWED_ORIGINS")
			}
		})
	}
	edge := newEdge(t, options{config: allow})
	resp := edge.do(t, http.MethodGet, "/v1/models", "", header("Origin", allowed))
	require.Equal(t, allowed, resp.header.Get("Access-Control-Allow-Origin"))
	edge.do(t, http.MethodGet, "/v1/models", "", header("Origin", edge.url))
	edge.do(t, http.MethodGet, "/v1/models", "")
	require.NotContains(t, edge.logs.String(), "CORS_ALLOWED_ORIGINS", "allowed origins, the edge's own pages, and requests without an origin are not logged")

	for range 50 {
		edge.do(t, http.MethodGet, "/v1/models", "", header("Origin", "https://"+strings.Repeat("x", 1000)+".test"))
	}
	require.Less(t, strings.Count(edge.logs.String(), "CORS_ALLOWED_ORIGINS"), 50, "the log is rate-limited")
	require.NotContains(t, edge.logs.String(), strings.Repeat("x", 300))
}

// A browser does not run an HTML response of a provider.
func TestProviderPagesAreInert(t *testing.T) {
	edge := newEdge(t, options{})
	edge.ai.relay = answers(&aiv1.RelayHead{Status: 502, Headers: map[string]string{
		"content-type": "text/html", "content-security-policy": "default-src *", "x-content-type-options": "",
	}}, "<script>alert(1)</script>")
	resp := edge.do(t, http.MethodPost, "/v1/chat/completions", `{}`)
	require.Equal(t, 502, resp.status)
	require.Equal(t, "nosniff", resp.header.Get("X-Content-Type-Options"))
	require.Equal(t, "default-src 'none'; frame-ancestors 'none'; sandbox", resp.header.Get("Content-Security-Policy"))
	require.Contains(t, edge.do(t, http.MethodGet, "/docs", "").header.Get("Content-Security-Policy"), "script-src 'self'", "the edge's own page has its own policy")
}

// Usage may come in its own message, after the message with the finish reason.
func TestMessagesAfterTheFinishReason(t *testing.T) {
	edge := newEdge(t, options{})
	edge.ai.stream = func(_ *aiv1.ChatStreamRequest, s grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error {
		cost := int64(12)
		_ = s.Send(&aiv1.ChatStreamResponse{Delta: "Hi"})
		_ = s.Send(&aiv1.ChatStreamResponse{FinishReason: "stop"})
		return s.Send(&aiv1.ChatStreamResponse{CostNanoUsd: &cost})
	}
	resp := edge.do(t, http.MethodPost, ssePath, typedChat)
	require.NoError(t, resp.broken)
	require.Equal(t, 3, strings.Count(resp.body, "data: "))
	require.Contains(t, resp.body, `"costNanoUsd":"12"`)
	require.NotContains(t, resp.body, "event: error")
}
