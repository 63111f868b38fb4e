package gateway_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// A route that needs no credential counts against the IP limit like any other; only webhooks are exempt.
func TestPublicRoutesAreLimited(t *testing.T) {
	for _, path := range []string{"/healthz", "/api/v1/status", "/docs", "/openapi.json", "/nothing"} {
		edge := newEdge(t, options{config: func(c *gateway.Config) {
			c.IPRequestsPerMinute, c.TrustedProxies = 4, []string{"127.0.0.1", "::1"}
		}})
		from := header("X-Forwarded-For", "198.51.100.1")
		require.NotEqual(t, http.StatusTooManyRequests, edge.do(t, http.MethodGet, path, "", from).status, path)
		require.Equal(t, http.StatusTooManyRequests, edge.do(t, http.MethodGet, path, "", from).status, path)
	}
}

// Only an OPTIONS request that asks for a method is a preflight; any other is answered as by the table of routes.
func TestOptionsWithoutAMethodIsNotAPreflight(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) { c.AllowedOrigins = []string{"https://app.example.com"} }})
	resp := edge.do(t, http.MethodOptions, "/v1/models", "", header("Origin", "https://app.example.com"))
	require.Equal(t, http.StatusMethodNotAllowed, resp.status)
	require.NotEmpty(t, resp.header.Get("Allow"))
	resp = edge.do(t, http.MethodOptions, "/v1/models", "", header("Origin", "https://app.example.com"), header("Access-Control-Request-Method", "GET"))
	require.Equal(t, http.StatusNoContent, resp.status)
}

// A client that leaves a stream is logged, but wakes no operator; a stream that Trivet breaks is a warning.
func TestWhoBrokeAStreamDecidesTheLevel(t *testing.T) {
	t.Run("the client", func(t *testing.T) {
		edge := newEdge(t, options{})
		edge.ai.relay = func(_ *aiv1.RelayRequest, s relayStream) error {
			for s.Context().Err() == nil {
				if err := s.Send(&aiv1.RelayResponse{Head: streamHead, Body: []byte("data: 1\n\n")}); err != nil {
					return err
				}
			}
			return s.Context().Err()
		}
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, edge.url+"/v1/chat/completions", strings.NewReader(`{"stream":true}`))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+goodToken)
		resp, err := edge.client.Do(r)
		require.NoError(t, err)
		_, err = bufio.NewReader(resp.Body).ReadString('\n')
		require.NoError(t, err)
		leave()
		require.NoError(t, resp.Body.Close())
		require.Eventually(t, func() bool { return strings.Contains(edge.logs.String(), `"status":499`) }, 30*time.Second, 5*time.Millisecond)
		require.Contains(t, edge.logs.String(), `"broken":true`)
		require.NotContains(t, edge.logs.String(), `"level":"WARN"`)
	})
	t.Run("Trivet", func(t *testing.T) {
		edge := newEdge(t, options{})
		edge.ai.relay = func(_ *aiv1.RelayRequest, s relayStream) error {
			if err := s.Send(&aiv1.RelayResponse{Head: streamHead, Body: []byte("data: 1\n\n")}); err != nil {
				return err
			}
			return context.DeadlineExceeded
		}
		resp := edge.do(t, http.MethodPost, "/v1/chat/completions", `{"stream":true}`)
		require.Error(t, resp.broken)
		require.Contains(t, edge.logs.String(), `"level":"WARN"`)
	})
}
