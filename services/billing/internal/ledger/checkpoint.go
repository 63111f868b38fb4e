package ledger

import (
	"context"
	"errors"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Checkpoint records what a running call has used and extends its hold's lease, which it returns. Neither ever goes back.
// Errors: INVALID_ARGUMENT, NOT_FOUND, CONFLICT (the hold is closed), SERVICE_UNAVAILABLE.
func (l *Ledger) Checkpoint(ctx context.Context, holdID string, used Usage) (time.Time, error) {
	if !used.sane() {
		return time.Time{}, absurd(used)
	}
	lease, err := l.store.Checkpoint(ctx, holdID, used, l.now().Add(l.lease))
	if !errors.Is(err, ErrNotFound) {
		return lease, asPublic(err, "recording a checkpoint")
	}
	switch _, err := l.store.Hold(ctx, holdID); {
	case errors.Is(err, ErrNotFound):
		return time.Time{}, holdNotFound(holdID)
	case err != nil:
		return time.Time{}, asPublic(err, "recording a checkpoint")
	default:
		return time.Time{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "The hold %q is closed: settle it to adjust the charge.", holdID).
			Field("holdId", "is closed")
	}
}
