package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-dev/trivet/platform/idempotency"
)

const (
	sweepBatch   = 200
	sweepAtOnce  = 16
	maxSweepRuns = 50
	// windowKept is how long the windows of limits are stored after they ended, for late settlements and clocks that
	// differ. One that is needed later is summed up again from the holds.
	windowKept = time.Hour
	// maxPruned bounds the windows, and the idempotency keys, that one sweep deletes at once, and maxPruneRuns how often it does.
	maxPruned, maxPruneRuns = 1000, 50
)

// Sweep settles holds whose lease ran out at their last checkpoint, and returns how many it settled. Any number of
// replicas may sweep at once: each hold is settled by one of them. A run is bounded; what is left is for the next, which begins
// behind the last hold of this one: holds that can't be settled keep no others from it.
func (l *Ledger) Sweep(ctx context.Context) (int, error) {
	swept, failures := 0, []error(nil)
	for range maxSweepRuns {
		after := l.swept.Load()
		holds, err := l.store.ExpiredHolds(ctx, l.now(), *after, sweepBatch)
		if err != nil {
			return swept, err
		}
		n, err := l.sweepAll(ctx, holds)
		swept += n
		if errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return swept, err
		}
		if err != nil {
			failures = append(failures, err)
		}
		last := Hold{}
		if len(holds) == sweepBatch {
			last = holds[len(holds)-1]
		}
		l.swept.CompareAndSwap(after, &last)
		if last.ID == "" {
			break
		}
	}
	failures = append(failures,
		prune(ctx, l.store.PruneWindows, l.now().Add(-windowKept)),
		prune(ctx, l.store.PruneCallKeys, l.now().Add(-idempotency.Kept)))
	return swept, errors.Join(failures...)
}

// prune deletes what is from that time or before, until nothing is left or the sweep has deleted enough.
func prune(ctx context.Context, deleteSome func(ctx context.Context, before time.Time, limit int) (int, error), before time.Time) error {
	for range maxPruneRuns {
		if n, err := deleteSome(ctx, before, maxPruned); err != nil || n < maxPruned {
			return err
		}
	}
	return nil
}

// sweepAll settles many at once, because writes that come together are committed together. Its error joins those of the holds that could
// not be settled.
func (l *Ledger) sweepAll(ctx context.Context, holds []Hold) (int, error) {
	var swept atomic.Int64
	failures := make([]error, len(holds))
	var group errgroup.Group
	group.SetLimit(sweepAtOnce)
	for i, h := range holds {
		group.Go(func() error {
			done, err := l.sweep(ctx, h)
			if done {
				swept.Add(1)
			}
			if err != nil {
				failures[i] = fmt.Errorf("hold %s: %w", h.ID, err)
			}
			return nil
		})
	}
	_ = group.Wait() // it returns none: each hold's error is kept
	return int(swept.Load()), errors.Join(failures...)
}

// sweep settles one hold, unless it was settled or extended meanwhile. A checkpoint that cannot be priced or booked must not keep the hold
// open forever: then its amount is charged, and if not even that can be booked, nothing.
func (l *Ledger) sweep(ctx context.Context, h Hold) (done bool, err error) {
	done, err = l.sweepAt(ctx, h, func(_ *settling, h Hold) (Usage, int64, error) {
		if h.UsedCost > 0 {
			return h.Used, min(h.UsedCost, h.Amount), nil
		}
		cost, err := h.cost(h.Used)
		return h.Used, cost, err
	})
	if unbillable(err) {
		l.log.ErrorContext(ctx, "the last checkpoint of an abandoned hold cannot be billed; charging the held amount", "hold", h.ID,
			"account", h.AccountID, "charged", h.Amount, "error", err)
		done, err = l.sweepAt(ctx, h, func(_ *settling, h Hold) (Usage, int64, error) { return h.Used, h.Amount, nil })
	}
	if unbillable(err) {
		l.log.ErrorContext(ctx, "an abandoned hold cannot be billed; charging nothing", "hold", h.ID, "account", h.AccountID, "error", err)
		done, err = l.sweepAt(ctx, h, func(*settling, Hold) (Usage, int64, error) { return Usage{}, 0, nil })
	}
	return done, err
}

// unbillable tells a cost that cannot be priced or booked from failures that another attempt may not have.
func unbillable(err error) bool { return is[*UsageError](err) || is[*UncountableError](err) }

func (l *Ledger) sweepAt(ctx context.Context, h Hold, price func(*settling, Hold) (Usage, int64, error)) (done bool, err error) {
	c := &settling{
		l: l, known: &h, sweep: true, price: price,
		Settlement: Settlement{HoldID: h.ID, Outcome: OutcomeAbandoned, Estimated: true},
	}
	if _, err := c.run(ctx); err != nil || c.left {
		return false, err
	}
	l.log.WarnContext(ctx, "abandoned hold settled at its last checkpoint", "hold", h.ID, "account", h.AccountID, "cost", c.cost)
	return true, nil
}

// Run sweeps every interval until ctx ends.
func (l *Ledger) Run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if _, err := l.Sweep(ctx); err != nil && ctx.Err() == nil {
			l.log.ErrorContext(ctx, "settling abandoned holds failed; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
