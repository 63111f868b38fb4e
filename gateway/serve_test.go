package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a testEdge that runs under Serve.
type served struct {
	*testEdge
	stop context.CancelFunc
	done chan error
}

func serve(t *testing.T, way string, config func(*gateway.Config)) *served {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serveOn(t, listener, way, config)
}

func serveOn(t *testing.T, listener net.Listener, way string, config func(*gateway.Config)) *served {
	t.Helper()
	edge := &testEdge{ai: &fakeAI{}, billing: &fakeBilling{}, logs: &logs{}, client: &http.Client{Transport: &http.Transport{}}}
	g := edge.build(t, options{config: config, way: way})
	edge.gateway, edge.url = g, "http://"+listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	s := &served{testEdge: edge, stop: stop, done: make(chan error, 1)}
	go func() { s.done <- g.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		edge.client.CloseIdleConnections()
	})
	return s
}

// A question about the whole server goes through the edge like any other request: with a request id, and within the limits.
func TestServeAnswersForTheWholeServer(t *testing.T) {
	s := serve(t, "", nil)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: trivet.test\r\nX-Request-Id: whole-server\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Equal(t, "whole-server", resp.Header.Get("X-Request-Id"))
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
}

func TestServeStops(t *testing.T) {
	s := serve(t, "", nil)
	require.Equal(t, 200, s.do(t, http.MethodGet, "/healthz", "").status)
	s.stop()
	require.NoError(t, <-s.done)
	_, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(s.url, "http://"))
	require.Error(t, err)
}

// The server stops in the middle of a stream. The stream still finishes.
func streamsFinishAfterStop(t *testing.T, way string) {
	s := serve(t, way, nil)
	proceed := make(chan struct{})
	s.ai.relay = func(in *aiv1.RelayRequest, out relayStream) error {
		_ = out.Send(&aiv1.RelayResponse{Head: streamHead, Body: []byte("data: 1\n\n")})
		<-proceed
		return out.Send(&aiv1.RelayResponse{Body: []byte("data: [DONE]\n\n")})
	}
	resp := s.open(t, t.Context(), http.MethodPost, chatPath, wantsStream)
	defer func() { _ = resp.Body.Close() }()
	s.stop()
	require.Eventually(t, func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, 10*time.Second, time.Millisecond, "no new connections")
	close(proceed)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "data: 1\n\ndata: [DONE]\n\n", string(body))
	require.NoError(t, <-s.done)
}

// A connection that a client opened in advance is closed while the server waits for its streams: http.Server alone waits five seconds for it,
// longer than the grace period here.
func unusedConnectionsDoNotDelayTheStop(t *testing.T, way string) {
	s := serve(t, way, func(c *gateway.Config) { c.ShutdownTimeout = 4 * time.Second })
	proceed := make(chan struct{})
	s.ai.relay = func(_ *aiv1.RelayRequest, out relayStream) error {
		_ = out.Send(&aiv1.RelayResponse{Head: streamHead, Body: []byte("data: 1\n\n")})
		<-proceed
		return out.Send(&aiv1.RelayResponse{Body: []byte("data: [DONE]\n\n")})
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	resp := s.open(t, t.Context(), http.MethodPost, chatPath, wantsStream) // connections are accepted in order
	defer func() { _ = resp.Body.Close() }()
	s.stop()
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	close(proceed)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "data: 1\n\ndata: [DONE]\n\n", string(body), "the grace period has not ended")
	require.NoError(t, <-s.done)
}

// A stream that outlives the grace period gets an error event, and its connection is cut.
func streamsThatOutliveTheGracePeriod(t *testing.T, way string) {
	s := serve(t, way, func(c *gateway.Config) { c.ShutdownTimeout = 0 })
	s.ai.relay = func(_ *aiv1.RelayRequest, out relayStream) error {
		_ = out.Send(&aiv1.RelayResponse{Head: streamHead, Body: []byte("data: 1\n\n")})
		<-out.Context().Done()
		return out.Context().Err()
	}
	resp := s.open(t, t.Context(), http.MethodPost, chatPath, wantsStream)
	defer func() { _ = resp.Body.Close() }()
	s.stop()
	body, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Contains(t, string(body), `data: {"error":{"message":"The server is restarting.`)
	require.NoError(t, <-s.done)
}

// A client reads nothing of a long response. The write deadline ends the request.
func slowReaderIsCut(t *testing.T, way string) {
	s := serve(t, way, func(c *gateway.Config) { c.WriteTimeout = 50 * time.Millisecond })
	ended := make(chan struct{})
	s.ai.relay = func(_ *aiv1.RelayRequest, out relayStream) error {
		defer close(ended)
		err := out.Send(&aiv1.RelayResponse{Head: streamHead})
		for piece := make([]byte, 64<<10); err == nil; {
			err = out.Send(&aiv1.RelayResponse{Body: piece})
		}
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", chatPath, goodToken, len(wantsStream), wantsStream)
	require.NoError(t, err)
	<-ended
}

func TestSettings(t *testing.T) {
	require.NoError(t, func() error { c := defaults(t); return c.Validate(nil) }())
	for name, value := range map[string]string{
		"CORS_ALLOWED_ORIGINS": "*", "TRIVET_TRUSTED_PROXIES": "all", "TRIVET_MAX_BODY_BYTES": "1GiB",
		"TRIVET_BODY_TIMEOUT": "0s", "TRIVET_IP_REQUESTS_PER_MINUTE": "-1",
	} {
		var c gateway.Config
		err := settings.Load(func(n string) string {
			if n == name {
				return value
			}
			return ""
		}, &c)
		require.ErrorContains(t, err, name)
	}
	for _, origin := range []string{"*", "https://*.example.com", "https://a.example/", "a.example", "null", "https://a.example/x", "ftp://a.example", "https://u@a.example"} {
		c := defaults(t)
		c.AllowedOrigins = []string{origin}
		require.ErrorContains(t, c.Validate(nil), "CORS_ALLOWED_ORIGINS", origin)
	}
	c := defaults(t)
	c.AllowedOrigins = []string{"https://app.example.com", "http://localhost:5173"}
	require.NoError(t, c.Validate(nil))
}

func TestNewRefusesInvalidConfiguration(t *testing.T) {
	_, err := gateway.New(t.Context(), defaults(t), gateway.Deps{})
	require.ErrorContains(t, err, "Deps is incomplete")
	c := defaults(t)
	c.AllowedOrigins = []string{"*"}
	_, err = gateway.New(t.Context(), c, gateway.Deps{Meter: noop.NewMeterProvider().Meter("")})
	require.ErrorContains(t, err, "wildcard")
}

func TestRunEndsWithItsContext(t *testing.T) {
	edge := newEdge(t, options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- edge.gateway.Run(ctx) }()
	cancel()
	require.NoError(t, <-done)
}
