package auth

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
)

// instruments are auth's metrics.
type instruments struct {
	verdicts  metric.Int64Counter
	refreshes metric.Int64Counter
	age       metric.Float64ObservableGauge
	webhooks  func(ctx context.Context, family, outcome string)
	events    metric.Int64Counter
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	var i instruments
	var errs [5]error
	i.verdicts, errs[0] = meter.Int64Counter("trivet.auth.verdicts",
		metric.WithDescription("Credentials verified, by kind and verdict."), metric.WithUnit("{credential}"))
	i.refreshes, errs[1] = meter.Int64Counter("trivet.auth.jwks.refreshes",
		metric.WithDescription("Fetches of Clerk's signing keys, by result."), metric.WithUnit("{fetch}"))
	i.age, errs[2] = meter.Float64ObservableGauge("trivet.auth.jwks.age",
		metric.WithDescription("Time since Clerk's signing keys were fetched."), metric.WithUnit("s"))
	i.webhooks, errs[3] = webhook.NewCounter(meter, clerk.Source)
	i.events, errs[4] = meter.Int64Counter("trivet.auth.events",
		metric.WithDescription("Clerk events applied, by family and outcome."), metric.WithUnit("{event}"))
	return &i, errors.Join(errs[:]...)
}

func (i *instruments) verdict(ctx context.Context, kind, verdict string) {
	i.verdicts.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", kind), attribute.String("verdict", verdict)))
}

// applied counts events by family: the types come from the sender, so there may be any number of them.
func (i *instruments) applied(ctx context.Context, kind, outcome string) {
	family := clerk.WebhookProvider(nil, "").Family(kind)
	i.events.Add(ctx, 1, metric.WithAttributes(attribute.String("family", family), attribute.String("outcome", outcome)))
}

func (i *instruments) fetched(err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	i.refreshes.Add(context.Background(), 1, metric.WithAttributes(attribute.String("result", result)))
}

// watchAge reports the age of the signing keys, if there are any.
func (i *instruments) watchAge(meter metric.Meter, keys *jwks.Remote) (metric.Registration, error) {
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if age, ok := keys.Age(); ok {
			o.ObserveFloat64(i.age, age.Seconds())
		}
		return nil
	}, i.age)
}
