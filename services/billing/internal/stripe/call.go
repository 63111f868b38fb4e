package stripe

import (
	"context"
	"errors"
	"net/http"
	"time"

	sdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

// call makes one call by the SDK within the time limit, and notes how Stripe is. of is the field of the call's parameters that holds its
// context. Errors: those of package outcome.
func call[T any](ctx context.Context, c *Client, of *context.Context, fn func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx, heard := listen(ctx)
	*of = ctx
	result, err := fn()
	c.note(err)
	if err == nil {
		return result, nil
	}
	var none T
	return none, heard.outcome(err)
}

// outcome classifies the error of a call. Only a call that Stripe has refused has a RefusedError, also as a cause: whoever looks for one must not find
// that of a call that may have been done.
func (a *answer) outcome(err error) error {
	var api *sdk.Error
	if !errors.As(err, &api) {
		if after, ok := held(err); ok {
			return &outcome.BusyError{Err: err, After: after}
		}
		return &outcome.UnknownError{Err: a.unread(err), After: a.after}
	}
	refused := &outcome.RefusedError{
		Status: api.HTTPStatusCode, Type: string(api.Type), Code: string(api.Code), Param: api.Param, Message: api.Msg, RequestID: api.RequestID,
	}
	switch {
	case api.HTTPStatusCode == http.StatusTooManyRequests,
		api.HTTPStatusCode == http.StatusConflict && api.Code == sdk.ErrorCodeIdempotencyKeyInUse,
		api.HTTPStatusCode == http.StatusConflict && api.Code == sdk.ErrorCodeLockTimeout:
		return &outcome.BusyError{Err: errors.New(refused.Error()), After: a.after}
	case api.HTTPStatusCode >= http.StatusInternalServerError:
		return &outcome.UnknownError{Err: errors.New(refused.Error()), Spent: a.method == http.MethodPost, After: a.after} // only a POST has a key that Stripe knows
	default:
		return refused
	}
}

// held reports whether a call did not leave this process, and how long Stripe is left alone.
func held(err error) (time.Duration, bool) {
	if open, ok := errors.AsType[*provider.OpenError](err); ok {
		return open.Wait, true
	}
	_, busy := errors.AsType[*provider.BusyError](err)
	return time.Second, busy
}
