package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	upstream "github.com/trivet-dev/trivet/platform/provider"
)

type relayStream = grpc.ServerStreamingServer[aiv1.RelayResponse]

const (
	chatPath    = "/v1/chat/completions"
	wantsStream = `{"model":"gpt-5-mini","stream":true,"messages":[{"role":"user","content":"x"}]}`
)

// ways are how the edge reaches ai: by a function call, as in the all-in-one, and over the network.
var ways = []string{"plain", "TCP"}

// relayCases hold for each way.
var relayCases = map[string]func(t *testing.T, way string){
	"plain answer":                             plainAnswer,
	"streamed answer":                          streamedAnswer,
	"pieces are not held back":                 piecesAreNotHeldBack,
	"provider error is relayed":                providerErrorIsRelayed,
	"failure before the head has its status":   failureBeforeTheHeadHasItsStatus,
	"broken stream":                            brokenStream,
	"broken body":                              brokenBody,
	"invalid heads":                            invalidHeads,
	"late head":                                lateHead,
	"client disconnects":                       clientDisconnects,
	"streams finish after stop":                streamsFinishAfterStop,
	"unused connections do not delay the stop": unusedConnectionsDoNotDelayTheStop,
	"streams that outlive the grace period":    streamsThatOutliveTheGracePeriod,
	"slow reader is cut":                       slowReaderIsCut,
	"ai panics":                                aiPanics,
}

func TestRelay(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			for name, test := range relayCases {
				t.Run(name, func(t *testing.T) { test(t, way) })
			}
		})
	}
}

func plainAnswer(t *testing.T, way string) {
	edge := newEdge(t, options{way: way})
	var got *aiv1.RelayRequest
	edge.ai.relay = func(in *aiv1.RelayRequest, s relayStream) error {
		got = in
		return answers(&aiv1.RelayHead{Status: 200, Headers: map[string]string{
			"content-type": "application/json", "x-ratelimit-limit-requests": "5", "openai-processing-ms": "12",
		}}, `{"id":`, `1}`)(in, s)
	}
	const body = `{"model":"gpt-5-mini", "messages":[], "temperature":0, "unknown":{"kept":true}}`
	resp := edge.do(t, http.MethodPost, chatPath, body)
	require.Equal(t, 200, resp.status)
	require.NoError(t, resp.broken)
	require.Equal(t, `{"id":1}`, resp.body, "response bytes are unchanged")
	require.Equal(t, "application/json", resp.header.Get("Content-Type"))
	require.Equal(t, "5", resp.header.Get("X-Ratelimit-Limit-Requests"))
	require.Equal(t, "12", resp.header.Get("Openai-Processing-Ms"))
	require.Equal(t, body, string(got.GetBody()), "request bytes are unchanged") //nolint:testifylint // byte for byte, not as JSON
	require.Equal(t, aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, got.GetEndpoint())

	edge.do(t, http.MethodPost, "/v1/embeddings", body)
	require.Equal(t, aiv1.Endpoint_ENDPOINT_EMBEDDINGS, got.GetEndpoint())
}

