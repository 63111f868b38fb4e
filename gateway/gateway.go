// Package gateway is the edge: it serves HTTP to browsers, OpenAI SDKs and webhook senders, and translates it to the
// services' RPCs.
//
// The services make the decisions. The edge exchanges the caller's credential for passports, limits requests, and writes
// responses. Request headers that are not on an allowlist go no further than the edge.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/cors"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway/internal/clientip"
	"github.com/trivet-dev/trivet/gateway/internal/concurrency"
	"github.com/trivet-dev/trivet/gateway/internal/refusals"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/routes"
	"github.com/trivet-dev/trivet/gateway/internal/status"
	"github.com/trivet-dev/trivet/gateway/internal/unused"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/credential"
	"github.com/trivet-dev/trivet/platform/ratelog"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// Exchanger exchanges a credential for passports; see *credential.Exchanger.
type Exchanger interface {
	// Exchange returns the passports. Errors: those of AuthService.Authenticate.
	Exchange(ctx context.Context, credential string) (*credential.Passports, error)
}

// Deps holds the dependencies of the edge. Every field except Relay, Credentials and Development is required.
type Deps struct {
	// Auth, AI and Billing are connections that authenticate as the peer "gateway".
	Auth, AI, Billing grpc.ClientConnInterface
	// Relay is AIService.Relay as a function, when ai is in the same process: it gets the caller's passport and passes each
	// message to send. When it is nil, Relay is called over AI.
	Relay func(ctx context.Context, token string, in *aiv1.RelayRequest, send func(*aiv1.RelayResponse) error) error
	// Credentials exchanges credentials. When it is nil, the edge makes its own exchanger over Auth, which Run keeps up to date.
	Credentials Exchanger
	// OpenAPI is the document that /openapi.json serves.
	OpenAPI []byte
	// Logger receives one line per request.
	Logger *slog.Logger
	Meter  metric.Meter
	// Tracer traces requests; nil traces none.
	Tracer *tracing.Tracer
	// Now is the clock.
	Now func() time.Time
	// Production adds HSTS, and refuses webhooks that do not come over HTTPS.
	Production bool
	// Development is what trivet dev adds.
	Development Development
}

// Gateway is the edge.
type Gateway struct {
	config      Config
	logger      *slog.Logger
	tracer      *tracing.Tracer
	now         func() time.Time
	production  bool
	credentials Exchanger
	own         *credential.Exchanger // nil when Deps has Credentials
	routes      *routes.Table
	body        reqbody.Reader
	proxies     clientip.Proxies
	limiter     *clientip.Limiter
	concurrency *concurrency.Limiter
	cors        *cors.Cors // nil when no origin is allowed
	development Development
	meters      *meters
	limited     *ratelog.Limiter
	status      *status.Page
	refusals    *refusals.Log
	running     sync.WaitGroup
	unused      unused.Conns
	certificate atomic.Pointer[tls.Certificate] // nil where TLS does not end here
}

// New makes the edge. It fails on an invalid setting or a missing dependency.
func New(ctx context.Context, config Config, deps Deps) (*Gateway, error) {
	if err := config.Validate(nil); err != nil {
		return nil, err
	}
	if err := errors.Join(deps.check(), deps.Development.check(deps.Production)); err != nil {
		return nil, err
	}
	g := &Gateway{
		production:  deps.Production,
		development: deps.Development,
		limited:     ratelog.New(deps.Now),
		config:      config, logger: deps.Logger, tracer: deps.Tracer, now: deps.Now, credentials: deps.Credentials,
		concurrency: concurrency.New(config.ConcurrentPerCaller),
		body:        reqbody.Reader{Max: int64(config.MaxBodyBytes), Timeout: config.BodyTimeout},
	}
	g.cors = g.newCORS()
	if g.credentials == nil {
		own, err := credential.New(authv1.NewAuthServiceClient(deps.Auth), credential.Options{Now: deps.Now})
		if err != nil {
			return nil, err
		}
		g.own, g.credentials = own, own
	}
	pair, err := config.certificate()
	if err != nil {
		return nil, err
	}
	g.certificate.Store(pair)
	if g.proxies, err = clientip.ParseProxies(config.TrustedProxies); err != nil {
		return nil, err
	}
	if g.limiter, err = clientip.NewLimiter(config.IPRequestsPerMinute, deps.Now); err != nil {
		return nil, fmt.Errorf("limit by IP address: %w", err)
	}
	if g.meters, err = newMeters(deps.Meter); err != nil {
		return nil, fmt.Errorf("metrics of the edge: %w", err)
	}
	asked, err := services(deps)
	if err != nil {
		return nil, err
	}
	g.status = status.New(asked, g.operator, deps.Now)
	g.refusals = refusals.New(billingv1.NewBillingServiceClient(deps.Billing), deps.Logger, deps.Now)
	if g.routes, err = g.table(ctx, deps); err != nil {
		return nil, fmt.Errorf("routes of the edge: %w", err)
	}
	return g, nil
}

func (d *Deps) check() error {
	if d.Auth == nil || d.AI == nil || d.Billing == nil || d.Logger == nil || d.Meter == nil || d.Now == nil || len(d.OpenAPI) == 0 {
		return errors.New("gateway: Deps is incomplete: it needs Auth, AI, Billing, OpenAPI, Logger, Meter and Now")
	}
	return nil
}

// Handler returns the edge as one handler. Serve runs it on a server that has limits for public traffic.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

// Run keeps the status page up to date until ctx ends. It also follows auth's revocations, so that the edge forgets a
// revoked credential at once, and logs the calls that the edge refuses. When Deps has Credentials, the owner of that exchanger follows the revocations instead.
func (g *Gateway) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { g.status.Run(ctx) })
	running.Go(func() { g.refusals.Run(ctx) })
	if g.own != nil {
		g.own.Run(ctx, g.logger)
	}
	<-ctx.Done()
	running.Wait()
	return nil
}
