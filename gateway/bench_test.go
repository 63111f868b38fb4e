package gateway_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
)

// direct is a connection that answers immediately, so that benchmarks measure only the edge's own work.
type direct struct {
	head   *aiv1.RelayResponse
	piece  *aiv1.RelayResponse
	delta  *aiv1.ChatStreamResponse
	pieces int
	relay  func(context.Context, string, *aiv1.RelayRequest, func(*aiv1.RelayResponse) error) error
}

func (d *direct) Invoke(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
	if out, ok := reply.(*authv1.AuthenticateResponse); ok {
		out.Passports = map[string]string{"ai": "p", "auth": "p"}
		out.ExpireTime = timestamppb.New(time.Now().Add(time.Hour))
	}
	return nil
}

func (d *direct) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &directStream{direct: d, ctx: ctx}, nil
}

type directStream struct {
	grpc.ClientStream
	*direct
	ctx  context.Context
	sent int
}

func (*directStream) SendMsg(any) error { return nil }
func (*directStream) CloseSend() error  { return nil }

func (s *directStream) RecvMsg(m any) error {
	s.sent++
	if s.sent > s.pieces+1 {
		return io.EOF
	}
	switch out := m.(type) {
	case *aiv1.RelayResponse:
		if s.sent == 1 {
			out.Head = s.head.GetHead()
			return nil
		}
		out.Body = s.piece.GetBody()
	case *aiv1.ChatStreamResponse:
		proto.Merge(out, s.delta)
		if s.sent > s.pieces {
			out.FinishReason = "stop"
		}
	}
	return nil
}

// gateway makes an edge with logging enabled.
func (d *direct) gateway(b testing.TB) *gateway.Gateway {
	b.Helper()
	g, err := gateway.New(b.Context(), defaults(b), gateway.Deps{
		Auth: d, AI: d, Billing: d, Relay: d.relay, OpenAPI: []byte(`{}`), Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)), //nolint:sloglint // the benchmark includes the cost of logging
		Meter: noop.NewMeterProvider().Meter(""), Now: time.Now,
	})
	require.NoError(b, err)
	return g
}

// plain is Relay as a function.
func (d *direct) plain(_ context.Context, _ string, _ *aiv1.RelayRequest, send func(*aiv1.RelayResponse) error) error {
	if err := send(d.head); err != nil {
		return err
	}
	for range d.pieces {
		if err := send(d.piece); err != nil {
			return err
		}
	}
	return nil
}

// benchmark measures requests over HTTP on loopback.
func benchmark(b *testing.B, d *direct, path, body string) {
	b.Helper()
	server := httptest.NewServer(d.gateway(b).Handler())
	defer server.Close()
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL+path, strings.NewReader(body))
		require.NoError(b, err)
		r.Header["Authorization"] = []string{"Bearer " + goodToken}
		resp, err := server.Client().Do(r)
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		require.Equal(b, 200, resp.StatusCode)
		require.NoError(b, resp.Body.Close())
	}
}

var event = []byte(`data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}` + "\n\n")

func BenchmarkRelayPlain(b *testing.B) {
	benchmark(b, &direct{
		head:  &aiv1.RelayResponse{Head: &aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json"}}},
		piece: &aiv1.RelayResponse{Body: event}, pieces: 1,
	}, chatPath, `{"model":"gpt-5-mini","messages":[]}`)
}

func BenchmarkRelayStream100(b *testing.B) {
	benchmark(b, &direct{head: &aiv1.RelayResponse{Head: streamHead}, piece: &aiv1.RelayResponse{Body: event}, pieces: 100}, chatPath, wantsStream)
}

func BenchmarkChatStream100(b *testing.B) {
	benchmark(b, &direct{delta: &aiv1.ChatStreamResponse{Id: "chatcmpl-123", Delta: "Hello"}, pieces: 100}, ssePath, typedChat)
}

// BenchmarkBare100 is the lower bound: a handler that writes 100 events with a flush each.
func BenchmarkBare100(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		control := http.NewResponseController(w)
		for range 100 {
			_, _ = w.Write(event)
			_ = control.Flush()
		}
	}))
	defer server.Close()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := server.Client().Post(server.URL, "application/json", strings.NewReader(wantsStream))
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		require.NoError(b, resp.Body.Close())
	}
}

// nullWriter discards everything.
type nullWriter struct{ h http.Header }

func (n *nullWriter) Header() http.Header              { return n.h }
func (n *nullWriter) Write(b []byte) (int, error)      { return len(b), nil }
func (n *nullWriter) WriteHeader(int)                  {}
func (n *nullWriter) Flush()                           {}
func (n *nullWriter) SetWriteDeadline(time.Time) error { return nil }
func (n *nullWriter) SetReadDeadline(time.Time) error  { return nil }

// handle measures the handler alone, without HTTP's own work.
func handle(b *testing.B, d *direct, path, body string) {
	b.Helper()
	h := d.gateway(b).Handler()
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header["Authorization"] = []string{"Bearer " + goodToken}
	r.RemoteAddr = "127.0.0.1:1"
	rd := strings.NewReader(body)
	r.ContentLength = int64(len(body))
	b.ReportAllocs()
	for b.Loop() {
		rd.Reset(body)
		r.Body = io.NopCloser(rd)
		h.ServeHTTP(&nullWriter{h: http.Header{}}, r)
	}
}

func BenchmarkHandlerPlain(b *testing.B) {
	handle(b, &direct{
		head:  &aiv1.RelayResponse{Head: &aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json"}}},
		piece: &aiv1.RelayResponse{Body: event}, pieces: 1,
	}, chatPath, `{"model":"gpt-5-mini","messages":[]}`)
}

func BenchmarkHandlerStream100(b *testing.B) {
	handle(b, &direct{head: &aiv1.RelayResponse{Head: streamHead}, piece: &aiv1.RelayResponse{Body: event}, pieces: 100}, chatPath, wantsStream)
}

func BenchmarkHandlerChat100(b *testing.B) {
	handle(b, &direct{delta: &aiv1.ChatStreamResponse{Id: "chatcmpl-123", Delta: "Hello"}, pieces: 100}, ssePath, typedChat)
}
