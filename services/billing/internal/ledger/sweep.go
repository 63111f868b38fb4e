package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	sweepBatch   = 200
	sweepAtOnce  = 16
	maxSweepRuns = 50
	// keyWindowKept is how long the windows of API keys' limits are stored after they ended, for late settlements and clocks that
	// differ. One that is needed later is summed up again from the holds.
	keyWindowKept = time.Hour
	// maxPruned bounds the windows that one sweep deletes.
	maxPruned = 1000
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
	if _, err := l.store.PruneKeyWindows(ctx, l.now().Add(-keyWindowKept), maxPruned); err != nil {
		failures = append(failures, err)
	}
	return swept, errors.Join(failures...)
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
			switch err := l.sweep(ctx, h); {
			case err == nil:
				swept.Add(1)
			case errors.Is(err, ErrLost): // settled, extended, or swept by another replica
			default:
				failures[i] = fmt.Errorf("hold %s: %w", h.ID, err)
			}
			return nil
		})
	}
	_ = group.Wait() // it returns none: each hold's error is kept
	return int(swept.Load()), errors.Join(failures...)
}

// sweep settles one hold. A checkpoint that can't be priced or booked must not keep it open for ever: then its amount is charged, and if
// not even that can be booked, nothing.
func (l *Ledger) sweep(ctx context.Context, h Hold) error {
	cost, err := h.cost(h.Used)
	if err == nil {
		err = l.sweepAt(ctx, h, h.Used, cost)
	}
	if unbillable(err) {
		l.log.ErrorContext(ctx, "the last checkpoint of an abandoned hold cannot be billed; charging the held amount", "hold", h.ID,
			"account", h.AccountID, "charged", h.Amount, "error", err)
		err = l.sweepAt(ctx, h, h.Used, h.Amount)
	}
	if unbillable(err) {
		l.log.ErrorContext(ctx, "an abandoned hold cannot be billed; charging nothing", "hold", h.ID, "account", h.AccountID, "error", err)
		err = l.sweepAt(ctx, h, Usage{}, 0)
	}
	return err
}

// unbillable tells a cost that can't be priced or booked from failures that another attempt may not have.
func unbillable(err error) bool { return is[*UsageError](err) || is[*UncountableError](err) }

func (l *Ledger) sweepAt(ctx context.Context, h Hold, used Usage, cost int64) error {
	c := &settling{
		l: l, hold: h, cost: cost, sweep: true,
		Settlement: Settlement{HoldID: h.ID, Usage: used, Outcome: OutcomeAbandoned, Estimated: true},
	}
	_, err := c.run(ctx, c.charge)
	if err == nil {
		l.recent.Remove(h.ID)
		l.log.WarnContext(ctx, "abandoned hold settled at its last checkpoint", "hold", h.ID, "account", h.AccountID, "cost", cost)
	}
	return err
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
