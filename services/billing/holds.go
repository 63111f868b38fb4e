package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// countTimeout bounds the counting for a scrape.
const countTimeout = 2 * time.Second

// watchHolds reports the open holds of the database: every process of billing reports the same.
func watchHolds(deps Deps, rows *store.Store) error {
	open, err1 := deps.Meter.Int64ObservableGauge("trivet.billing.holds.open", metric.WithDescription("Open holds in the database."))
	age, err2 := deps.Meter.Float64ObservableGauge("trivet.billing.holds.oldest.age", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest open hold; 0 without one."))
	overdue, err3 := deps.Meter.Float64ObservableGauge("trivet.billing.holds.overdue", metric.WithUnit("s"),
		metric.WithDescription("Time since the lease of an open hold ended, of the one that ended first; 0 without one."))
	_, err4 := deps.Meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, countTimeout)
		defer cancel()
		count, oldest, lease, err := rows.OpenHolds(ctx)
		if err != nil {
			return fmt.Errorf("billing metrics: %w", err)
		}
		o.ObserveInt64(open, count)
		since := func(t time.Time) float64 {
			if count == 0 {
				return 0
			}
			return max(deps.Now().Sub(t).Seconds(), 0)
		}
		o.ObserveFloat64(age, since(oldest))
		o.ObserveFloat64(overdue, since(lease))
		return nil
	}, open, age, overdue)
	return errors.Join(err1, err2, err3, err4)
}
