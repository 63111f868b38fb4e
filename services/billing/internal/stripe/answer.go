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

// answer is what the SDK keeps to itself of how a call was answered: it has no headers of an answer that isn't JSON, and
// none of its errors tell an unreadable answer from none.
type answer struct {
	status int // 0: none came
	after  time.Duration
}

type answerKey struct{}

// listen returns a context for one call, and where its answer is noted.
func listen(ctx context.Context) (context.Context, *answer) {
	a := &answer{}
	return context.WithValue(ctx, answerKey{}, a), a
}

// listener notes the answers of calls that are listened to.
type listener struct{ next http.RoundTripper }

// RoundTrip makes the call.
func (l listener) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(r)
	if a, ok := r.Context().Value(answerKey{}).(*answer); ok && err == nil {
		a.status, a.after = response.StatusCode, retryAfter(response.Header, time.Now())
	}
	return response, err
}

// listening is an HTTP client that notes answers, and goes nowhere else: Stripe's API redirects nobody.
func listening(c *http.Client) *http.Client {
	heard := *c
	if heard.Transport == nil {
		heard.Transport = http.DefaultTransport
	}
	heard.Transport = listener{heard.Transport}
	heard.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &heard
}

// retryAfter reads the header of that name, in seconds or as a date; 0 without one that makes sense.
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

// later marks an error of a call that Stripe wants no sooner repeated.
func (a *answer) later(err error) error {
	turnedAway := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
	if err == nil || !turnedAway || a.after <= 0 {
		return err
	}
	return &mirror.LaterError{Err: err, After: a.after}
}

// unread says that no answer came, or none that can be read. The SDK's own errors quote what it can't read, which may be
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

// missing tells whether Stripe said that an object isn't there: one that a path names, or also one that a parameter names.
func missing(api *sdk.Error, byParameter bool) bool {
	return api.Code == sdk.ErrorCodeResourceMissing &&
		(api.HTTPStatusCode == http.StatusNotFound || byParameter && api.HTTPStatusCode == http.StatusBadRequest)
}
