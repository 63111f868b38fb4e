package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	sdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// answer records how a call was answered. The SDK does not return the headers of an answer that is not JSON, and its errors do
// not distinguish an unreadable answer from a missing one.
type answer struct {
	method string // of the last attempt; "" before the first one
	status int    // 0 without an answer
	after  time.Duration
}

type answerKey struct{}

// listen returns a context for one call, and the record of its answer.
func listen(ctx context.Context) (context.Context, *answer) {
	a := &answer{}
	return context.WithValue(ctx, answerKey{}, a), a
}

// listener records the answers of calls whose context came from listen.
type listener struct{ next http.RoundTripper }

// RoundTrip makes the call.
func (l listener) RoundTrip(r *http.Request) (*http.Response, error) {
	a, ok := r.Context().Value(answerKey{}).(*answer)
	if ok {
		a.method = r.Method
	}
	response, err := l.next.RoundTrip(r)
	if ok && err == nil {
		a.status, a.after = response.StatusCode, retryAfter(response.Header, time.Now())
	}
	return response, err
}

// listening is an HTTP client that records answers and follows no redirects, because Stripe's API sends none.
func listening(c *http.Client) *http.Client {
	heard := *c
	if heard.Transport == nil {
		heard.Transport = http.DefaultTransport
	}
	heard.Transport = listener{heard.Transport}
	heard.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &heard
}

// retryAfter reads Retry-After, in seconds or as a date. It returns 0 for a missing or invalid header.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// later marks an error after which Stripe asks to wait.
func (a *answer) later(err error) error {
	if after, ok := held(err); ok {
		return &mirror.LaterError{Err: err, After: after}
	}
	turnedAway := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
	if err == nil || !turnedAway || a.after <= 0 {
		return err
	}
	return &mirror.LaterError{Err: err, After: a.after}
}

// unread returns the error for a missing or unreadable answer. The SDK's own errors quote the unreadable text, which may be
// anything.
func (a *answer) unread(err error) error {
	if a.status == 0 {
		return fmt.Errorf("stripe did not answer: %w", err)
	}
	said := fmt.Errorf("stripe's answer cannot be read (status %d)", a.status)
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return fmt.Errorf("%w: %w", said, ended)
		}
	}
	return said
}

// missing reports whether Stripe does not have an object that the path names or, optionally, that a parameter names.
func missing(api *sdk.Error, byParameter bool) bool {
	return api.Code == sdk.ErrorCodeResourceMissing &&
		(api.HTTPStatusCode == http.StatusNotFound || byParameter && api.HTTPStatusCode == http.StatusBadRequest)
}
