package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
)

// TestCallsRefusedByTheEdgeAreLogged: each call of a model that the edge refuses is in the log of requests, with the reason that its
// caller got and the model, as far as the edge knows it. Calls without an identity, other calls, and those that ai refuses are not logged
// by the edge.
func TestCallsRefusedByTheEdgeAreLogged(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) { c.MaxBodyBytes, c.MaxUploadBytes = 64<<10, 128<<10 }})
	edge.ai.relay = func(*aiv1.RelayRequest, relayStream) error {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, "no").GRPCStatus().Err()
	}
	large := strings.Repeat("x", 200<<10)
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	const upload = "multipart/form-data; boundary=b"
	field := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
	type logged struct{ code, model, id string }
	var want []logged
	for i, c := range []struct {
		method, path, body string
		edits              []func(*http.Request)
		status             int
		code, model        string // code is "" for a call that is not logged
	}{
		{http.MethodPost, chatPath, `{"model":"a"}` + large, nil, 413, "BODY_TOO_LARGE", ""}, // refused by its length, unread
		{http.MethodPost, chatPath, `{"model":"a"}` + large, edits(chunked), 413, "BODY_TOO_LARGE", "a"},
		{http.MethodPost, "/v1/audio/transcriptions", large, nil, 413, "BODY_TOO_LARGE", ""},
		{http.MethodPost, "/v1/audio/transcriptions", field + large, edits(chunked, header("Content-Type", upload)), 413, "BODY_TOO_LARGE", "whisper-1"},
		{http.MethodPost, chatPath, `{"model":"a"}`, edits(header("Content-Encoding", "gzip")), 415, "UNSUPPORTED_ENCODING", ""}, // unread
		{http.MethodPost, "/v1/embeddings", `{"model":"a","input":` + strings.Repeat("[", 1000), nil, 400, "MALFORMED_BODY", "a"},
		{http.MethodPost, "/v1/images/edits", "", nil, 400, "MALFORMED_BODY", ""},
		{http.MethodPost, chatPath, "", nil, 400, "MALFORMED_BODY", ""},
		{http.MethodPost, "/api/v1/chat", `{"model":`, nil, 400, "MALFORMED_BODY", ""},
		{http.MethodPost, "/api/v1/chat", `{"model":"a","messages":[`, nil, 400, "MALFORMED_BODY", "a"},
		{http.MethodPost, "/api/v1/chat", `{"modell":"a"}`, nil, 400, "INVALID_ARGUMENT", ""},
		{http.MethodPost, "/api/v1/chat", `{"model":"a","modell":"a"}`, nil, 400, "INVALID_ARGUMENT", "a"},
		{http.MethodPost, ssePath, `{"model":"a","modell":"a"}`, nil, 400, "INVALID_ARGUMENT", "a"},
		{http.MethodPost, ssePath, `{"model":"tell me a story","modell":"a"}`, nil, 400, "INVALID_ARGUMENT", ""}, // a record has no content
		{http.MethodPost, "/v1/responses", `{"model":"a"}`, edits(header("Idempotency-Key", strings.Repeat("x", 1000))), 400, "INVALID_ARGUMENT", ""},
		{http.MethodPost, "/v1/unknown", `{"model":"a"}`, nil, 404, "NOT_FOUND", ""}, // unread
		{http.MethodGet, "/v1/realtime?model=gpt-realtime", "", nil, 404, "NOT_FOUND", "gpt-realtime"},
		{http.MethodGet, chatPath, "", nil, 405, "METHOD_NOT_ALLOWED", ""},
		{http.MethodPost, chatPath, `{"model":"a"}`, nil, 404, "", ""}, // ai logs it
		{http.MethodPost, chatPath, large, edits(header("Authorization", "Bearer wrong")), 413, "", ""},
		{http.MethodPost, chatPath, "{}", edits(header("Authorization", "Bearer wrong")), 401, "", ""},
		{http.MethodPost, "/v1/unknown", "{}", edits(header("Authorization", "Bearer wrong")), 404, "", ""},
		{http.MethodPost, "/v1/unknown", "{}", edits(header("Authorization", "")), 404, "", ""},
		{http.MethodPost, "/api/v1/apiKeys", `{"nname":"a"}`, nil, 400, "", ""},
		{http.MethodPost, "/api/v1/unknown", `{"model":"a"}`, nil, 404, "", ""},
		{http.MethodPost, "/unknown", `{"model":"a"}`, nil, 404, "", ""},
	} {
		id := fmt.Sprintf("req_%d", i)
		resp := edge.do(t, c.method, c.path, c.body, append(c.edits, header("X-Request-Id", id))...)
		require.Equal(t, c.status, resp.status, "%s %s: %s", c.path, c.code, resp.body)
		if c.code != "" {
			want = append(want, logged{c.code, c.model, id})
		}
	}
	var got []logged
	for _, r := range edge.refusals(t, len(want)) {
		got = append(got, logged{r.GetErrorCode(), r.GetModel(), r.GetHttpRequestId()})
		require.Equal(t, "user_1", r.GetAccountId())
		require.Equal(t, "user_1", r.GetUserId())
		require.Positive(t, r.GetLatencyMicros())
	}
	require.ElementsMatch(t, want, got)
}

func edits(all ...func(*http.Request)) []func(*http.Request) { return all }

// TestCallsThatReachNoServiceAreLogged: the edge logs a call if the ai service cannot have it. A call that the service has is its own to log.
func TestCallsThatReachNoServiceAreLogged(t *testing.T) {
	const body = `{"model":"gpt-5-mini","messages":[{"role":"user","content":"Hello"}]}`
	gone := &away{err: connect.ErrUnsent(status.Error(codes.Unavailable, "nobody listens"))}
	broken := &away{err: status.Error(codes.Unavailable, "the connection broke")}
	for name, c := range map[string]struct {
		ai     *away
		logged bool
	}{"nobody listens": {gone, true}, "the connection breaks": {broken, false}} {
		for _, path := range []string{chatPath, "/v1/images/edits", "/api/v1/chat", ssePath} {
			t.Run(name+" "+path, func(t *testing.T) {
				t.Parallel()
				edge := newEdge(t, options{proxied: func(inner grpc.ClientConnInterface) grpc.ClientConnInterface { return &away{inner, c.ai.err} }})
				require.Equal(t, http.StatusServiceUnavailable, edge.do(t, http.MethodPost, path, body).status)
				require.Equal(t, http.StatusMethodNotAllowed, edge.do(t, http.MethodPut, chatPath, "").status) // is logged in any case
				want := map[string]string{"METHOD_NOT_ALLOWED": ""}
				if c.logged {
					want["SERVICE_UNAVAILABLE"] = "gpt-5-mini"
				}
				got := map[string]string{}
				for _, r := range edge.refusals(t, len(want)) {
					got[r.GetErrorCode()] = r.GetModel()
				}
				require.Equal(t, want, got)
			})
		}
	}
}

// away is a connection over which calls to the ai service fail.
type away struct {
	grpc.ClientConnInterface
	err error
}

// Invoke implements grpc.ClientConnInterface.
func (a *away) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if strings.Contains(method, "AIService/Chat") {
		return a.err
	}
	return a.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (a *away) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if strings.Contains(method, "AIService/") {
		return nil, a.err
	}
	return a.ClientConnInterface.NewStream(ctx, desc, method, opts...)
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
