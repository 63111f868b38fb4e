package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Families of webhooks without a known type.
const (
	// Unverified is the family of webhooks that are refused: nobody vouches for their types.
	Unverified = "unverified"
	// Other is the family of types that the provider's Families do not list.
	Other = "other"
)

// Family returns the family of an event's type. The sender chooses the type, so that unlisted ones count together.
func (p Provider) Family(kind string) string {
	family, _, _ := strings.Cut(kind, ".")
	if slices.Contains(p.Families, family) {
		return family
	}
	return Other
}

// NewCounter returns an [Options.Record] that counts a source's webhooks as trivet.webhooks, by source, family and outcome.
func NewCounter(meter metric.Meter, source string) (func(ctx context.Context, family, outcome string), error) {
	webhooks, err := meter.Int64Counter("trivet.webhooks",
		metric.WithDescription("Webhooks received, by source, family of the event's type, and outcome."), metric.WithUnit("{webhook}"))
	if err != nil {
		return nil, fmt.Errorf("webhook metrics: %w", err)
	}
	return func(ctx context.Context, family, outcome string) {
		webhooks.Add(ctx, 1, metric.WithAttributes(
			attribute.String("source", source), attribute.String("family", family), attribute.String("outcome", outcome)))
	}, nil
}
