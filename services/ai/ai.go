// Package ai is the service that calls models on an account's behalf, within its plan and its balance.
//
// Its store has the owners of responses that providers keep, and no content. What calls cost is in billing's ledger.
package ai

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/background"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/plan"
	"github.com/trivet-dev/trivet/services/ai/internal/responses"
	"github.com/trivet-dev/trivet/services/ai/internal/rpc"
	"github.com/trivet-dev/trivet/services/ai/internal/store"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/typed"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
)

// remembered is the number of accounts whose plans and counts are kept in memory, about 300 bytes each.
const remembered = 65_536

// Deps holds the service's dependencies. All but Database and Transport are required.
type Deps struct {
	Logger *slog.Logger
	Meter  metric.Meter
	// Now is the clock.
	Now func() time.Time
	// Models is the price list.
	Models *models.List
	// Database is where ai's store is: database.For("ai", DATABASE_URL). New opens it. Without a URL no provider may keep
	// responses.
	Database database.Config
	Billing  billingv1.BillingServiceClient
	// Secrets reads the setting of a target's key by the name in the price list. It may be nil if no target has a key.
	Secrets func(name string) (settings.Secrets, error)
	// RedisTimeout bounds every wait for Redis; 0 means the default of 250 ms.
	RedisTimeout time.Duration
	// Transport connects to the provider; nil means the service's own connection pools.
	Transport http.RoundTripper
}

// Service is the ai service.
type Service struct {
	server    *rpc.Server
	invoker   *invoke.Invoker
	keeper    *hold.Keeper
	targets   *upstream.Chain
	responses *responses.Front
	runner    *background.Runner // nil without a store
	db        *database.DB       // nil without a store
	// failover is nil without Redis.
	failover *limit.Failover

	provider      *health.Provider
	probeInterval time.Duration
}

// New opens the store and makes the service, which the caller must Close.
func New(ctx context.Context, config Config, deps Deps) (_ *Service, err error) {
	if config.BaseURL == nil || deps.Logger == nil || deps.Meter == nil || deps.Now == nil || deps.Billing == nil || deps.Models == nil {
		return nil, errors.New("ai: New needs OPENAI_BASE_URL and all of Deps but Database and Transport")
	}
	if deps.Database.URL.IsSet() && config.BackgroundMaxAge <= 0 {
		return nil, errors.New("ai: TRIVET_BACKGROUND_MAX_AGE must be above 0")
	}
	if config.AbandonedReadTimeout <= 0 {
		return nil, errors.New("ai: TRIVET_ABANDONED_READ_TIMEOUT must be above 0")
	}
	watched := health.NewProvider(deps.Now)
	targets, err := upstream.NewChain(upstream.Options{
		Models: deps.Models, Default: config.account(), Secrets: deps.Secrets, Breaker: provider.Breaker{Failures: config.BreakerFailures},
		Tries: config.Tries, Backoff: config.RetryDelay, Base: deps.Transport, Method: methodOf, Ended: watched.Ended, Logger: deps.Logger, Meter: deps.Meter, Now: deps.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("ai: %w", err)
	}
	plans, err1 := plan.NewCache(deps.Billing, remembered, deps.Now)
	limiter, failover, err2 := newLimiter(config, deps)
	keeper := hold.NewKeeper(deps.Billing, deps.Logger, deps.Now)
	recorder, err3 := newRecorder(deps.Meter)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("ai: %w", err)
	}
	invoker := invoke.New(invoke.Deps{
		Models: deps.Models, Plans: plans, Limiter: limiter, Keeper: keeper, Targets: targets, Health: watched,
		Counter: tokens.NewCounter(), Recorder: recorder, Logger: deps.Logger, RefusedFields: config.RefusedFields,
		AbandonedReads: config.AbandonedReads, AbandonedReadTimeout: config.AbandonedReadTimeout, Now: deps.Now,
	})
	if err := errors.Join(recorder.observe(deps.Meter, keeper, invoker), health.Observe(deps.Meter, "openai", watched.Condition)); err != nil {
		return nil, fmt.Errorf("ai: %w", err)
	}
	s := &Service{failover: failover, invoker: invoker, keeper: keeper, targets: targets, provider: watched, probeInterval: config.ProbeInterval}
	if err := s.open(ctx, config, deps, recorder); err != nil {
		targets.Close()
		return nil, fmt.Errorf("ai: %w", errors.Join(err, failover.Close()))
	}
	s.server = rpc.New(rpc.Options{
		Invoker: invoker, Responses: s.responses, Typed: typed.New(typed.Options{Invoker: invoker, FallbackText: config.fallbackText(), Logger: deps.Logger, Now: deps.Now}),
		Models: deps.Models, Plans: plans, Service: health.NewService(deps.Now, "ai.database", s.Checks), Provider: watched,
	})
	return s, nil
}