// TestForms: forms with files are bytes and not JSON, and may be larger than other bodies.
func TestForms(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) { c.MaxBodyBytes, c.MaxUploadBytes = 1<<20, 5<<20 }})
	var got []byte
	edge.ai.relay = func(in *aiv1.RelayRequest, s relayStream) error {
		got = in.GetBody()
		return answers(&aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json"}}, `{}`)(in, s)
	}
	form := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(form) // it never fails
	for _, path := range []string{"/v1/images/edits", "/v1/audio/transcriptions", "/v1/audio/translations"} {
		resp := edge.do(t, http.MethodPost, path, string(form), header("Content-Type", "multipart/form-data; boundary=x"))
		require.Equal(t, 200, resp.status, "%s: %s", path, resp.body)
		require.True(t, bytes.Equal(form, got), path)
		require.Equal(t, http.StatusRequestEntityTooLarge, edge.send(t, http.MethodPost, path, bytes.NewReader(make([]byte, 5<<20+1))).status)
		require.Equal(t, http.StatusBadRequest, edge.do(t, http.MethodPost, path, "").status)
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, edge.send(t, http.MethodPost, "/v1/audio/speech", bytes.NewReader(form)).status)

	begun, released := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	edge.ai.relay = func(in *aiv1.RelayRequest, s relayStream) error {
		begun <- struct{}{}
		<-released
		return answers(&aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json"}}, `{}`)(in, s)
	}
	const uploads, share = 32, 8
	of := func(user int) func(*http.Request) {
		return header("Authorization", fmt.Sprintf("Bearer %suser_%d", goodToken, user))
	}
	var group sync.WaitGroup
	var statuses [uploads]int
	for i := range uploads {
		group.Go(func() { statuses[i] = edge.do(t, http.MethodPost, "/v1/images/edits", "form", of(i/share)).status })
	}
	for range uploads {
		<-begun
	}
	refused := edge.do(t, http.MethodPost, "/v1/audio/transcriptions", "form", of(0))
	require.Equal(t, http.StatusTooManyRequests, refused.status, "the account has its share")
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	refused = edge.do(t, http.MethodPost, "/v1/audio/transcriptions", "form", of(uploads/share))
	require.Equal(t, http.StatusServiceUnavailable, refused.status, "all accounts together have too many")
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	release()
	group.Wait()
	for _, status := range statuses {
		require.Equal(t, 200, status)
	}

	deep := strings.Repeat("[", 200)
	require.Equal(t, http.StatusBadRequest, edge.do(t, http.MethodPost, "/v1/images/generations", deep, header("Content-Type", "multipart/form-data; boundary=x")).status)
}

func streamedAnswer(t *testing.T, way string) {
	edge := newEdge(t, options{way: way})
	edge.ai.relay = answers(streamHead, "data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n")
	for name, body := range map[string]string{
		"asked for":                wantsStream,
		"asked for with an escape": `{"stre\u0061m":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			resp := edge.do(t, http.MethodPost, chatPath, body)
			require.Equal(t, 200, resp.status)
			require.NoError(t, resp.broken)
			require.Equal(t, "text/event-stream", resp.header.Get("Content-Type"))
			require.Equal(t, "no", resp.header.Get("X-Accel-Buffering"))
			require.Equal(t, "no-store", resp.header.Get("Cache-Control"))
			require.Equal(t, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n", resp.body)
		})
	}
}

// The client reads each event before the next one is sent.
func piecesAreNotHeldBack(t *testing.T, way string) {
	edge := newEdge(t, options{way: way})
	next := make(chan struct{})
	edge.ai.relay = func(_ *aiv1.RelayRequest, s relayStream) error {
		_ = s.Send(&aiv1.RelayResponse{Head: streamHead})
		for _, event := range []string{"data: 1\n\n", "data: 2\n\n"} {
			<-next
			_ = s.Send(&aiv1.RelayResponse{Body: []byte(event)})
		}
		<-next
		return nil
	}
	resp := edge.open(t, t.Context(), http.MethodPost, chatPath, wantsStream) // returns with the head alone
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	for _, want := range []string{"data: 1\n", "data: 2\n"} {
		next <- struct{}{}
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, want, line)
		_, err = lines.ReadString('\n')
		require.NoError(t, err)
	}
	close(next)
	_, err := lines.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
}

// A provider's error keeps its status and body.
func providerErrorIsRelayed(t *testing.T, way string) {
	edge := newEdge(t, options{way: way})
	edge.ai.relay = answers(&aiv1.RelayHead{Status: 429, Headers: map[string]string{
		"content-type": "application/json", "retry-after": "7", "x-should-retry": "true",
	}}, `{"error":{"message":"slow"}}`)
	for _, body := range []string{wantsStream, `{}`} {
		resp := edge.do(t, http.MethodPost, chatPath, body)
		require.Equal(t, 429, resp.status)
		require.JSONEq(t, `{"error":{"message":"slow"}}`, resp.body)
		require.Equal(t, "7", resp.header.Get("Retry-After"))
		require.Equal(t, "true", resp.header.Get("X-Should-Retry"))
		require.NoError(t, resp.broken)
	}
}

func failureBeforeTheHeadHasItsStatus(t *testing.T, way string) {
	edge := newEdge(t, options{way: way})
	edge.ai.relay = func(*aiv1.RelayRequest, relayStream) error {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "Top up.").Field("model", "costs too much")
	}
	for _, body := range []string{wantsStream, `{}`} {
		resp := edge.do(t, http.MethodPost, chatPath, body)
		require.Equal(t, http.StatusPaymentRequired, resp.status)
		require.JSONEq(t, `{"error":{"message":"Top up.","type":"insufficient_quota","param":"model","code":"insufficient_quota"}}`, resp.body)
	}
}

func brokenStream(t *testing.T, way string) {
	const event = `data: {"error":{"message":"It broke.","type":"server_error","param":null,"code":"upstream_error"}}` + "\n\n"
	for name, tc := range map[string]struct {
		pieces []string
		want   string
	}{
		"after the head":  {nil, event},
		"after an event":  {[]string{"data: 1\n\n"}, "data: 1\n\n" + event},
		"within an event": {[]string{"data: 1\n\n", "data: {\"ha"}, "data: 1\n\ndata: {\"ha\n\n" + event},
	} {
		t.Run(name, func(t *testing.T) {
			edge := newEdge(t, options{way: way})
			edge.ai.relay = func(in *aiv1.RelayRequest, s relayStream) error {
				_ = answers(streamHead, tc.pieces...)(in, s)
				return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "It broke.")
			}
			resp := edge.do(t, http.MethodPost, chatPath, wantsStream)
			require.Equal(t, 200, resp.status)
			require.Equal(t, tc.want, resp.body)
			require.ErrorIs(t, resp.broken, io.ErrUnexpectedEOF, "the connection is cut, not ended")
			require.NotContains(t, resp.body, "[DONE]")
			require.Contains(t, edge.logs.String(), `"broken":true`)
		})
	}
}

// A broken body cannot carry an error, but it must not look complete.
func brokenBody(t *testing.T, way string) {
	edge := newEdge(t, options{way: way})
	edge.ai.relay = func(in *aiv1.RelayRequest, s relayStream) error {
		_ = answers(&aiv1.RelayHead{Status: 200}, string(make([]byte, 100_000)))(in, s)
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "It broke.")
	}
	resp := edge.do(t, http.MethodPost, chatPath, `{}`)
	require.ErrorIs(t, resp.broken, io.ErrUnexpectedEOF)
}

func invalidHeads(t *testing.T, way string) {
	for name, relay := range map[string]func(*aiv1.RelayRequest, relayStream) error{
		"missing":    func(_ *aiv1.RelayRequest, s relayStream) error { return s.Send(&aiv1.RelayResponse{Body: []byte("x")}) },
		"empty":      func(*aiv1.RelayRequest, relayStream) error { return nil },
		"status 0":   answers(&aiv1.RelayHead{}),
		"status 101": answers(&aiv1.RelayHead{Status: 101}),
		"status 999": answers(&aiv1.RelayHead{Status: 999}),
	} {
		t.Run(name, func(t *testing.T) {
			edge := newEdge(t, options{way: way})
			edge.ai.relay = relay
			for _, body := range []string{wantsStream, `{}`} {
				resp := edge.do(t, http.MethodPost, chatPath, body)
				require.Equal(t, 500, resp.status)
				require.Contains(t, resp.body, "internal_error")
			}
		})
	}
}

// eager makes keep-alive comments come immediately.
func eager(c *gateway.Config) { c.KeepAlive = time.Millisecond }

// afterAComment sends the response only after the client has seen a comment.
func afterAComment(t *testing.T, way string, then func(*aiv1.RelayRequest, relayStream) error) reply {
	t.Helper()
	edge := newEdge(t, options{config: eager, way: way})
	seen := make(chan struct{})
	edge.ai.relay = func(in *aiv1.RelayRequest, s relayStream) error {
		<-seen
		return then(in, s)
	}
	resp := edge.open(t, t.Context(), http.MethodPost, chatPath, wantsStream)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, ": ping\n", first)
	close(seen)
	rest, err := io.ReadAll(lines)
	return reply{status: resp.StatusCode, header: resp.Header, body: withoutPings(string(rest)), broken: err}
}

func lateHead(t *testing.T, way string) {
	t.Run("a stream", func(t *testing.T) {
		resp := afterAComment(t, way, answers(streamHead, "data: 1\n\n", "data: [DONE]\n\n"))
		require.Equal(t, 200, resp.status)
		require.Equal(t, "text/event-stream", resp.header.Get("Content-Type"))
		require.Equal(t, "data: 1\n\ndata: [DONE]\n\n", resp.body)
		require.NoError(t, resp.broken)
	})
	t.Run("a provider error", func(t *testing.T) {
		resp := afterAComment(t, way, answers(&aiv1.RelayHead{Status: 429}, "{\"error\":\n", "{\"message\":\"slow\"}}"))
		require.Equal(t, "data: {\"error\":{\"message\":\"slow\"}}\n\n", resp.body)
		require.ErrorIs(t, resp.broken, io.ErrUnexpectedEOF)
	})
	t.Run("a provider error that SDKs cannot parse", func(t *testing.T) {
		resp := afterAComment(t, way, answers(&aiv1.RelayHead{Status: 502}, "<html>"))
		require.Contains(t, resp.body, `data: {"error":{"message":"The provider answered with status 502`)
		require.ErrorIs(t, resp.broken, io.ErrUnexpectedEOF)
	})
	t.Run("a failure", func(t *testing.T) {
		resp := afterAComment(t, way, func(*aiv1.RelayRequest, relayStream) error {
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, "Too slow.")
		})
		require.Contains(t, resp.body, `data: {"error":{"message":"Too slow."`)
		require.ErrorIs(t, resp.broken, io.ErrUnexpectedEOF)
	})
}

// A client that disconnects cancels the RPC, before and after the head.
func clientDisconnects(t *testing.T, way string) {
	for name, begin := range map[string]bool{"before the head": false, "in the middle": true} {
		t.Run(name, func(t *testing.T) {
			edge := newEdge(t, options{way: way})
			started, ended := make(chan struct{}), make(chan error, 1)
			edge.ai.relay = func(_ *aiv1.RelayRequest, s relayStream) error {
				if begin {
					_ = s.Send(&aiv1.RelayResponse{Head: streamHead, Body: []byte("data: 1\n\n")})
				}
				close(started)
				<-s.Context().Done()
				ended <- s.Context().Err()
				return s.Context().Err()
			}
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				<-started
				leave()
			}()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, edge.url+chatPath, nil)
			require.NoError(t, err)
			r.Body, r.ContentLength = io.NopCloser(newReader(wantsStream)), int64(len(wantsStream))
			header("Authorization", "Bearer "+goodToken)(r)
			if resp, err := edge.client.Do(r); err == nil {
				_, _ = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			require.ErrorIs(t, <-ended, context.Canceled)
			require.Eventually(t, func() bool { return contains(edge.logs.String(), `"reason":"CANCELLED"`) }, 5*time.Second, time.Millisecond)
			require.Contains(t, edge.logs.String(), `"status":499`)
		})
	}
}

