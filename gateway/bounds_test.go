package gateway_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// Bodies that nest too deep are refused in both trees, with the bound, and reach no service.
func TestDeepBodies(t *testing.T) {
	edge := newEdge(t, options{})
	deep := `{"model":"m","messages":[{"role":"user","content":"hi"}],"x":` + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + `}`
	for path, want := range map[string]string{
		chatPath: `"type":"invalid_request_error"`, "/v1/embeddings": `"type":"invalid_request_error"`,
		"/api/v1/chat": `"code":"MALFORMED_BODY"`, ssePath: `"code":"MALFORMED_BODY"`,
	} {
		resp := edge.do(t, http.MethodPost, path, deep)
		require.Equal(t, http.StatusBadRequest, resp.status, path)
		require.Contains(t, resp.body, want)
		require.Contains(t, resp.body, "deeper than 128 levels")
	}
	calls, _ := edge.ai.seen()
	require.Zero(t, calls)
}

// A caller with too many open streams is refused until one ends; so is everything else that it asks for, but not what is public.
func TestOpenStreamsOfACaller(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) { c.ConcurrentPerCaller = 2 }})
	end := make(chan struct{})
	release := sync.OnceFunc(func() { close(end) })
	t.Cleanup(release)
	edge.ai.relay = func(_ *aiv1.RelayRequest, s relayStream) error {
		_ = s.Send(&aiv1.RelayResponse{Head: streamHead})
		<-end
		return nil
	}
	var open []*http.Response
	for range 2 {
		open = append(open, edge.open(t, t.Context(), http.MethodPost, chatPath, wantsStream)) //nolint:bodyclose // closed below
	}
	resp := edge.do(t, http.MethodPost, chatPath, wantsStream)
	require.Equal(t, http.StatusTooManyRequests, resp.status)
	require.Contains(t, resp.body, "Too many requests. Please wait a moment and try again.")
	require.Equal(t, "1", resp.header.Get("Retry-After"))
	require.Equal(t, http.StatusTooManyRequests, edge.do(t, http.MethodGet, "/v1/models", "").status)
	require.Equal(t, http.StatusOK, edge.do(t, http.MethodGet, "/healthz", "").status)
	release()
	for _, one := range open {
		require.NoError(t, one.Body.Close())
	}
	require.Eventually(t, func() bool { return edge.do(t, http.MethodGet, "/v1/models", "").status == http.StatusOK }, 30*time.Second, 5*time.Millisecond)
}
