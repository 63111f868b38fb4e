package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/idempotency"
)

// Once has a call made at most once.
type Once struct {
	// Key is a digest of the caller and the caller's idempotency key; empty when the call may be repeated.
	Key string
	// RequestDigest stands for the caller's request: a key serves no other one.
	RequestDigest string
}

// CallKey is what is kept of an idempotency key.
type CallKey struct {
	// ID is a digest of the account and Once.Key.
	ID            string
	RequestDigest string
	// RequestID is that of the newest call under the key.
	RequestID  string
	CreateTime time.Time
}

// RepeatedError says that a call under an idempotency key is not made, because it was made before.
type RepeatedError struct {
	// RequestID is that of the call; empty when the key was used for another request.
	RequestID string
	// Running is true while the call runs; then its Cost, in nano-dollars, is not known.
	Running bool
	Cost    int64
}

// Error names the call.
func (e *RepeatedError) Error() string { return "the idempotency key was used before: " + e.RequestID }

func (r *reserving) callKeyID() string { return idempotency.Digest(r.AccountID, r.Once.Key) }

// decideOnce refuses a call whose idempotency key belongs to another call that runs, or that ended with something billed. A
// call that ended without either gives its key back, so that a repetition can succeed. The key is written with the hold.
func (r *reserving) decideOnce(ctx context.Context, tx Tx) (answer, error) {
	known, err := tx.CallKey(ctx, r.callKeyID())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return answer{}, err
	}
	now := r.l.now()
	if err == nil && known.CreateTime.After(now.Add(-idempotency.Kept)) && known.RequestID != r.RequestID {
		refusal, err := r.repeats(ctx, tx, known)
		if err != nil || refusal != nil {
			return answer{refusal: refusal}, err
		}
	}
	a, err := r.decideCall(ctx, tx)
	if err != nil || a.refusal != nil || known.RequestID == r.RequestID {
		return a, err
	}
	return a, tx.SaveCallKey(ctx, CallKey{ID: r.callKeyID(), RequestDigest: r.Once.RequestDigest, RequestID: r.RequestID, CreateTime: now}, known.RequestID)
}

// repeats returns why a call is not made; nil when it is made.
func (r *reserving) repeats(ctx context.Context, tx Tx, known CallKey) (refusal, err error) {
	if known.RequestDigest != r.Once.RequestDigest {
		return &RepeatedError{}, nil
	}
	id, former := r.l.holdIDs(r.AccountID, known.RequestID)
	before, err := either(ctx, tx, id, former)
	switch {
	case errors.Is(err, ErrNotFound): // holds are kept for longer than keys, so it is a key without a call
		return nil, nil //nolint:nilnil // no refusal
	case err != nil:
		return nil, err
	case before.State == StateOpen:
		return &RepeatedError{RequestID: known.RequestID, Running: true}, nil
	case before.Used == (Usage{}) && before.Cost == 0 && before.Outcome != OutcomeCompleted:
		return nil, nil //nolint:nilnil // no refusal
	}
	return &RepeatedError{RequestID: known.RequestID, Cost: before.Cost}, nil
}
