// Package auth is the service that knows who is calling: it verifies credentials, keeps users and organizations, and
// issues passports.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/rpc"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
)

// Deps holds the service's dependencies. All are needed but Transport, AI and Billing.
type Deps struct {
	Logger *slog.Logger
	Meter  metric.Meter
	Now    func() time.Time
	// Database is where the store is: database.For("auth", DATABASE_URL). New opens it.
	Database database.Config
	// Passports signs the passports of callers whose credentials are valid.
	Passports *passport.Issuer
	// Models lists the models that an API key may be limited to.
	Models *models.List
	// Transport connects to Clerk; nil means a connection pool of the service's own.
	Transport http.RoundTripper
	// AI and Billing erase users. Without one of them no erasure is ever complete.
	AI      aiv1.AIServiceClient
	Billing billingv1.BillingServiceClient
}

// Service is a running auth.
type Service struct {
	database *database.DB
	store    *store.Store
	keys     *jwks.Remote // nil when CLERK_JWT_KEY verifies without the network
	verified *session.Cache
	feed     *revocation.Feed
	inbox    *inbox.Inbox
	server   *rpc.Server
	secrets  secrets
	work     []func(context.Context) // Run's
	closers  []func()
}

// New opens the store and builds the service; it does not call Clerk. The error names every setting that is missing or wrong.
func New(ctx context.Context, config Config, deps Deps) (*Service, error) {
	if err := config.Validate(settings.Modes{settings.Serve}); err != nil {
		return nil, err
	}
	s := &Service{secrets: secrets{clerkKeys: settings.NewLive(config.SecretKeys...), mode: config.keyMode()}}
	if err := s.open(ctx, deps); err != nil {
		return nil, err
	}
	if err := s.build(config, deps); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

func (s *Service) open(ctx context.Context, deps Deps) (err error) {
	place := deps.Database
	place.Logger = deps.Logger
	if place.Observe, err = database.Observer(deps.Meter, "auth"); err != nil {
		return err
	}
	if s.database, err = database.Open(ctx, place); err != nil {
		return fmt.Errorf("open auth's database: %w", err)
	}
	if err := errors.Join(s.checkVersion(ctx), s.database.WatchPools(deps.Meter, "auth")); err != nil {
		return errors.Join(err, s.database.Close(ctx))
	}
	s.store = store.New(s.database, deps.Now, func() { s.feed.Wake() })
	s.feed = revocation.NewFeed(s.store, deps.Now, deps.Logger)
	return nil
}

// checkVersion refuses a store that a newer version of the program has migrated.
func (s *Service) checkVersion(ctx context.Context) error {
	return database.CheckVersion(ctx, s.database, Migrations()...)
}

// Register adds the service to a gRPC server.
func (s *Service) Register(registrar grpc.ServiceRegistrar) {
	authv1.RegisterAuthServiceServer(registrar, s.server)
}

// Migrations are those of the store, of its inbox and of its job, in the order in which they are applied.
func Migrations() []database.Migrations {
	return []database.Migrations{inbox.Migrations(), job.Migrations(), store.Migrations()}
}

// Migrate brings the store up to date. It must have been done before the first request.
func (s *Service) Migrate(ctx context.Context) error {
	return database.MigrateAll(ctx, s.database, Migrations()...)
}

// Run does the background work until ctx ends, and returns when all of it has stopped. Without it the service sees no
// revocations, applies no webhooks and reads nothing from Clerk but signing keys.
func (s *Service) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	for _, do := range s.work {
		tasks.Go(func() { do(ctx) })
	}
	err := s.inbox.Run(ctx)
	tasks.Wait()
	return err
}

// Replicated is the database that all replicas of the service use, with the tables of platform/job.
func (s *Service) Replicated() *database.DB { return s.database }

// Checks returns the conditions of readiness by name. A service that holds Clerk's keys is ready while Clerk is down.
func (s *Service) Checks() map[string]func(context.Context) error {
	checks := map[string]func(context.Context) error{"auth.database": s.database.Ping, "auth.writes": s.database.CheckWrite}
	checks["auth.schema"] = database.SchemaCheck(s.database, Migrations()...)
	if s.keys != nil {
		checks["clerk_keys"] = func(context.Context) error { return s.keys.Ready() }
	}
	return checks
}

// Close releases what New opened. Call it after Run has returned.
func (s *Service) Close(ctx context.Context) error {
	for _, end := range s.closers {
		end()
	}
	return s.database.Close(ctx)
}
