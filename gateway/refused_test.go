package gateway_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// TestCallsRefusedByTheEdgeAreLogged: each call of a model that the edge refuses is in the log of requests, with the reason that its
// caller got. Calls without an identity, other calls, and those that ai refuses are not logged by the edge.
func TestCallsRefusedByTheEdgeAreLogged(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) { c.MaxBodyBytes, c.MaxUploadBytes = 64<<10, 128<<10 }})
	edge.ai.relay = func(*aiv1.RelayRequest, relayStream) error {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, "no").GRPCStatus().Err()
	}
	large, header := strings.Repeat("x", 200<<10), func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	var want []string
	for _, c := range []struct {
		method, path, body string
		edit               func(*http.Request)
		status             int
		code               string // "" for a call that is not logged
	}{
		{http.MethodPost, chatPath, large, nil, 413, "BODY_TOO_LARGE"},
		{http.MethodPost, chatPath, large, chunked, 413, "BODY_TOO_LARGE"},
		{http.MethodPost, "/v1/audio/transcriptions", large, nil, 413, "BODY_TOO_LARGE"},
		{http.MethodPost, chatPath, "{}", header("Content-Encoding", "gzip"), 415, "UNSUPPORTED_ENCODING"},
		{http.MethodPost, "/v1/embeddings", strings.Repeat("[", 1000), nil, 400, "MALFORMED_BODY"},
		{http.MethodPost, "/v1/images/edits", "", nil, 400, "MALFORMED_BODY"},
		{http.MethodPost, "/api/v1/chat", `{"model":`, nil, 400, "MALFORMED_BODY"},
		{http.MethodPost, "/api/v1/chat", `{"modell":"a"}`, nil, 400, "INVALID_ARGUMENT"},
		{http.MethodPost, ssePath, `{"modell":"a"}`, nil, 400, "INVALID_ARGUMENT"},
		{http.MethodPost, "/v1/responses", "{}", header("Idempotency-Key", strings.Repeat("x", 1000)), 400, "INVALID_ARGUMENT"},
		{http.MethodPost, chatPath, `{"model":"a"}`, nil, 404, ""}, // ai logs it
		{http.MethodPost, chatPath, large, header("Authorization", "Bearer wrong"), 413, ""},
		{http.MethodPost, chatPath, "{}", header("Authorization", "Bearer wrong"), 401, ""},
		{http.MethodPost, "/api/v1/apiKeys", `{"nname":"a"}`, nil, 400, ""},
		{http.MethodPost, "/v1/unknown", "{}", nil, 404, ""},
	} {
		edits := []func(*http.Request){header("X-Request-Id", "req_"+c.code)}
		if c.edit != nil {
			edits = append(edits, c.edit)
		}
		resp := edge.do(t, c.method, c.path, c.body, edits...)
		require.Equal(t, c.status, resp.status, "%s %s: %s", c.path, c.code, resp.body)
		if c.code != "" {
			want = append(want, c.code)
		}
	}
	refused := edge.refusals(t, len(want))
	var got []string
	for _, r := range refused {
		got = append(got, r.GetErrorCode())
		require.Equal(t, "user_1", r.GetAccountId())
		require.Equal(t, "user_1", r.GetUserId())
		require.Equal(t, "req_"+r.GetErrorCode(), r.GetHttpRequestId())
		require.Positive(t, r.GetLatencyMicros())
	}
	require.ElementsMatch(t, want, got)
}

// TestOpenRequestsBeyondTheBoundAreLogged: a caller with too many open requests finds those that were refused.
func TestOpenRequestsBeyondTheBoundAreLogged(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) { c.ConcurrentPerCaller = 1 }})
	end := make(chan struct{})
	edge.ai.relay = func(_ *aiv1.RelayRequest, s relayStream) error {
		_ = s.Send(&aiv1.RelayResponse{Head: streamHead})
		<-end
		return nil
	}
	open := edge.open(t, t.Context(), http.MethodPost, chatPath, wantsStream)
	require.Equal(t, http.StatusTooManyRequests, edge.do(t, http.MethodPost, chatPath, wantsStream).status)
	require.Equal(t, http.StatusTooManyRequests, edge.do(t, http.MethodGet, "/v1/models", "").status)
	close(end)
	require.NoError(t, open.Body.Close())
	refused := edge.refusals(t, 1)
	require.Len(t, refused, 1)
	require.Equal(t, "RATE_LIMIT_EXCEEDED", refused[0].GetErrorCode())
}

// refusals runs the edge until billing has n refused calls, and returns all that it has then. A call is logged after its answer.
func (e *testEdge) refusals(t *testing.T, n int) []*billingv1.RefusedRequest {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.gateway.Run(ctx) }()
	logged := func() []*billingv1.RefusedRequest {
		e.billing.mu.Lock()
		defer e.billing.mu.Unlock()
		return slices.Clone(e.billing.refused)
	}
	require.Eventually(t, func() bool { return len(logged()) >= n }, time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	return logged()
}
