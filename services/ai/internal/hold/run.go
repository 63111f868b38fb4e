package hold

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

const (
	// sweepEvery is how often open holds are checked.
	sweepEvery = 500 * time.Millisecond
	// idleEvery is how often an unchanged usage is written again, to renew the lease of the hold.
	idleEvery = 10 * time.Second
	// writers is how many checkpoints are written at once.
	writers = 8
)

// Run writes checkpoints, retries settlements and logs refused calls until ctx ends. Drain takes care of what still waits then.
func (k *Keeper) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range settlers {
		workers.Go(func() { k.work(ctx) })
	}
	workers.Go(func() { k.logRefused(ctx) })
	workers.Go(func() { k.tasks.Run(ctx) })
	k.checkpoints(ctx)
	workers.Wait()
	return nil
}

// Drain settles and logs what still waits, until nothing does or ctx ends; refused calls wait for billing at most refusedPatience. Call it
// when no call runs any more and Run has returned.
func (k *Keeper) Drain(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	for range settlers {
		workers.Go(func() {
			for ctx.Err() == nil {
				select {
				case s := <-k.pending:
					k.settleNext(ctx, s, true)
				default: // another worker has the last one
					return
				}
			}
		})
	}
	workers.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, refusedPatience)
		defer cancel()
		k.drainRefused(ctx)
	})
	workers.Wait()
	k.awaitSettling(ctx)
	if n := len(k.pending); n > 0 {
		k.log.ErrorContext(ctx, "settlements still wait for billing; the sweeper will settle their holds at the last checkpoints", slog.Int("waiting", n))
		return ctx.Err()
	}
	return nil
}

// awaitSettling waits for the calls that settle, until ctx ends.
func (k *Keeper) awaitSettling(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.settling.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (k *Keeper) work(ctx context.Context) {
	for ctx.Err() == nil {
		k.next(ctx)
	}
}

// next takes one settlement; one that fails goes to the end of the queue, so that it does not block the others.
func (k *Keeper) next(ctx context.Context) {
	select {
	case <-ctx.Done():
	case s := <-k.pending:
		k.settleNext(ctx, s, false)
	}
}

// settleNext settles, or queues the settlement again. ends says that the process ends.
func (k *Keeper) settleNext(ctx context.Context, s settlement, ends bool) {
	k.inHand.Add(1)
	defer k.inHand.Add(-1)
	if k.attempt(ctx, s) {
		return
	}
	s.failures++
	unknown := s.reserve != nil && s.req.GetHoldId() == ""
	if unknown && (k.now().After(s.until) || ends && s.failures >= lastReleases) {
		k.log.WarnContext(s.ctx, "it is unknown whether billing made a hold for a call that was not made; the sweeper settles it if it exists",
			slog.String("request_id", s.reserve.GetRequestId()))
		return
	}
	_ = wait.For(ctx, delay(s.failures))
	k.enqueue(s)
}

func (k *Keeper) checkpoints(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var g errgroup.Group
		g.SetLimit(writers)
		for _, h := range k.due() {
			g.Go(func() error { h.checkpoint(ctx); return nil })
		}
		_ = g.Wait() // checkpoint has no error to return
	}
}

// due returns the holds that need a checkpoint: used more and two seconds old, or ten seconds old. The first checkpoint of a
// call with a cost of its own does not wait: without one, the sweeper knows nothing of images, minutes and characters.
func (k *Keeper) due() (due []*Hold) {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for h := range k.open {
		age := now.Sub(h.touched)
		switch {
		case h.usage == nil:
		case h.cost != nil && !h.written, age >= idleEvery, age >= checkpointEvery && h.changed():
			due = append(due, h)
		}
	}
	return due
}

// changed reports whether the usage or the cost differs from the last checkpoint. The caller holds keeper.mu.
func (h *Hold) changed() bool {
	return h.usage() != h.saved || h.cost != nil && h.cost() != h.savedCost
}

// checkpoint writes the usage so far. It may fail, for example because the hold was settled meanwhile. The next one
// carries more.
func (h *Hold) checkpoint(ctx context.Context) {
	attempt, cancel := context.WithTimeout(h.ctx, attemptTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	k := h.keeper
	usage, cost, open := h.progress()
	if !open {
		return
	}
	now := k.now()
	if _, err := k.ledger.Checkpoint(attempt, &billingv1.CheckpointRequest{HoldId: h.id, Usage: usage.Proto(), CostNanoUsd: cost}); err != nil {
		k.log.DebugContext(h.ctx, "checkpoint failed", slog.String("hold_id", h.id), slog.Any("error", err))
		return
	}
	h.saveCheckpoint(usage, cost, now)
}

// progress calls what reports the usage and the cost so far; false once the hold is settled; they must not be called after that.
func (h *Hold) progress() (usage tokens.Usage, cost int64, open bool) {
	h.keeper.mu.Lock()
	defer h.keeper.mu.Unlock()
	if _, open := h.keeper.open[h]; !open {
		return tokens.Usage{}, 0, false
	}
	if h.cost != nil {
		cost = h.cost()
	}
	return h.usage(), cost, true
}

func (h *Hold) saveCheckpoint(usage tokens.Usage, cost int64, at time.Time) {
	h.keeper.mu.Lock()
	defer h.keeper.mu.Unlock()
	h.saved, h.savedCost, h.written, h.touched = usage, cost, true, at
}
