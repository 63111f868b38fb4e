package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"net"
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
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
)

// goodToken is the only credential that fakeAuth accepts. Tests search logs and responses for canary.
const (
	goodToken = "tvt_test_canary8d1f"
	canary    = "canary8d1f"
)

var peerSecret = []byte("0123456789abcdef0123456789abcdef")

// testEdge is an edge in front of fake services. The services run on the platform's real gRPC server, with its
// authorization and validation.
type testEdge struct {
	auth    *fakeAuth
	ai      *fakeAI
	billing *fakeBilling
	gateway *gateway.Gateway
	url     string
	logs    *logs
	client  *http.Client
}

type options struct {
	config     func(*gateway.Config)
	production bool
	// proxied wraps the connection between the edge and the services.
	proxied func(grpc.ClientConnInterface) grpc.ClientConnInterface
	// way is how the edge reaches the services: "" over an in-process channel, "TCP", or "plain" for Relay as a function.
	way string
	// prover proves that the edge is one of the services; nil means one with the services' secret and clock.
	prover *peer.Prover
	// development holds what trivet dev adds.
	development gateway.Development
}

func newEdge(t testing.TB, o options) *testEdge {
	t.Helper()
	e := &testEdge{ai: &fakeAI{}, billing: &fakeBilling{}, logs: &logs{}}
	g := e.build(t, o)
	server := httptest.NewServer(g.Handler())
	e.gateway, e.url, e.client = g, server.URL, server.Client()
	t.Cleanup(func() {
		e.client.CloseIdleConnections()
		server.Close()
	})
	return e
}

func (e *testEdge) build(t testing.TB, o options) *gateway.Gateway {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	issuer, err := passport.NewIssuer(key, time.Now)
	require.NoError(t, err)
	verifier, err := passport.NewVerifier([]ed25519.PublicKey{issuer.PublicKey()}, time.Now)
	require.NoError(t, err)
	peers, err := peer.NewVerifier(peerSecret, time.Now)
	require.NoError(t, err)
	prover, err := peer.NewProver("gateway", peerSecret, time.Now)
	require.NoError(t, err)
	if o.prover != nil {
		prover = o.prover
	}
	e.auth = &fakeAuth{issuer: issuer}
	meter := noop.NewMeterProvider().Meter("test")
	server, err := grpcserver.New(grpcserver.Config{Logger: slog.New(slog.DiscardHandler), Meter: meter, Passports: verifier, Peers: peers})
	require.NoError(t, err)
	authv1.RegisterAuthServiceServer(server, e.auth)
	aiv1.RegisterAIServiceServer(server, e.ai)
	billingv1.RegisterBillingServiceServer(server, e.billing)
	var conn grpc.ClientConnInterface = connect.InProcess(server.InProcess(), prover)
	if o.way == "TCP" {
		conn = overTCP(t, server, prover)
	}
	if o.proxied != nil {
		conn = o.proxied(conn)
	}
	config := defaults(t)
	if o.config != nil {
		o.config(&config)
	}
	var relay func(context.Context, string, *aiv1.RelayRequest, func(*aiv1.RelayResponse) error) error
	if o.way == "plain" {
		relay, err = grpcserver.User(server, aiv1.AIService_Relay_FullMethodName, e.ai.Relay)
		require.NoError(t, err)
	}
	g, err := gateway.New(t.Context(), config, gateway.Deps{
		Relay: relay,
		Auth:  conn, AI: conn, Billing: conn, OpenAPI: []byte(`{"swagger":"2.0"}`),
		Logger: slog.New(slog.NewJSONHandler(e.logs, &slog.HandlerOptions{Level: slog.LevelDebug})), Meter: meter, Now: time.Now,
		Production: o.production, Development: o.development,
	})
	require.NoError(t, err)
	return g
}

// overTCP serves the services on the network and connects to them.
func overTCP(t testing.TB, server *grpcserver.Server, prover *peer.Prover) *connect.Conn {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, time.Second) }()
	conn, err := connect.Dial(listener.Addr().String(), prover, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		stop()
		require.NoError(t, <-served)
	})
	return conn
}

// reply is a response that was read to its end, or until it broke.
type reply struct {
	status int
	header http.Header
	body   string
	broken error
}

// do sends a request with goodToken and reads the response. Each edit changes the request first.
func (e *testEdge) do(t testing.TB, method, path, body string, edit ...func(*http.Request)) reply {
	t.Helper()
	resp := e.open(t, t.Context(), method, path, body, edit...)
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(read), broken: err}
}

// open is do without reading the response. The caller closes it.
func (e *testEdge) open(t testing.TB, ctx context.Context, method, path, body string, edit ...func(*http.Request)) *http.Response {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, e.url+path, reader)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	for _, e := range edit {
		e(r)
	}
	resp, err := e.client.Do(r)
	require.NoError(t, err)
	return resp
}

// header sets one header of a request, or removes it when value is "".
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, value)
		}
	}
}

// logs collects log output.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// answers returns a relay that sends a head and pieces.
func answers(head *aiv1.RelayHead, pieces ...string) func(*aiv1.RelayRequest, grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
	return func(_ *aiv1.RelayRequest, s grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
		if err := s.Send(&aiv1.RelayResponse{Head: head}); err != nil {
			return err
		}
		for _, p := range pieces {
			if err := s.Send(&aiv1.RelayResponse{Body: []byte(p)}); err != nil {
				return err
			}
		}
		return nil
	}
}

var streamHead = &aiv1.RelayHead{Status: 200, Streamed: true, Headers: map[string]string{"content-type": "text/event-stream"}}

func defaults(t testing.TB) gateway.Config {
	t.Helper()
	var c gateway.Config
	require.NoError(t, settings.Load(func(string) string { return "" }, &c))
	return c
}

func newReader(s string) io.Reader { return strings.NewReader(s) }

func contains(s, part string) bool { return strings.Contains(s, part) }

func withoutPings(s string) string { return strings.ReplaceAll(s, ": ping\n", "") }
