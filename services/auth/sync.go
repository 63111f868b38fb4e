package auth

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
	"github.com/trivet-dev/trivet/services/auth/internal/svix"
	"github.com/trivet-dev/trivet/services/auth/internal/sync"
)

// sync makes the parts that keep the store equal to Clerk: they receive webhooks, apply them, and erase users that Clerk deleted.
func (s *Service) sync(config Config, deps Deps, metrics *instruments) (*syncParts, error) {
	box, err := inbox.New(s.database, config.Inbox.Apply(inbox.Options{
		Logger: deps.Logger, Meter: deps.Meter, Now: deps.Now, Alone: s.database.Dialect() == database.SQLite,
		Redact: func(e inbox.Event) []byte { return []byte(clerk.Redact(e.Payload)) },
	}))
	if err != nil {
		return nil, err
	}
	m := &syncParts{inbox: box}
	wake := make(chan struct{}, 1)
	s.store.NotifyForgotten(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	s.work = append(s.work, s.scrub(deps.Logger, wake))
	syncer := sync.New(sync.Options{Inbox: box, Store: s.store, Applied: metrics.applied, Now: deps.Now})
	m.eraser = erasure.New(s.store, syncer.PutErasure, s.steps(deps), deps.Now, deps.Logger)
	if err := syncer.Handle(m.eraser); err != nil {
		return nil, err
	}
	var verifier *svix.Verifier
	if config.WebhookSecrets.IsSet() {
		if verifier, err = svix.New(config.WebhookSecrets.Reveal(), deps.Now); err != nil {
			return nil, err
		}
	}
	s.secrets.webhooks = verifier
	m.receiver = webhook.New(webhook.Options{
		Provider: clerk.WebhookProvider(verifier, config.InstanceID), Inbox: box, Record: metrics.webhooks, Logger: deps.Logger, Now: deps.Now,
	})
	return m, nil
}

type syncParts struct {
	inbox    *inbox.Inbox
	receiver *webhook.Receiver
	eraser   *erasure.Eraser
}

// errNotConnected keeps an erasure open in a process without a client of the service.
var errNotConnected = errors.New("this process is not connected to the service")

// steps returns each service's part of an erasure, auth's own first.
func (s *Service) steps(deps Deps) []erasure.Step {
	return []erasure.Step{
		{Service: "auth", Erase: func(ctx context.Context, userID string) error {
			// The rest was erased when the erasure began. Calls that were in progress then may have made keys.
			if err := errors.Join(s.store.ForgetEvents(ctx, clerk.Source, userID), s.store.ForgetKeys(ctx, userID)); err != nil {
				return err
			}
			return s.store.Scrub(ctx)
		}},
		{Service: "ai", Erase: func(ctx context.Context, userID string) error {
			if deps.AI == nil {
				return errNotConnected
			}
			_, err := deps.AI.EraseUser(ctx, &aiv1.EraseUserRequest{UserId: userID}, grpc.WaitForReady(false))
			return err
		}},
		{Service: "billing", Erase: func(ctx context.Context, userID string) error {
			if deps.Billing == nil {
				return errNotConnected
			}
			_, err := deps.Billing.EraseUser(ctx, &billingv1.EraseUserRequest{UserId: userID}, grpc.WaitForReady(false))
			return err
		}},
	}
}

// scrubPause is the pause after a checkpoint that readers prevented.
const scrubPause = time.Second

// scrub empties SQLite's log after each commit that forgot something about an erased person, until ctx ends.
func (s *Service) scrub(logger *slog.Logger, wake <-chan struct{}) func(context.Context) {
	return func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-wake:
			}
			for err := s.store.Scrub(ctx); err != nil && ctx.Err() == nil; err = s.store.Scrub(ctx) {
				if !errors.Is(err, database.ErrReading) {
					logger.WarnContext(ctx, "removing erased data from the database's log failed; retrying", slog.Any("error", err))
				}
				select {
				case <-ctx.Done():
				case <-time.After(scrubPause):
				}
			}
		}
	}
}

// Clerk's Backend API takes 100 calls in 10 s of a development instance and 1,000 of a production one; the pauses leave
// some of that to others.
const (
	developmentPause = 125 * time.Millisecond
	productionPause  = 20 * time.Millisecond
)

// reconciler compares the store with Clerk; nil without a key to the Backend API.
func (s *Service) reconciler(config Config, deps Deps, client *clerk.Client, eraser *erasure.Eraser) *reconcile.Reconciler {
	if client == nil {
		return nil
	}
	pause := developmentPause
	if strings.HasPrefix(config.SecretKeys.Newest().Reveal(), "sk_live_") {
		pause = productionPause
	}
	r := reconcile.New(reconcile.Options{
		Database: s.database, Store: s.store, Source: client, Remove: eraser.Removed, Pause: pause, Now: deps.Now, Logger: deps.Logger,
		Alone: s.database.Dialect() == database.SQLite,
	})
	if config.ReconcileInterval > 0 {
		s.work = append(s.work, func(ctx context.Context) { r.Schedule(ctx, config.ReconcileInterval) })
	}
	return r
}
