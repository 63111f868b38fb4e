package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// firstLook is when a fresh process looks whether a run is due; then it looks again and again.
const (
	firstLook = time.Minute
	lookEvery = 5 * time.Minute
)

// Schedule runs every interval, whichever replica comes first, until ctx ends.
func (r *Reconciler) Schedule(interval time.Duration) func(ctx context.Context) {
	return func(ctx context.Context) {
		pause := firstLook
		for ctx.Err() == nil {
			if err := r.Sleep(ctx, pause+rand.N(pause)); err != nil { //nolint:gosec // spreads replicas, guards nothing
				return
			}
			r.Due(ctx, interval)
			pause = min(lookEvery, interval)
		}
	}
}

// Due runs if the last run ended longer ago than interval and nobody is at it.
func (r *Reconciler) Due(ctx context.Context, interval time.Duration) {
	counts := map[string]Counts{}
	err := r.run(ctx, time.Time{}, r.Now().Add(-interval), func(p Progress) error {
		counts[p.Kind] = p.Counts
		return nil
	})
	switch {
	case errors.Is(err, ErrBusy), ctx.Err() != nil:
	case err != nil:
		r.Logger.ErrorContext(ctx, "reconciliation with Clerk failed; it will resume from its checkpoint", slog.Any("error", err))
	default:
		r.Logger.InfoContext(ctx, "reconciled with Clerk", slog.Any("counts", counts))
	}
}
