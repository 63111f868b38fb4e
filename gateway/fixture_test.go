package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
)

// goodToken is the one credential that the fake auth knows; canary is looked for in logs and answers.
const (
	goodToken = "tvt_test_canary8d1f"
	canary    = "canary8d1f"
)

var peerSecret = []byte("0123456789abcdef0123456789abcdef")

// house is an edge before fake services on the platform's real server, with its authorization and validation.
type house struct {
	auth    *fakeAuth
	ai      *fakeAI
	billing *fakeBilling
	gateway *gateway.Gateway
	url     string
	logs    *logs
	client  *http.Client
}

type options struct {
	config func(*gateway.Config)
	// proxied puts something between the edge and the services.
	proxied func(grpc.ClientConnInterface) grpc.ClientConnInterface
	// development is what trivet dev adds.
	development gateway.Development
}

func newHouse(t testing.TB, o options) *house {
	t.Helper()
	h := &house{ai: &fakeAI{}, billing: &fakeBilling{}, logs: &logs{}}
	g := h.build(t, o)
	server := httptest.NewServer(g.Handler())
	h.gateway, h.url, h.client = g, server.URL, server.Client()
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		server.Close()
	})
	return h
}

func (h *house) build(t testing.TB, o options) *gateway.Gateway {
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
	h.auth = &fakeAuth{issuer: issuer}
	meter := noop.NewMeterProvider().Meter("test")
	server, err := grpcserver.New(grpcserver.Config{Logger: slog.New(slog.DiscardHandler), Meter: meter, Passports: verifier, Peers: peers})
	require.NoError(t, err)
	authv1.RegisterAuthServiceServer(server, h.auth)
	aiv1.RegisterAIServiceServer(server, h.ai)
	billingv1.RegisterBillingServiceServer(server, h.billing)
	var conn grpc.ClientConnInterface = connect.InProcess(server.InProcess(), prover)
	if o.proxied != nil {
		conn = o.proxied(conn)
	}
	config := defaults(t)
	if o.config != nil {
		o.config(&config)
	}
	g, err := gateway.New(t.Context(), config, gateway.Deps{
		Auth: conn, AI: conn, Billing: conn, OpenAPI: []byte(`{"swagger":"2.0"}`),
		Logger: slog.New(slog.NewJSONHandler(h.logs, &slog.HandlerOptions{Level: slog.LevelDebug})), Meter: meter, Now: time.Now,
		Development: o.development,
	})
	require.NoError(t, err)
	return g
}

// reply is an answer that was read to its end, or until it broke.
type reply struct {
	status int
	header http.Header
	body   string
	broken error
}

// do sends a request with the good credential and reads the answer; edit changes the request first.
func (h *house) do(t testing.TB, method, path, body string, edit ...func(*http.Request)) reply {
	t.Helper()
	resp := h.open(t, t.Context(), method, path, body, edit...)
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(read), broken: err}
}

// open is do without reading the answer; the caller closes it.
func (h *house) open(t testing.TB, ctx context.Context, method, path, body string, edit ...func(*http.Request)) *http.Response {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, h.url+path, reader)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	for _, e := range edit {
		e(r)
	}
	resp, err := h.client.Do(r)
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

// logs collects what was logged.
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

type fakeAuth struct {
	webhook func(*authv1.ReceiveWebhookRequest) error
	authv1.UnimplementedAuthServiceServer
	issuer *passport.Issuer
	calls  sync.Map // credential -> struct{}
	err    error
}

func (f *fakeAuth) Authenticate(_ context.Context, in *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	f.calls.Store(in.GetCredential(), struct{}{})
	if f.err != nil {
		return nil, f.err
	}
	if in.GetCredential() != goodToken {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "the signature is wrong")
	}
	out := &authv1.AuthenticateResponse{Passports: map[string]string{}, Identity: &authv1.Identity{UserId: "user_1", AccountId: "user_1"}}
	end := time.Now().Add(time.Minute)
	out.ExpireTime = timestamppb.New(end)
	for _, audience := range []string{"auth", "ai", "billing"} {
		token, err := f.issuer.Issue(passport.Claims{UserID: "user_1", AccountID: "user_1", Operator: true}, audience, end)
		if err != nil {
			return nil, err
		}
		out.Passports[audience] = token
	}
	return out, nil
}

func (f *fakeAuth) ReceiveWebhook(_ context.Context, in *authv1.ReceiveWebhookRequest) (*authv1.ReceiveWebhookResponse, error) {
	return &authv1.ReceiveWebhookResponse{}, f.webhook(in)
}

