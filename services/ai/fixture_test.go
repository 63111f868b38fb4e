package ai_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inprocess"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/openai"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
)

const key = "sk-canary-of-the-operator"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fixture is the service with the sandbox behind it and a billing that records.
type fixture struct {
	aiv1.AIServiceClient
	t       testing.TB
	service *ai.Service
	billing *billingtest.Fake
	openai  *openai.Fake
	claims  passport.Claims
	logged  *syncBuffer
	place   database.Config      // of the store; an empty URL means no store
	running chan context.Context // of the newest stream, as the service sees it
}

// option changes a fixture before it is built.
type option func(*plan)

type plan struct {
	balance int64
	sandbox openai.Config
	handler http.Handler
	config  ai.Config
	before  func(ctx context.Context, rpc string) error
	now     func() time.Time
	models  string // a price list; "" for the default one
	store   bool
	meter   metric.Meter
}

func withBalance(nanos int64) option            { return func(p *plan) { p.balance = nanos } }
func withModels(list string) option             { return func(p *plan) { p.models = list } }
func withMeter(m metric.Meter) option           { return func(p *plan) { p.meter = m } }
func withStore() option                         { return func(p *plan) { p.store = true } }
func withReply(tokens int) option               { return func(p *plan) { p.sandbox.ReplyTokens = tokens } }
func withUpstream(h http.HandlerFunc) option    { return func(p *plan) { p.handler = h } }
func withConfig(change func(*ai.Config)) option { return func(p *plan) { change(&p.config) } }
func withBefore(f func(context.Context, string) error) option {
	return func(p *plan) { p.before = f }
}

func newFixture(t testing.TB, options ...option) *fixture {
	t.Helper()
	p := plan{balance: billingtest.Unlimited, now: time.Now, meter: noop.NewMeterProvider().Meter("ai"), config: ai.Config{
		Keys: settings.NewSecrets(key), Organization: "org-canary0000000000", HeaderTimeout: time.Minute, IdleTimeout: time.Minute, MaxConcurrent: 100,
		AbandonedReads: 100, AbandonedReadTimeout: time.Minute, MaxBackground: 100,
	}}
	for _, o := range options {
		o(&p)
	}
	list, err := models.Default()
	if p.models != "" {
		list, err = models.Parse([]byte(p.models))
	}
	require.NoError(t, err)
	h := &fixture{t: t, billing: billingtest.New(list, p.balance), openai: openai.New(p.sandbox), logged: &syncBuffer{}, running: make(chan context.Context, 1), claims: passport.Claims{UserID: "user_1", AccountID: "acct_1"}}
	h.billing.Before = p.before
	if p.handler == nil {
		p.handler = h.openai
	}
	server := httptest.NewServer(p.handler)
	p.config.BaseURL, err = url.Parse(server.URL + "/v1")
	require.NoError(t, err)
	var at database.Config
	if p.store {
		at = database.Config{URL: settings.NewSecret("sqlite://" + filepath.Join(t.TempDir(), "ai.db")), Schema: "ai", Synchronous: "NORMAL"}
		p.config.ResponseRetention = cmp.Or(p.config.ResponseRetention, 24*time.Hour)
		p.config.BackgroundMaxAge = cmp.Or(p.config.BackgroundMaxAge, 2*time.Hour)
	}
	h.place = at
	h.service, err = ai.New(t.Context(), p.config, ai.Deps{
		Logger: slog.New(slog.NewTextHandler(h.logged, nil)), Meter: p.meter, Now: p.now, Models: list, Billing: h.billing, Database: at,
		RedisTimeout: 30 * time.Second, // on a busy machine too, all replicas count in Redis
	})
	require.NoError(t, err)
	require.NoError(t, h.service.Migrate(t.Context()))
	h.AIServiceClient = aiv1.NewAIServiceClient(h.channel())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = h.service.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, h.service.Close(closing))
		server.CloseClientConnections()
		server.Close()
		require.NotContains(t, h.logged.String(), key, "no secret in a log")
	})
	return h
}

// channel serves in-process what platform's server would: claims in the context, errors as statuses.
func (h *fixture) channel() grpc.ClientConnInterface {
	channel := inprocess.New(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			res, err := handler(passport.NewContext(ctx, &h.claims), req)
			return res, asStatus(err)
		},
		func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
			select {
			case h.running <- stream.Context():
			default:
			}
			ctx := passport.NewContext(stream.Context(), &h.claims)
			if ids := metadata.ValueFromIncomingContext(ctx, requestid.Header); len(ids) == 1 {
				ctx = requestid.With(ctx, ids[0])
			}
			return asStatus(handler(srv, &withClaims{stream, ctx}))
		})
	h.service.Register(channel)
	return channel
}

func asStatus(err error) error {
	if err == nil {
		return nil
	}
	return errs.From(err).GRPCStatus().Err()
}

type withClaims struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *withClaims) Context() context.Context { return s.ctx }

// answer is what a relayed call came to.
type answer struct {
	head *aiv1.RelayHead
	body string
	err  *errs.Error
}

// relay makes a call and reads it to its end.
func (h *fixture) relay(endpoint aiv1.Endpoint, body string) answer {
	h.t.Helper()
	stream, err := h.Relay(h.t.Context(), &aiv1.RelayRequest{Endpoint: endpoint, Body: []byte(body)})
	require.NoError(h.t, err)
	return drain(stream)
}

func (h *fixture) chat(body string) answer {
	h.t.Helper()
	return h.relay(aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, body)
}

func drain(stream grpc.ServerStreamingClient[aiv1.RelayResponse]) (a answer) {
	var body strings.Builder
	for {
		res, err := stream.Recv()
		if err != nil {
			a.body = body.String()
			if !errors.Is(err, io.EOF) {
				a.err = errs.From(err)
			}
			return a
		}
		if res.GetHead() != nil {
			a.head = res.GetHead()
		}
		body.Write(res.GetBody())
	}
}

// settled returns the one hold, which must be settled exactly once.
func (h *fixture) settled() billingtest.Hold {
	h.t.Helper()
	holds := h.billing.Holds()
	require.Len(h.t, holds, 1)
	require.Len(h.t, holds[0].Settled, 1, "settled exactly once")
	require.Zero(h.t, h.billing.Held(), "nothing is held afterwards")
	return holds[0]
}

// fault makes the sandbox fail.
func (h *fixture) fault(f fault.Fault) {
	h.t.Helper()
	_, err := h.openai.Faults().Add(f)
	require.NoError(h.t, err)
}

func requireReason(t testing.TB, want errorsv1.ErrorReason, got *errs.Error) {
	t.Helper()
	require.NotNil(t, got, "an error was expected")
	require.Equal(t, want.String(), got.Reason.String(), got.Message)
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
