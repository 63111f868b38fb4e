package billing

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/billing/internal/follow"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/stripesig"
)

// sync receives Stripe's webhooks and fetches the objects that they are about. The client is nil while Stripe is off; then events
// wait.
func (s *Service) sync(deps Deps, rows *store.Store, client *stripe.Client) (*mirrored, error) {
	metrics, err := newInstruments(deps.Meter)
	if err != nil {
		return nil, err
	}
	s.inbox, err = inbox.New(s.db, s.config.Inbox.Apply(inbox.Options{
		Logger: deps.Logger, Meter: deps.Meter, Now: deps.Now, Alone: s.db.Dialect() == database.SQLite,
		Redact: func(e inbox.Event) []byte { return []byte(intake.Redact(e.Payload)) },
	}))
	if err != nil {
		return nil, err
	}
	if err := s.sendNotices(deps, client); err != nil {
		return nil, err
	}
	follower := &follow.Follower{Store: rows, Ledger: s.ledger}
	options := mirror.Options{Inbox: s.inbox, Store: rows, Applied: metrics.applied, Now: deps.Now, Written: follower.Written}
	if client != nil {
		options.Source = client
	}
	m := &mirrored{mirror: mirror.New(options)}
	if err := m.mirror.Handle(); err != nil {
		return nil, err
	}
	if client != nil {
		s.reconciler = reconcile.New(reconcile.Options{
			Database: s.db, Store: rows, Source: client, Mirror: m.mirror, Now: deps.Now, Logger: deps.Logger, Alone: s.db.Dialect() == database.SQLite, Sleep: deps.Sleep,
		})
	}
	if s.verifier, err = verifier(s.config, deps); err != nil {
		return nil, err
	}
	m.receiver = webhook.New(webhook.Options{
		Provider: intake.Provider(s.verifier, livemode(s.config.StripeSecretKey)), Inbox: s.inbox,
		Record: metrics.webhooks, Logger: deps.Logger, Now: deps.Now,
	})
	return m, nil
}

// mirrored holds the parts that keep the store equal to Stripe.
type mirrored struct {
	mirror   *mirror.Mirror
	receiver *webhook.Receiver
}

// verifier returns the verifier of Stripe's webhooks; nil without a secret.
func verifier(config Config, deps Deps) (*stripesig.Verifier, error) {
	if !config.StripeWebhookSecrets.IsSet() {
		return nil, nil //nolint:nilnil // webhooks are not configured
	}
	v, err := stripesig.New(config.StripeWebhookSecrets.Reveal(), deps.Now)
	if err != nil {
		return nil, settings.Invalid("STRIPE_WEBHOOK_SECRET", err.Error(), "copy the signing secret from Stripe's dashboard, under Webhooks")
	}
	return v, nil
}

// livemode returns the mode of a key, or nil for an unknown prefix.
func livemode(keys settings.Secrets) *bool {
	_, rest, _ := strings.Cut(keys.Newest().Reveal(), "_")
	live := strings.HasPrefix(rest, "live_")
	if !live && !strings.HasPrefix(rest, "test_") {
		return nil
	}
	return &live
}

// instruments holds the metrics of Stripe's events.
type instruments struct {
	webhooks func(ctx context.Context, family, outcome string)
	events   metric.Int64Counter
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	var i instruments
	var errs [2]error
	i.webhooks, errs[0] = webhook.NewCounter(meter, intake.Source)
	i.events, errs[1] = meter.Int64Counter("trivet.billing.events",
		metric.WithDescription("Stripe's events applied, by family and outcome; many that wait for one object count once."), metric.WithUnit("{event}"))
	return &i, errors.Join(errs[:]...)
}

// applied counts by family, because the sender chooses the type.
func (i *instruments) applied(ctx context.Context, kind, outcome string) {
	family := intake.Provider(nil, nil).Family(kind)
	i.events.Add(ctx, 1, metric.WithAttributes(attribute.String("family", family), attribute.String("outcome", outcome)))
}