func aiPanics(t *testing.T, way string) {
	edge := newEdge(t, options{way: way})
	edge.ai.relay = func(*aiv1.RelayRequest, relayStream) error { panic("boom") }
	for _, body := range []string{`{}`, wantsStream} {
		resp := edge.do(t, http.MethodPost, chatPath, body)
		require.Equal(t, 500, resp.status)
		require.Contains(t, resp.body, "internal_error")
		require.NotContains(t, resp.body, "boom")
	}
	edge.ai.relay = func(_ *aiv1.RelayRequest, s relayStream) error {
		_ = s.Send(&aiv1.RelayResponse{Head: streamHead, Body: []byte("data: 1\n\n")})
		panic("boom")
	}
	resp := edge.do(t, http.MethodPost, chatPath, wantsStream)
	require.Contains(t, resp.body, "data: 1\n\ndata: {\"error\":")
	require.NotContains(t, resp.body, "boom")
	require.ErrorIs(t, resp.broken, io.ErrUnexpectedEOF)
}

func TestPanicIsAnsweredWithAnError(t *testing.T) {
	edge := newEdge(t, options{proxied: func(c grpc.ClientConnInterface) grpc.ClientConnInterface { return panicky{c} }})
	resp := edge.do(t, http.MethodPost, chatPath, `{}`)
	require.Equal(t, 500, resp.status)
	require.Contains(t, resp.body, "internal_error")
	require.NotContains(t, resp.body, "boom")
	require.Contains(t, edge.logs.String(), "a value of type *errors.errorString")
	require.NotContains(t, edge.logs.String(), "boom", "the value of a panic may hold content")
}

