package relay_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/relay"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

// scripted is an ai service that sends some pieces, with a pause before each, and then ends with an error.
type scripted struct {
	aiv1.AIServiceClient
	pieces []*aiv1.RelayResponse
	pause  time.Duration
	end    error
	asked  *aiv1.RelayRequest
}

func (s *scripted) Relay(ctx context.Context, in *aiv1.RelayRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[aiv1.RelayResponse], error) {
	s.asked = in
	return &scriptedStream{scripted: s, ctx: ctx}, nil
}

type scriptedStream struct {
	grpc.ClientStream
	*scripted
	ctx  context.Context
	next int
}

func (s *scriptedStream) Recv() (*aiv1.RelayResponse, error) {
	select {
	case <-time.After(s.pause):
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	if s.next++; s.next > len(s.pieces) {
		return nil, s.end
	}
	return s.pieces[s.next-1], nil
}

// client is a response writer that counts flushes, and fails writes or flushes as told.
type client struct {
	*httptest.ResponseRecorder
	flushes           int
	noWrite, noFlush  bool
	writesBeforeBreak int
}

func (c *client) Write(b []byte) (int, error) {
	if c.noWrite && c.writesBeforeBreak <= 0 {
		return 0, io.ErrClosedPipe
	}
	c.writesBeforeBreak--
	return c.ResponseRecorder.Write(b)
}

func (c *client) FlushError() error {
	if c.flushes++; c.noFlush {
		return io.ErrClosedPipe
	}
	return nil
}

// relayOnce relays one request and returns what became known about it.
func relayOnce(t *testing.T, ai *scripted, request string, w *client) *call.State {
	t.Helper()
	h := &relay.Relay{AI: ai, Body: reqbody.Reader{Max: 1 << 20, Timeout: time.Minute}, KeepAlive: 15 * time.Second}
	state := &call.State{ID: "req_1"}
	r := httptest.NewRequestWithContext(call.With(t.Context(), state), http.MethodPost, "/", strings.NewReader(request))
	h.Endpoint(aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS).ServeHTTP(w, r)
	return state
}

func head(status int32, streamed bool, body string) *aiv1.RelayResponse {
	return &aiv1.RelayResponse{Head: &aiv1.RelayHead{Status: status, Streamed: streamed}, Body: []byte(body)}
}

func body(text string) *aiv1.RelayResponse { return &aiv1.RelayResponse{Body: []byte(text)} }

const (
	internal    = errorsv1.ErrorReason_ERROR_REASON_INTERNAL
	cancelled   = errorsv1.ErrorReason_ERROR_REASON_CANCELLED
	upstream    = errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR
	unspecified = errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
)

func TestHowAnswersEnd(t *testing.T) {
	broke := errors.New("the connection broke")
	const plain, stream = `{}`, `{"stream":true}`
	for name, tc := range map[string]struct {
		request string
		ai      scripted
		status  int
		body    string
		broken  bool
		reason  errorsv1.ErrorReason
	}{
		"plain":                     {plain, scripted{pieces: []*aiv1.RelayResponse{head(200, false, "a"), body("b")}, end: io.EOF}, 200, "ab", false, unspecified},
		"the lowest status":         {plain, scripted{pieces: []*aiv1.RelayResponse{head(200, false, "x")}, end: io.EOF}, 200, "x", false, unspecified},
		"the highest status":        {plain, scripted{pieces: []*aiv1.RelayResponse{head(599, false, "x")}, end: io.EOF}, 599, "x", false, unspecified},
		"a status too low":          {plain, scripted{pieces: []*aiv1.RelayResponse{head(199, false, "x")}, end: io.EOF}, 500, "without a valid head", false, internal},
		"a status too high":         {plain, scripted{pieces: []*aiv1.RelayResponse{head(600, false, "x")}, end: io.EOF}, 500, "without a valid head", false, internal},
		"no head":                   {plain, scripted{pieces: []*aiv1.RelayResponse{body("x")}, end: io.EOF}, 500, "without a valid head", false, internal},
		"empty":                     {plain, scripted{end: io.EOF}, 500, "an empty response", false, internal},
		"a plain answer that broke": {plain, scripted{pieces: []*aiv1.RelayResponse{head(200, false, "a")}, end: broke}, 200, "a", true, internal},
		"stream":                    {stream, scripted{pieces: []*aiv1.RelayResponse{head(200, true, "data: a\n\n"), body("data: b\n\n")}, end: io.EOF}, 200, "data: a\n\ndata: b\n\n", false, unspecified},
		"a stream that broke":       {stream, scripted{pieces: []*aiv1.RelayResponse{head(200, true, "data: a\n\n")}, end: broke}, 200, "data: a\n\ndata: {\"error\":", true, internal},
		"a late stream":             {stream, scripted{pieces: []*aiv1.RelayResponse{head(200, true, "data: a\n\n")}, pause: 20 * time.Second, end: io.EOF}, 200, ": ping\ndata: a\n\n: ping\n", false, unspecified},
		"a late refusal": {
			stream,
			scripted{pieces: []*aiv1.RelayResponse{head(429, false, `{"error":`), body(`{"message":"slow"}}`)}, pause: 20 * time.Second, end: io.EOF},
			200, `data: {"error":{"message":"slow"}}`, true, upstream,
		},
		"a late refusal that broke": {
			stream,
			scripted{pieces: []*aiv1.RelayResponse{head(429, false, `{"error":{"message":"slow"}}`)}, pause: 20 * time.Second, end: broke},
			200, `"type":"server_error"`, true, internal,
		},
		"a late refusal without an error": {
			stream,
			scripted{pieces: []*aiv1.RelayResponse{head(429, false, `{"message":"slow"}`)}, pause: 20 * time.Second, end: io.EOF},
			200, "status 429", true, upstream,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &client{ResponseRecorder: httptest.NewRecorder()}
				state := relayOnce(t, &tc.ai, tc.request, w)
				require.Equal(t, tc.status, w.Code)
				require.Contains(t, w.Body.String(), tc.body)
				require.Equal(t, tc.broken, state.Broken, "the connection is cut when the answer is not whole")
				if tc.reason == unspecified {
					require.Equal(t, tc.body, w.Body.String())
					require.Nil(t, state.Failure)
					return
				}
				require.Equal(t, tc.reason, state.Failure.Reason)
			})
		})
	}
}

