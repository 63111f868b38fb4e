package provider

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/platform/wait"
)

// maxAnswer bounds an answer that is read whole.
const maxAnswer = 32 << 20

// ErrTooLarge ends a call whose answer is larger than 32 MiB.
var ErrTooLarge = errors.New("the provider's answer is larger than 32 MiB")

// Retries says how a provider's calls are repeated.
type Retries struct {
	// Tries is the maximum number of attempts of a call; default 3. 1 means no retries.
	Tries int
	// Delay is the longest pause before the first retry. It doubles up to 8 s, and the pause is a random part of it.
	Delay time.Duration
	// Patience is the longest Retry-After that is waited for; default 5 s. A call that must wait longer is not repeated.
	Patience time.Duration
	// ReadTimeout limits one try of a read, so that a silent provider leaves time for another try; 0 sets no limit.
	ReadTimeout time.Duration
	// Again decides whether an answer is worth another try; default AgainByStatus.
	Again func(r *http.Request, status int, h http.Header) bool
	// Pace waits, before a repetition, until the provider's rate limit allows it; optional.
	Pace func(*http.Request) error
	// Random returns a number from 0 to 1; default math/rand.
	Random func() float64
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Retry repeats the calls of an SDK with small requests and answers, such as a JSON API. Each try passes the transport, so each has its
// own log line and counts in the metrics. A request is repeated only when this cannot do its work twice: reads, deletions, and requests
// with an Idempotency-Key. It reads answers whole, so that one that breaks off is repeated, too.
type Retry struct {
	next      http.RoundTripper
	transport *Transport
	config    Retries
	budget    *Budget
}

// NewRetry repeats calls of next, which leads to the transport. The transport counts the repetitions.
func NewRetry(t *Transport, next http.RoundTripper, config Retries) *Retry {
	config.Tries = cmp.Or(config.Tries, 3)
	config.Patience = cmp.Or(config.Patience, 5*time.Second)
	if config.Again == nil {
		config.Again = AgainByStatus
	}
	if config.Random == nil {
		config.Random = rand.Float64
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Retry{next: next, transport: t, config: config, budget: NewBudget(config.Now)}
}

// backoffLimit bounds the pause before a repetition.
const backoffLimit = 8 * time.Second

// AgainByStatus repeats what is limited or failed at the provider.
func AgainByStatus(_ *http.Request, status int, _ http.Header) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError && status != http.StatusNotImplemented
}

// try is the result of one attempt.
type try struct {
	response *http.Response
	err      error
}

// RoundTrip makes the call, and repeats it while that may help. Errors: as of Transport, and ErrTooLarge.
func (r *Retry) RoundTrip(request *http.Request) (*http.Response, error) {
	defer closeBody(request)
	most := 1
	if repeatable(request) {
		most = r.config.Tries
	}
	r.budget.Called()
	var unknown *try // the first try whose outcome is unknown
	for n := 1; ; n++ {
		got := r.once(request, n)
		if unknown == nil && got.unknownOutcome(request) {
			unknown = &got
		}
		if n >= most || !r.again(request, &got, n) {
			if unknown != nil && got.refused() {
				got = *unknown // a refused retry says nothing about the outcome of the earlier try
			}
			return got.response, got.err
		}
		r.transport.Retried(request.Context(), got.why())
	}
}

// repeatable reports whether a request may be sent twice: it changes nothing, or the provider does it once by its key, and its body can be
// had again.
func repeatable(r *http.Request) bool {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return false
	}
	return isRead(r) || r.Method == http.MethodDelete || r.Method == http.MethodPut || r.Header.Get("Idempotency-Key") != ""
}

func isRead(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
}

// once makes one try and reads its answer whole.
func (r *Retry) once(request *http.Request, n int) try {
	ctx := withTry(request.Context(), n)
	if r.config.ReadTimeout > 0 && isRead(request) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.config.ReadTimeout)
		defer cancel()
	}
	one := request.WithContext(ctx)
	one.GetBody = nil // net/http would repeat the request unseen
	if request.Body != nil && request.Body != http.NoBody && request.GetBody != nil {
		body, err := request.GetBody()
		if err != nil {
			return try{err: fmt.Errorf("the body of the request cannot be read again: %w", err)}
		}
		one.Body = body
	}
	response, err := r.next.RoundTrip(one)
	if err != nil {
		return try{err: err}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	_ = response.Body.Close()
	switch {
	case err != nil:
		return try{err: err}
	case len(body) > maxAnswer:
		return try{err: ErrTooLarge}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.Request = request
	return try{response: response}
}

// unknownOutcome reports whether a try may have changed something and does not say whether it did.
func (t *try) unknownOutcome(r *http.Request) bool {
	if isRead(r) || t.notSent() {
		return false
	}
	if t.err != nil {
		return !unconnected(t.err)
	}
	return t.response.StatusCode == http.StatusRequestTimeout || t.response.StatusCode >= http.StatusInternalServerError
}

// notSent reports whether a call did not leave this process.
func (t *try) notSent() bool {
	if _, open := errors.AsType[*OpenError](t.err); open {
		return true
	}
	_, busy := errors.AsType[*BusyError](t.err)
	return busy
}

// unconnected reports whether a try got no connection, so that no server has seen the request.
func unconnected(err error) bool {
	network, ok := errors.AsType[*net.OpError](err)
	return ok && (network.Op == "dial" || network.Op == "proxyconnect")
}

// refused reports whether a try was refused before the provider looked at what it asks for.
func (t *try) refused() bool {
	if t.err != nil {
		return t.notSent() || unconnected(t.err)
	}
	switch t.response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return false
}

// why names the outcome of a try for the metric.
func (t *try) why() string {
	var network net.Error
	switch {
	case t.err == nil:
		return string(byStatus(t.response.StatusCode))
	case errors.Is(t.err, context.DeadlineExceeded), errors.Is(t.err, ErrIdle), errors.As(t.err, &network) && network.Timeout():
		return string(timeout)
	default:
		return string(failed)
	}
}

// again waits until the next try, or reports false if a next try is not allowed.
func (r *Retry) again(request *http.Request, got *try, n int) bool {
	ctx := request.Context()
	delay := Backoff(n, r.config.Delay, backoffLimit, r.config.Random)
	switch {
	case ctx.Err() != nil, got.notSent(), errors.Is(got.err, ErrTooLarge):
		return false
	case got.err == nil:
		if !r.config.Again(request, got.response.StatusCode, got.response.Header) {
			return false
		}
		asked := RetryAfter(got.response.Header, r.config.Now())
		if asked > r.config.Patience {
			return false
		}
		delay = max(delay, asked)
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= delay || !r.budget.Spend() {
		return false
	}
	return wait.For(ctx, delay) == nil && (r.config.Pace == nil || r.config.Pace(request) == nil)
}

type tryKey struct{}

func withTry(ctx context.Context, n int) context.Context {
	if n == 1 {
		return ctx
	}
	return context.WithValue(ctx, tryKey{}, n)
}

// tryOf is the number of a repeated try; 0 for the first.
func tryOf(ctx context.Context) int {
	n, _ := ctx.Value(tryKey{}).(int)
	return n
}
