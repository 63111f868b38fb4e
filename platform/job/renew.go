package job

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/wait"
)

// compareTimeout bounds a comparison of clocks between two renewals. It is far shorter than two thirds of the default lease.
const compareTimeout = 500 * time.Millisecond

// run calls fn, and renews the lease meanwhile with Options.Renew.
func (h *Holder) run(ctx context.Context, fn func(ctx context.Context, h *Holder) error) error {
	if !h.options.Renew {
		return fn(ctx, h)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer cancel(nil)
	renewing.Go(func() { h.renew(ctx, cancel) })
	err := fn(ctx, h)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrLost) && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}

// renew renews the lease until ctx ends, which it ends when another run has taken the job. What fails otherwise is tried again.
func (h *Holder) renew(ctx context.Context, lost context.CancelCauseFunc) {
	for wait.For(ctx, h.options.Lease/3) == nil {
		if err := h.extend(ctx, h.now()); errors.Is(err, ErrLost) {
			lost(ErrLost)
			return
		}
		h.compareInTime(ctx)
	}
}

// now is the time of the leases.
func (h *Holder) now() time.Time { return h.options.Now().Add(time.Duration(h.behind.Load())) }

// compareClocks finds how far the machine's clock is behind that of the database server, with Options.Renew: a process whose clock is ahead by more
// than its short lease would otherwise take the job of another that works.
func (h *Holder) compareClocks(ctx context.Context) error {
	if !h.options.Renew {
		return nil
	}
	behind, err := h.db.Behind(ctx, h.options.local)
	if err == nil {
		h.behind.Store(int64(behind))
	}
	return err
}

// compareInTime compares the clocks again between two renewals. When it fails, the last difference stays.
func (h *Holder) compareInTime(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	_ = h.compareClocks(ctx)
}
