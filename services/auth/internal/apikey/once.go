package apikey

import (
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/idempotency"
)

// Once has a request make at most one key.
type Once struct {
	// Key is the caller's idempotency key; empty when the request may be repeated.
	Key string
	// RequestDigest stands for the request: an idempotency key serves no other one.
	RequestDigest string
}

// by returns Once as it is stored: for a caller, who may be another key, in an account.
func (o Once) by(m Maker) Once {
	caller := "user/" + m.UserID
	if m.APIKeyID != "" {
		caller = "key/" + m.APIKeyID
	}
	o.Key = idempotency.Digest(m.AccountID, caller, o.Key)
	return o
}

// CheckRepeated returns the error for a request under an idempotency key that made a key before; nil when that is too long ago.
func (o Once) CheckRepeated(madeID, digest string, made, now time.Time) error {
	switch {
	case !made.After(now.Add(-idempotency.Kept)):
		return nil
	case digest != o.RequestDigest:
		return idempotency.Reused()
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN,
		"The request with this Idempotency-Key made the API key %s, whose secret is shown only once. If the secret is lost, delete that key and create another one with a new Idempotency-Key.",
		madeID).With("api_key_id", madeID)
}
