package gateway_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/peer"
)

// The services refuse an edge with another internal secret, or with another time. Its callers did nothing wrong: they get a 503, and the
// providers send their webhooks again.
func TestCallersOfARefusedEdgeGet503(t *testing.T) {
	for name, tc := range map[string]struct {
		secret []byte
		ahead  time.Duration
	}{
		"another secret": {bytes.Repeat([]byte{1}, 32), 0}, "a clock ahead": {peerSecret, time.Hour}, "a clock behind": {peerSecret, -time.Hour},
	} {
		for _, way := range []string{"", "TCP"} {
			t.Run(name+" "+way, func(t *testing.T) {
				prover, err := peer.NewProver("gateway", tc.secret, func() time.Time { return time.Now().Add(tc.ahead) })
				require.NoError(t, err)
				edge := newEdge(t, options{way: way, prover: prover})
				for _, request := range []struct{ method, path, body string }{
					{http.MethodGet, "/api/v1/me", ""},
					{http.MethodPost, "/api/v1/chat", `{}`},
					{http.MethodGet, "/v1/models", ""},
					{http.MethodPost, chatPath, `{}`},
					{http.MethodPost, "/api/webhooks/clerk", `{}`},
					{http.MethodPost, "/api/webhooks/stripe", `{}`},
				} {
					got := edge.do(t, request.method, request.path, request.body)
					require.Equal(t, http.StatusServiceUnavailable, got.status, "%s: %s", request.path, got.body)
					require.Equal(t, "1", got.header.Get("Retry-After"), request.path)
					require.NotContains(t, got.body, "own services")
				}
			})
		}
	}
}
