package provider

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/platform/wait"
)

// Retry says how calls are repeated. The zero value repeats none.
type Retry struct {
	// Tries are the attempts of a call, the first included.
	Tries int
	// Base is the longest wait before the first retry; it doubles with each further one, up to Limit. Defaults: 500 ms
	// and 8 s.
	Base, Limit time.Duration
	// Patience is the longest wait that a provider's Retry-After may ask for; an answer that asks for more is final.
	// Default 10 s.
	Patience time.Duration
	// Safe reports whether a request may be sent twice; default: Idempotent.
	Safe func(*http.Request) bool
	// Pace waits until the provider's rate limit has room for one more call; may be nil.
	Pace func(context.Context) error
	// Random returns a number from 0 to 1; default: math/rand.
	Random func() float64
}

func (r Retry) withDefaults() Retry {
	r.Base = cmp.Or(r.Base, 500*time.Millisecond)
	r.Limit = cmp.Or(r.Limit, 8*time.Second)
	r.Patience = cmp.Or(r.Patience, 10*time.Second)
	if r.Safe == nil {
		r.Safe = Idempotent
	}
	if r.Random == nil {
		r.Random = rand.Float64
	}
	return r
}

// Idempotent reports whether a request has the same effect when it is sent twice: by its method, or because it has an
// idempotency key.
func Idempotent(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	default:
		return r.Header.Get("Idempotency-Key") != ""
	}
}

// retry makes a call, and repeats it while that is safe and has a chance.
func (t *Transport) retry(request *http.Request) (*http.Response, error) {
	policy := t.config.Retry
	t.budget.Called()
	safe := policy.Safe(request) && (request.Body == nil || request.Body == http.NoBody || request.GetBody != nil)
	for retry := 1; ; retry++ {
		response, err := t.once(request)
		if !safe || retry >= policy.Tries || !t.again(request.Context(), retry, response, err) {
			return response, err
		}
		if response != nil { // the connection is used again
			_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
			_ = response.Body.Close()
		}
		if request, err = rewound(request); err != nil {
			return nil, err
		}
	}
}

// again decides whether a call is repeated, and waits until then.
func (t *Transport) again(ctx context.Context, retry int, response *http.Response, err error) bool {
	policy := t.config.Retry
	if ctx.Err() != nil || !Repeatable(response, err) {
		return false
	}
	delay := Backoff(retry, policy.Base, policy.Limit, policy.Random)
	if response != nil {
		asked := RetryAfter(response.Header, time.Now())
		if asked > policy.Patience {
			return false
		}
		delay = max(delay, asked)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
		return false // the wait would use up the time that the answer needs
	}
	if !t.budget.Spend() || wait.For(ctx, delay) != nil {
		return false
	}
	if policy.Pace != nil && policy.Pace(ctx) != nil {
		return false
	}
	t.metrics.retried(ctx, reasonOf(response, err))
	return true
}

func reasonOf(response *http.Response, err error) string {
	if err != nil {
		return string(failed)
	}
	return string(byStatus(response.StatusCode))
}

// Repeatable reports whether another attempt has a chance: after the provider's own failures, a rate limit, and
// connections that broke, but not after a timeout, which has cost too much time already, and not after Trivet's refusals.
func Repeatable(response *http.Response, err error) bool {
	if err != nil {
		return repeatableError(err)
	}
	if response.Header.Get("X-Should-Retry") == "false" || response.Header.Get("Stripe-Should-Retry") == "false" {
		return false
	}
	switch response.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusConflict: // Stripe says so when it is safe
		return response.Header.Get("Stripe-Should-Retry") == "true"
	default:
		return false
	}
}

func repeatableError(err error) bool {
	var busy *BusyError
	var open *OpenError
	var network *net.OpError
	switch {
	case errors.As(err, &busy), errors.As(err, &open), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrIdle):
		return false
	case errors.As(err, &network) && network.Op == "dial":
		return true
	}
	timed, ok := errors.AsType[net.Error](err)
	return !ok || !timed.Timeout()
}

// rewound returns the request with its body from the beginning.
func rewound(request *http.Request) (*http.Request, error) {
	if request.GetBody == nil {
		return request, nil
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, err
	}
	again := *request
	again.Body = body
	return &again, nil
}
