package billing

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/rpc"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

const (
	// catalogInterval is how often a replica looks for plans that another one has applied.
	catalogInterval = 500 * time.Millisecond
	// dueInterval is how often subscriptions are looked for that time alone has changed, and dueBatch how many at a time.
	dueInterval = 5 * time.Second
	dueBatch    = 100
	// overageInterval is how often charges of overage are looked for that are due.
	overageInterval = 10 * time.Second
	// topUpInterval is how often accounts are looked for whose balance has fallen to their threshold.
	topUpInterval = 5 * time.Second
	// applyRetry is the pause after plans could not be applied at the start.
	applyRetry = 2 * time.Second
)

// sell adds the parts that sell plans and packs. Without a Stripe key there are none.
func (s *Service) sell(deps Deps, client *stripe.Client, m *mirror.Mirror, o rpc.Options) rpc.Options {
	if client == nil {
		return o
	}
	alone := s.db.Dialect() == database.SQLite
	buyers := customers.New(customers.Options{Store: s.rows, Provider: client, Now: s.now})
	s.applier = offers.New(offers.Options{
		Database: s.db, Store: s.rows, Provider: client, Catalog: s.catalog, Models: modelIDs(deps.Models), Now: s.now, Alone: alone,
	})
	o.Applier, o.Customers = s.applier, buyers
	s.overage = overage.New(overage.Options{
		Store: s.rows, Ledger: s.ledger, Provider: client, Plans: s.catalog, Now: s.now, Logger: s.log, AutomaticTax: s.config.AutomaticTax,
	})
	s.checkout = checkout.New(checkout.Options{
		Database: s.db, Store: s.rows, Provider: client, Changer: client, Customers: buyers, Trials: s.ledger, Mirror: m, Catalog: s.catalog, Now: s.now, Alone: alone,
		Reload:       func(ctx context.Context) error { return offers.Load(ctx, s.rows, s.catalog) },
		Notify:       s.ledger.Notify,
		AutomaticTax: s.config.AutomaticTax,
	})
	o.Checkout = s.checkout
	s.topUp = topup.New(topup.Options{
		Store: s.rows, Ledger: s.ledger, Provider: client, Mirror: m, Catalog: s.catalog, Turn: s.checkout.Turn, Now: s.now, Logger: s.log,
		Reload:       func(ctx context.Context) error { return offers.Load(ctx, s.rows, s.catalog) },
		AutomaticTax: s.config.AutomaticTax,
	})
	o.TopUps = s.topUp
	return o
}

// finishReplacements releases the schedules that changes have replaced which were paid later.
func (s *Service) finishReplacements(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.checkout.FinishReplacements(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "replacing scheduled changes failed; retrying", slog.Any("error", err))
		}
		_ = wait.For(ctx, dueInterval)
	}
}

// followPlans keeps the catalog equal to what was applied, by this replica or another.
func (s *Service) followPlans(ctx context.Context) {
	known := int64(-1)
	for ctx.Err() == nil {
		now, err := s.rows.Catalog(ctx)
		if err == nil && now.Revision != known {
			if err = offers.Load(ctx, s.rows, s.catalog); err == nil {
				known = now.Revision
				s.applied.Store(known)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "reading the applied plans failed; retrying", slog.Any("error", err))
		}
		_ = wait.For(ctx, catalogInterval)
	}
}

// followSubscriptions follows the subscriptions that time alone has changed, and those whose prices newly applied plans have.
func (s *Service) followSubscriptions(ctx context.Context) {
	followed := int64(0) // the revision before any plan was applied
	for ctx.Err() == nil {
		if applied := s.applied.Load(); applied != followed {
			if err := s.ledger.FollowSold(ctx); err == nil {
				followed = applied
			} else if ctx.Err() == nil {
				s.log.WarnContext(ctx, "following the subscriptions of newly applied plans failed; retrying", slog.Any("error", err))
			}
		}
		done, err := s.ledger.FollowDue(ctx, dueBatch)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "following subscriptions failed; retrying", slog.Any("error", err))
		}
		if done == dueBatch && err == nil {
			continue
		}
		_ = wait.For(ctx, dueInterval)
	}
}

// billOverage makes and sends the charges of overage until ctx ends. Of several replicas, one does it at a time.
func (s *Service) billOverage(ctx context.Context) {
	for ctx.Err() == nil {
		s.runJob(ctx, "overage", job.Options{}, func(ctx context.Context, h *job.Holder) error { return s.overage.Run(ctx, h.Keep) })
		_ = wait.For(ctx, overageInterval)
	}
}

// followMembers has the seats of subscriptions follow the members of their organizations until ctx ends. Of several replicas, one does it at a time.
func (s *Service) followMembers(ctx context.Context) {
	for ctx.Err() == nil {
		s.runDue(ctx, "seats", s.checkout.SeatsDue, func(ctx context.Context, h *job.Holder) error { return s.checkout.FollowSeats(ctx, h.Keep) })
		_ = wait.For(ctx, dueInterval)
	}
}

// buyTopUps makes the automatic top-ups until ctx ends. Of several replicas, one does it at a time.
func (s *Service) buyTopUps(ctx context.Context) {
	for ctx.Err() == nil {
		s.runDue(ctx, "top-up", s.topUp.Due, func(ctx context.Context, h *job.Holder) error { return s.topUp.Run(ctx, h.Keep) })
		_ = wait.For(ctx, topUpInterval)
	}
}

// runDue runs a job if it has something to do. It looks without the job's lease, so that an idle installation writes nothing.
func (s *Service) runDue(ctx context.Context, name string, due func(context.Context) (bool, error), fn func(context.Context, *job.Holder) error) {
	switch is, err := due(ctx); {
	case err != nil && ctx.Err() == nil:
		s.log.WarnContext(ctx, "looking for the work of a job failed; retrying", slog.String("job", name), slog.Any("error", err))
	case is:
		s.runJob(ctx, name, job.Options{}, fn)
	}
}

// applyAtStart applies the plan file, so that checkout works at once in development.
func (s *Service) applyAtStart(ctx context.Context) {
	for ctx.Err() == nil {
		changes, err := s.applier.Apply(ctx, s.catalog.Source(), false)
		if err == nil {
			if len(changes) > 0 {
				s.log.InfoContext(ctx, "plans applied to Stripe", slog.Int("changes", len(changes)))
			}
			return
		}
		invalid, ok := errors.AsType[*offers.InvalidError](err)
		if ok {
			s.log.ErrorContext(ctx, "the plan file cannot be applied to Stripe, so nothing can be bought; correct it and start again", slog.Any("error", invalid))
			return
		}
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "applying the plans to Stripe failed; retrying", slog.Any("error", err))
		}
		_ = wait.For(ctx, applyRetry)
	}
}
