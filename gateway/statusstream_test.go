package gateway_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
)

// The streams of the status are bounded for the address that a trusted proxy names, not for the proxy.
func TestStatusStreamsAreBoundedByAddress(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) { c.TrustedProxies = []string{"127.0.0.1", "::1"} }})
	open := func(client string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, edge.url+"/api/v1/status/stream", nil)
		require.NoError(t, err)
		r.Header.Set("X-Forwarded-For", client)
		response, err := edge.client.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = response.Body.Close() })
		return response.StatusCode
	}
	for range 50 {
		require.Equal(t, http.StatusOK, open("203.0.113.9"))
	}
	require.Equal(t, http.StatusTooManyRequests, open("203.0.113.9"))
	require.Equal(t, http.StatusOK, open("203.0.113.8"))
}