type panicky struct{ grpc.ClientConnInterface }

func (panicky) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	panic(errors.New("boom"))
}

// When ai is in the same process, the request's line tells of the last call to the provider, and that call has none.
func TestLogLineTellsOfTheProvider(t *testing.T) {
	edge := newEdge(t, options{way: "plain"})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	transport, err := upstream.New(upstream.Config{Integration: "openai"}, slog.New(slog.NewJSONHandler(edge.logs, nil)), noop.NewMeterProvider().Meter(""))
	require.NoError(t, err)
	defer transport.CloseIdleConnections()
	edge.ai.relay = func(_ *aiv1.RelayRequest, s relayStream) error {
		request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, server.URL, http.NoBody)
		require.NoError(t, err)
		response, err := transport.Client().Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		upstream.AttemptOf(s.Context()).Used(27)
		return s.Send(&aiv1.RelayResponse{Head: &aiv1.RelayHead{Status: 200}, Body: []byte(`{}`)})
	}
	edge.do(t, http.MethodPost, chatPath, `{}`, header("X-Request-Id", "r-1"))
	require.Eventually(t, func() bool { return contains(edge.logs.String(), "\n") }, 5*time.Second, time.Millisecond)
	lines := strings.Split(strings.TrimSpace(edge.logs.String()), "\n")
	require.Len(t, lines, 1)
	var line struct {
		Msg      string
		Provider map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &line))
	require.Equal(t, "request", line.Msg)
	require.Positive(t, line.Provider["latency"])
	delete(line.Provider, "latency")
	delete(line.Provider, "first_byte")
	require.Equal(t, map[string]any{
		"integration": "openai", "method": "GET", "status": 200.0, "success": true, "outcome": "success", "request_id": "r-1", "tokens_used": 27.0,
	}, line.Provider)
}
