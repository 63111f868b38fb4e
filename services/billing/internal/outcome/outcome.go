// Package outcome has the results of calls that change something at Stripe: done, refused, or unknown.
package outcome

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// RefusedError says that Stripe refused the call, and that nothing was changed.
type RefusedError struct {
	// Status is the HTTP status, and Type, Code and Param are Stripe's words for programs.
	Status            int
	Type, Code, Param string
	// Message is Stripe's text for the developer.
	Message string
	// RequestID is Stripe's id of the request.
	RequestID string
}

// Error returns Stripe's message.
func (e *RefusedError) Error() string {
	if e.Status == http.StatusUnauthorized {
		return fmt.Sprintf("stripe rejected STRIPE_SECRET_KEY (request %s)", e.RequestID)
	}
	return fmt.Sprintf("stripe refused the call with %d %s %s: %s (request %s)", e.Status, e.Type, e.Code, e.Message, e.RequestID)
}

// UnknownError says that the call may have been done, because no readable answer came. The same call with the same idempotency key
// tells, unless Spent: then Stripe repeats its failure for that key, and the outcome must be looked up before another key is used.
type UnknownError struct {
	Err   error
	Spent bool
	// After is how long Stripe asks to wait; 0 when it does not say.
	After time.Duration
}

// Error returns the cause.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("%v; it is unknown whether the call was done", e.Err)
}

// Unwrap returns the cause.
func (e *UnknownError) Unwrap() error { return e.Err }

// BusyError says that Stripe did not take the call, because it is rate limited or a call with the same key is running.
type BusyError struct {
	Err   error
	After time.Duration
}

// Error returns the cause.
func (e *BusyError) Error() string { return fmt.Sprintf("%v; nothing was changed", e.Err) }

// Unwrap returns the cause.
func (e *BusyError) Unwrap() error { return e.Err }

// Spent reports whether the idempotency key of a failed call tells nothing more: Stripe refused the call, or repeats its failure for the key. After any
// other error, also that of a call that was never made, the same call with the same key tells whether it was done.
func Spent(err error) bool {
	if unknown, ok := errors.AsType[*UnknownError](err); ok {
		return unknown.Spent
	}
	_, refused := errors.AsType[*RefusedError](err)
	return refused
}

// Silent reports whether Stripe did not answer a call or a read, or takes none now: the calls for other accounts would end like it.
func Silent(err error) bool {
	_, unknown := errors.AsType[*UnknownError](err)
	_, busy := errors.AsType[*BusyError](err)
	_, later := errors.AsType[*mirror.LaterError](err)
	_, unread := errors.AsType[*mirror.SilentError](err)
	return unknown || busy || later || unread || errors.Is(err, context.DeadlineExceeded)
}

// Missing reports whether Stripe does not have the object that the call names.
func Missing(err error) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && refused.Code == "resource_missing"
}