func TestClientDisconnectIsNotAnError(t *testing.T) {
	pieces := []*aiv1.RelayResponse{head(200, true, "data: a\n\n"), body("data: b\n\n"), body("data: c\n\n")}
	for name, w := range map[string]*client{
		"the first write fails":  {noWrite: true},
		"the second write fails": {noWrite: true, writesBeforeBreak: 1},
		"the first flush fails":  {noFlush: true},
	} {
		for _, request := range []string{`{}`, `{"stream":true}`} {
			t.Run(name+" "+request, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					own := *w
					own.ResponseRecorder = httptest.NewRecorder()
					state := relayOnce(t, &scripted{pieces: pieces, pause: time.Second, end: io.EOF}, request, &own)
					require.True(t, state.Broken)
					require.Equal(t, cancelled, state.Failure.Reason)
					require.ErrorIs(t, state.Failure, io.ErrClosedPipe)
				})
			})
		}
	}
}

// A stream and sound arrive piece by piece; any other answer is sent when it is whole.
func TestOnlyStreamsAndSoundAreFlushed(t *testing.T) {
	for kind, want := range map[string]int{"text/event-stream": 3, "application/json": 0, "audio/mpeg": 3} {
		synctest.Test(t, func(t *testing.T) {
			w := &client{ResponseRecorder: httptest.NewRecorder()}
			first := head(200, kind == "text/event-stream", "a")
			first.Head.Headers = map[string]string{"content-type": kind}
			ai := &scripted{pieces: []*aiv1.RelayResponse{first, body("b"), body("c")}, pause: time.Second, end: io.EOF}
			relayOnce(t, ai, `{}`, w)
			require.Equal(t, want, w.flushes)
			require.Equal(t, "abc", w.Body.String())
		})
	}
}

func TestWhichHeadersPass(t *testing.T) {
	long := strings.Repeat("x", 1024)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{}`))
	r.Header = http.Header{
		"Accept": {"a", "b"}, "Content-Type": {"application/json; charset=\"~ \""}, "Idempotency-Key": {long}, "Openai-Beta": {"a\tb"},
		"Authorization": {"Bearer x"}, "Cookie": {"a=b"},
	}
	ai := &scripted{end: io.EOF, pieces: []*aiv1.RelayResponse{{Head: &aiv1.RelayHead{Status: 200, Headers: map[string]string{
		"content-type": "text/plain", "x-ratelimit-limit-requests": "7", "x-trivet-cost": "1", "set-cookie": "a=b", "x-request-id": "theirs", "server": "x",
	}}}}}
	h := (&relay.Relay{AI: ai, Body: reqbody.Reader{Max: 1000, Timeout: time.Minute}}).Endpoint(aiv1.Endpoint_ENDPOINT_EMBEDDINGS)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, map[string]string{"content-type": "application/json; charset=\"~ \"", "idempotency-key": long}, ai.asked.GetHeaders())
	require.Equal(t, aiv1.Endpoint_ENDPOINT_EMBEDDINGS, ai.asked.GetEndpoint())
	require.Equal(t, http.Header{"Content-Type": {"text/plain"}, "X-Ratelimit-Limit-Requests": {"7"}, "X-Trivet-Cost": {"1"}}, w.Header())

	r.Header, r.Body = http.Header{"Idempotency-Key": {long + "x"}, "Openai-Beta": {"\x7f"}, "Accept": {"é"}}, io.NopCloser(strings.NewReader(`{}`))
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.Empty(t, ai.asked.GetHeaders())
}
