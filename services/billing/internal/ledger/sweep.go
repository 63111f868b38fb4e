package ledger

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	sweepBatch   = 200
	sweepAtOnce  = 16
	maxSweepRuns = 50
)

// Sweep settles holds whose lease ran out at their last checkpoint, and returns how many it settled. Any number of
// replicas may sweep at once: each hold is settled by one of them. A run is bounded; what is left is for the next.
func (l *Ledger) Sweep(ctx context.Context) (int, error) {
	swept := 0
	for range maxSweepRuns {
		holds, err := l.store.ExpiredHolds(ctx, l.now(), sweepBatch)
		if err != nil {
			return swept, asPublic(err, "sweeping")
		}
		n, err := l.sweepAll(ctx, holds)
		if swept += n; err != nil || len(holds) < sweepBatch || n == 0 {
			return swept, err
		}
	}
	return swept, nil
}

// sweepAll settles many at once, because writes that come together are committed together.
func (l *Ledger) sweepAll(ctx context.Context, holds []Hold) (int, error) {
	var swept atomic.Int64
	var group errgroup.Group
	group.SetLimit(sweepAtOnce)
	for _, h := range holds {
		group.Go(func() error {
			err := l.sweep(ctx, h)
			switch {
			case err == nil:
				swept.Add(1)
			case errors.Is(err, ErrLost): // settled, extended, or swept by another replica
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	return int(swept.Load()), asPublic(err, "sweeping")
}

func (l *Ledger) sweep(ctx context.Context, h Hold) error {
	cost, err := h.cost(h.Used)
	if err != nil {
		// A checkpoint that can't be priced must not keep the hold open for ever.
		l.log.ErrorContext(ctx, "checkpoint can't be priced: the hold's whole amount is charged", "hold", h.ID, "error", err)
		cost = h.Amount
	}
	c := &closing{
		l: l, hold: h, cost: cost, sweep: true,
		Settlement: Settlement{HoldID: h.ID, Usage: h.Used, Outcome: OutcomeAbandoned, Estimated: true},
	}
	if _, err = c.run(ctx, c.charge); err == nil {
		l.recent.Remove(h.ID)
		l.log.WarnContext(ctx, "hold abandoned: settled at its last checkpoint", "hold", h.ID, "account", h.AccountID, "cost", cost)
	}
	return err
}

// Run sweeps every interval until ctx ends.
func (l *Ledger) Run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if _, err := l.Sweep(ctx); err != nil && ctx.Err() == nil {
			l.log.ErrorContext(ctx, "sweeping abandoned holds failed; tried again soon", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
