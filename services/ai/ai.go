// Package ai is the service that calls models on an account's behalf, within its plan and its balance.
//
// It has no store: everything that must last is in billing's ledger, so Migrate has nothing to do.
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
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/plan"
	"github.com/trivet-dev/trivet/services/ai/internal/rpc"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/typed"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
)

// remembered is the number of accounts whose plans and counts are kept in memory, about 300 bytes each.
const remembered = 65_536

// Deps holds the service's dependencies. All but Transport are required.
type Deps struct {
	Logger *slog.Logger
	Meter  metric.Meter
	// Now is the clock.
	Now func() time.Time
	// Models is the price list.
	Models  *models.List
	Billing billingv1.BillingServiceClient
	// Secrets reads the setting of a target's key by the name in the price list. It may be nil if no target has a key.
	Secrets func(name string) (settings.Secrets, error)
	// Transport connects to the provider; nil means the service's own connection pools.
	Transport http.RoundTripper
}

// Service is the ai service.
type Service struct {
	server  *rpc.Server
	invoker *invoke.Invoker
	keeper  *hold.Keeper
	targets *upstream.Chain

	provider      *health.Provider
	probeInterval time.Duration
}

// New makes the service. It makes no call.
func New(_ context.Context, config Config, deps Deps) (*Service, error) {
	if config.BaseURL == nil || deps.Logger == nil || deps.Meter == nil || deps.Now == nil || deps.Billing == nil || deps.Models == nil {
		return nil, errors.New("ai: New needs OPENAI_BASE_URL and all of Deps but Transport")
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
	limiter, err2 := limit.NewMemory(remembered, deps.Now)
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
	s := &Service{invoker: invoker, keeper: keeper, targets: targets, provider: watched, probeInterval: config.ProbeInterval}
	s.server = rpc.New(rpc.Options{
		Invoker: invoker, Typed: typed.New(typed.Options{Invoker: invoker, FallbackText: config.fallbackText(), Logger: deps.Logger, Now: deps.Now}),
		Models: deps.Models, Plans: plans, Service: health.NewService(deps.Now, "", s.Checks), Provider: watched,
	})
	return s, nil
}

// methodOf names a call in the provider's metrics.
func methodOf(r *http.Request) string {
	switch {
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

// Run writes the checkpoints of running calls, and settles in the background what billing could not take at once. When
// ctx has ended, it ends the reading of answers whose callers have left. It returns when every goroutine has stopped.
func (s *Service) Run(ctx context.Context) error {
	var probing sync.WaitGroup
	probing.Go(func() {
		s.provider.Run(ctx, s.probeInterval, func(ctx context.Context) { s.targets.Probe(ctx, s.provider) })
	})
	err := s.keeper.Run(ctx)
	s.invoker.Stop()
	probing.Wait()
	return err
}

// Migrations returns none: ai has no store.
func Migrations() []database.Migrations { return nil }

// Migrate does nothing: ai has no store.
func (s *Service) Migrate(context.Context) error { return nil }

// Checks returns none: ai has no store, its connection to billing is checked by the call that needs it, and a provider
// that is down must not take the service out of rotation.
func (s *Service) Checks() map[string]func(context.Context) error { return nil }

// Close settles what still waits for billing, until ctx ends. Call it after Run has returned and no call runs any
// more, while billing is still there.
func (s *Service) Close(ctx context.Context) error {
	s.invoker.Stop()
	err := s.keeper.Drain(ctx)
	s.targets.Close()
	return err
}