// open opens the store, if there is one, and makes what works with it.
func (s *Service) open(ctx context.Context, config Config, deps Deps, recorder *recorder) (err error) {
	options := responses.Options{
		Invoker: s.invoker, Retention: config.ResponseRetention, MaxRunning: int64(config.MaxBackground), Logger: deps.Logger, Now: deps.Now,
	}
	if deps.Database.URL.IsSet() {
		deps.Database.Logger = deps.Logger
		if deps.Database.Observe, err = database.Observer(deps.Meter, "ai"); err != nil {
			return err
		}
		if s.db, err = database.Open(ctx, deps.Database); err != nil {
			return err
		}
		if err := errors.Join(database.CheckVersion(ctx, s.db, Migrations()...), s.db.WatchPools(deps.Meter, "ai")); err != nil {
			return errors.Join(err, s.db.Close(ctx))
		}
		rows := store.New(s.db)
		s.runner = background.New(background.Options{
			Invoker: s.invoker, Store: rows, Recorder: recorder, MaxAge: config.BackgroundMaxAge, Logger: deps.Logger, Now: deps.Now,
			Keep: func(ctx context.Context, r *stored.Running, kept invoke.Kept) error {
				return s.responses.KeepEnded(ctx, r, kept)
			},
		})
		options.Store, options.Running, options.Background = rows, rows, s.runner
		if err := observeBackground(deps.Meter, s.runner); err != nil {
			return errors.Join(err, s.db.Close(ctx))
		}
	}
	s.responses = responses.New(options)
	return nil
}

// newLimiter returns the limiter of this process, or the one that is shared in Redis, which it also returns as itself.
func newLimiter(config Config, deps Deps) (limit.Limiter, *limit.Failover, error) {
	memory, err := limit.NewMemory(remembered, deps.Now)
	if err != nil || !config.Redis.IsSet() {
		return memory, nil, err
	}
	redis, err := limit.NewRedis(limit.RedisOptions{URL: config.Redis.Reveal(), Timeout: deps.RedisTimeout})
	if err != nil {
		return nil, nil, err
	}
	failover := limit.NewFailover(redis, memory, deps.Logger, deps.Now)
	return failover, failover, nil
}

// methodOf names a call in the provider's metrics.
func methodOf(r *http.Request) string {
	switch {
	case strings.Contains(r.URL.Path, "/responses"):
		return "responses"
	case r.Method == http.MethodGet:
		return "models"
	case strings.HasSuffix(r.URL.Path, "/embeddings"):
		return "embeddings"
	case strings.HasSuffix(r.URL.Path, "/moderations"):
		return "moderations"
	case !strings.HasSuffix(r.URL.Path, "/chat/completions"):
		return "completions"
	}
	return "chat.completions"
}

// CheckModels reports what is wrong with the targets of a price list that is to replace the present one.
func (s *Service) CheckModels(list *models.List) error { return s.targets.Check(list) }

// Register adds AIService.
func (s *Service) Register(registrar grpc.ServiceRegistrar) {
	aiv1.RegisterAIServiceServer(registrar, s.server)
}

// Run writes the checkpoints of running calls, settles in the background what billing could not take at once, settles the responses that run in
// the background, and deletes stored responses that are due. When
// ctx has ended, it ends the reading of answers whose callers have left. It returns when every goroutine has stopped.
func (s *Service) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() {
		s.provider.Run(ctx, s.probeInterval, func(ctx context.Context) { s.targets.Probe(ctx, s.provider) })
	})
	tasks.Go(func() { s.responses.Run(ctx) })
	if s.runner != nil {
		tasks.Go(func() { s.runner.Run(ctx) })
	}
	if s.failover != nil {
		tasks.Go(func() { s.failover.Run(ctx) })
	}
	err := s.keeper.Run(ctx)
	s.invoker.Stop()
	tasks.Wait()
	s.responses.Stop(ctx)
	return err
}

// Migrations returns the migrations of the store.
func Migrations() []database.Migrations { return []database.Migrations{store.Migrations()} }

// Migrate brings the store up to date.
func (s *Service) Migrate(ctx context.Context) error {
	if s.db == nil {
		return nil
	}
	return database.MigrateAll(ctx, s.db, Migrations()...)
}

// Checks returns the readiness checks: those of the store. The connection to billing is checked by the call that needs it,
// and a provider that is down must not take the service out of rotation.
func (s *Service) Checks() map[string]func(context.Context) error {
	if s.db == nil {
		return nil
	}
	return map[string]func(context.Context) error{
		"ai.database": s.db.Ping, "ai.writes": s.db.CheckWrite, "ai.schema": database.SchemaCheck(s.db, Migrations()...),
	}
}

// Close settles what still waits for billing, until ctx ends. Call it after Run has returned and no call runs any
// more, while billing is still there.
func (s *Service) Close(ctx context.Context) error {
	s.invoker.Stop()
	err := s.keeper.Drain(ctx)
	s.targets.Close()
	if s.db != nil {
		err = errors.Join(err, s.db.Close(ctx))
	}
	err = errors.Join(err, s.failover.Close())
	return err
}
