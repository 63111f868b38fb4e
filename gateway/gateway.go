// Package gateway is the edge: HTTP for browsers, OpenAI SDKs and webhooks, translated to the services' RPCs.
//
// It decides nothing that a service decides: it exchanges the caller's credential for passports, bounds what comes in,
// and writes what comes out. Everything of the caller's that is not on an allowlist stops here.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/rs/cors"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway/internal/clientip"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/routes"
	"github.com/trivet-dev/trivet/gateway/internal/status"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/credential"
	"github.com/trivet-dev/trivet/platform/ratelog"
)

// Exchanger gives passports for a credential; *credential.Exchanger is one.
type Exchanger interface {
	// Exchange returns the passports. Errors: those of AuthService.Authenticate.
	Exchange(ctx context.Context, credential string) (*credential.Passports, error)
}

// Deps is what the edge needs of others. Every field but Credentials must be set.
type Deps struct {
	// Auth, AI and Billing are connections that prove themselves as the peer "gateway".
	Auth, AI, Billing grpc.ClientConnInterface
	// Credentials gives passports; nil makes an exchanger of the edge's own over Auth, which Run keeps up to date.
	Credentials Exchanger
	// OpenAPI is the document that /openapi.json serves.
	OpenAPI []byte
	// Logger gets one line per request.
	Logger *slog.Logger
	// Meter gets the metrics of requests.
	Meter metric.Meter
	// Now is the clock.
	Now func() time.Time
	// Development is what trivet dev adds.
	Development Development
}

// Gateway is the edge.
type Gateway struct {
	config      Config
	logger      *slog.Logger
	now         func() time.Time
	credentials Exchanger
	own         *credential.Exchanger // nil when Deps brought one
	routes      *routes.Table
	body        reqbody.Reader
	proxies     clientip.Proxies
	limiter     *clientip.Limiter
	cors        *cors.Cors // nil when no origin is allowed
	development Development
	meters      *meters
	limited     *ratelog.Limiter
	status      *status.Page
	running     sync.WaitGroup
}

// New makes the edge. It fails on a setting or a dependency that can't work.
func New(ctx context.Context, config Config, deps Deps) (*Gateway, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if err := errors.Join(deps.check(), deps.Development.check(config)); err != nil {
		return nil, err
	}
	g := &Gateway{
		development: deps.Development,
		limited:     ratelog.New(deps.Now),
		config:      config, logger: deps.Logger, now: deps.Now, credentials: deps.Credentials,
		body: reqbody.Reader{Max: int64(config.MaxBodyBytes), Timeout: config.BodyTimeout},
	}
	g.cors = g.newCORS()
	if g.credentials == nil {
		own, err := credential.New(authv1.NewAuthServiceClient(deps.Auth), credential.Options{Now: deps.Now})
		if err != nil {
			return nil, err
		}
		g.own, g.credentials = own, own
	}
	var err error
	if g.proxies, err = clientip.ParseProxies(config.TrustedProxies); err != nil {
		return nil, err
	}
	if g.limiter, err = clientip.NewLimiter(config.IPRequestsPerMinute, deps.Now); err != nil {
		return nil, fmt.Errorf("limit by IP address: %w", err)
	}
	if g.meters, err = newMeters(deps.Meter); err != nil {
		return nil, fmt.Errorf("metrics of the edge: %w", err)
	}
	g.status = status.New(services(deps), deps.Now)
	if g.routes, err = g.table(ctx, deps); err != nil {
		return nil, fmt.Errorf("addresses of the edge: %w", err)
	}
	return g, nil
}

func (d *Deps) check() error {
	if d.Auth == nil || d.AI == nil || d.Billing == nil || d.Logger == nil || d.Meter == nil || d.Now == nil || len(d.OpenAPI) == 0 {
		return errors.New("gateway: Deps lacks a connection, the OpenAPI document, the logger, the meter or the clock")
	}
	return nil
}

// Handler returns the edge as one handler; Serve runs it with the limits of a server that faces the world.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

// Run keeps the status page up to date, and follows auth's revocations so that a revoked credential is forgotten at once,
// until ctx ends. When Deps brought the exchanger, its owner follows the revocations.
func (g *Gateway) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { g.status.Run(ctx) })
	if g.own != nil {
		g.own.Run(ctx, g.logger)
	}
	<-ctx.Done()
	running.Wait()
	return nil
}
