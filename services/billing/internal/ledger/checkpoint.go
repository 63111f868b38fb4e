package ledger

import (
	"context"
	"errors"
	"time"
)

// Checkpoint records what a running call has used and extends its hold's lease, which it returns. Neither ever goes back.
// Errors: *UsageError, *HoldNotFoundError, *HoldClosedError, ErrUnavailable.
func (l *Ledger) Checkpoint(ctx context.Context, holdID string, used Usage) (time.Time, error) {
	if !used.sane() {
		return time.Time{}, &UsageError{used}
	}
	lease, err := l.store.Checkpoint(ctx, holdID, used, l.now().Add(l.lease))
	if !errors.Is(err, ErrNotFound) {
		return lease, err
	}
	switch _, err := l.store.Hold(ctx, holdID); {
	case errors.Is(err, ErrNotFound):
		return time.Time{}, &HoldNotFoundError{holdID}
	case err != nil:
		return time.Time{}, err
	default:
		return time.Time{}, &HoldClosedError{holdID}
	}
}
