package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/job"
)

// Schedule starts a run every interval, on one of the replicas, until ctx ends.
func (r *Reconciler) Schedule(ctx context.Context, interval time.Duration) {
	job.Schedule(ctx, interval, func(ctx context.Context) { r.Due(ctx, interval) })
}

// Due runs if the last full run ended longer ago than interval and no replica is reconciling.
func (r *Reconciler) Due(ctx context.Context, interval time.Duration) {
	counts := map[string]Counts{}
	err := r.run(ctx, time.Time{}, interval, func(p Progress) error {
		counts[string(p.Kind)] = p.Counts
		return nil
	})
	switch {
	case errors.Is(err, job.ErrBusy), errors.Is(err, job.ErrNotDue), ctx.Err() != nil:
	case err != nil:
		r.o.Logger.ErrorContext(ctx, "reconciliation with Stripe failed; it will resume from its checkpoint", slog.Any("error", err))
	default:
		r.o.Logger.InfoContext(ctx, "reconciled with Stripe", slog.Any("counts", counts))
	}
}
