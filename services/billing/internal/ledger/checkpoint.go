package ledger

import (
	"context"
	"errors"
	"time"
)

// Checkpoint records what a running call has used and extends its hold's lease, which it returns. cost is the cost so far of a call that was reserved
// with Pricing, and 0 for others. Nothing is ever lowered. Errors: *UsageError, *HoldNotFoundError, *HoldClosedError, ErrUnavailable.
func (l *Ledger) Checkpoint(ctx context.Context, holdID string, used Usage, cost int64) (time.Time, error) {
	if !used.sane() {
		return time.Time{}, &UsageError{used}
	}
	known, err := l.find(ctx, holdID)
	if err != nil {
		return time.Time{}, err
	}
	var h Hold
	err = l.store.Write(ctx, known.AccountID, func(ctx context.Context, tx Tx) (err error) {
		if h, err = tx.Hold(ctx, holdID); err != nil || h.State != StateOpen {
			return err
		}
		h.Used, h.UsedCost = h.Used.most(used), max(h.UsedCost, cost)
		if until := l.now().Add(l.lease); until.After(h.LeaseTime) {
			h.LeaseTime = until
		}
		return tx.ExtendHold(ctx, h)
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return time.Time{}, &HoldNotFoundError{holdID}
	case err != nil:
		return time.Time{}, err
	case h.State != StateOpen:
		return time.Time{}, &HoldClosedError{holdID}
	}
	return h.LeaseTime, nil
}