func (f *fakeAuth) GetMe(ctx context.Context, _ *authv1.GetMeRequest) (*authv1.GetMeResponse, error) {
	claims, _ := passport.FromContext(ctx)
	return &authv1.GetMeResponse{Identity: &authv1.Identity{UserId: claims.UserID}}, nil
}

func (f *fakeAuth) GetUser(_ context.Context, in *authv1.GetUserRequest) (*authv1.GetUserResponse, error) {
	return &authv1.GetUserResponse{User: &authv1.User{Id: in.GetUserId()}}, nil
}

func (f *fakeAuth) ExportUser(_ context.Context, in *authv1.ExportUserRequest) (*authv1.ExportUserResponse, error) {
	return &authv1.ExportUserResponse{Json: in.GetUserId()}, nil
}

type fakeAI struct {
	aiv1.UnimplementedAIServiceServer
	relay  func(*aiv1.RelayRequest, grpc.ServerStreamingServer[aiv1.RelayResponse]) error
	stream func(*aiv1.ChatStreamRequest, grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error
	chat   func(context.Context, *aiv1.ChatRequest) (*aiv1.ChatResponse, error)
	state  statusv1.Status // unknown means that GetStatus fails

	mu       sync.Mutex
	calls    int
	metadata metadata.MD
}

func (f *fakeAI) note(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.metadata, _ = metadata.FromIncomingContext(ctx)
}

func (f *fakeAI) seen() (int, metadata.MD) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, f.metadata
}

func (f *fakeAI) Relay(in *aiv1.RelayRequest, s grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
	f.note(s.Context())
	return f.relay(in, s)
}

func (f *fakeAI) ChatStream(in *aiv1.ChatStreamRequest, s grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error {
	f.note(s.Context())
	return f.stream(in, s)
}

func (f *fakeAI) Chat(ctx context.Context, in *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
	f.note(ctx)
	return f.chat(ctx, in)
}

// ListModels answers with one model per page.
func (f *fakeAI) ListModels(ctx context.Context, in *aiv1.ListModelsRequest) (*aiv1.ListModelsResponse, error) {
	f.note(ctx)
	if in.GetPageToken() == "" {
		chat := &aiv1.Model{Id: "gpt-5-mini", Kind: aiv1.ModelKind_MODEL_KIND_CHAT, Provider: "openai"}
		return &aiv1.ListModelsResponse{Models: []*aiv1.Model{chat}, NextPageToken: "second"}, nil
	}
	embedding := &aiv1.Model{Id: "text-embedding-3-small", Kind: aiv1.ModelKind_MODEL_KIND_EMBEDDING, Provider: "openai"}
	return &aiv1.ListModelsResponse{Models: []*aiv1.Model{embedding}}, nil
}

func (f *fakeAuth) GetStatus(context.Context, *authv1.GetStatusRequest) (*authv1.GetStatusResponse, error) {
	return &authv1.GetStatusResponse{Service: condition(health.Operational), Provider: condition(health.Operational)}, nil
}

func condition(state statusv1.Status) *statusv1.Health {
	return &statusv1.Health{Status: state, SinceTime: timestamppb.New(time.Unix(1_800_000_000, 0))}
}

func (f *fakeAI) GetStatus(context.Context, *aiv1.GetStatusRequest) (*aiv1.GetStatusResponse, error) {
	if f.state == health.Unknown {
		return nil, errors.New("ai is away")
	}
	return &aiv1.GetStatusResponse{Service: condition(f.state), Provider: condition(health.Operational)}, nil
}

type fakeBilling struct {
	billingv1.UnimplementedBillingServiceServer
	stripe  statusv1.Status
	err     error
	webhook func(*billingv1.ReceiveWebhookRequest) error
}

func (f *fakeBilling) ReceiveWebhook(_ context.Context, in *billingv1.ReceiveWebhookRequest) (*billingv1.ReceiveWebhookResponse, error) {
	return &billingv1.ReceiveWebhookResponse{}, f.webhook(in)
}

func (f *fakeBilling) GetAccount(context.Context, *billingv1.GetAccountRequest) (*billingv1.GetAccountResponse, error) {
	return &billingv1.GetAccountResponse{Account: &billingv1.Account{Id: "user_1", BalanceNanoUsd: 1_500_000_000}}, f.err
}

func (f *fakeBilling) ListPlans(context.Context, *billingv1.ListPlansRequest) (*billingv1.ListPlansResponse, error) {
	return &billingv1.ListPlansResponse{}, nil
}

func (f *fakeBilling) GetStatus(context.Context, *billingv1.GetStatusRequest) (*billingv1.GetStatusResponse, error) {
	return &billingv1.GetStatusResponse{Service: condition(health.Operational), Provider: condition(f.stripe)}, f.err
}

// answers relays a head and pieces.
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
