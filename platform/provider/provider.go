// Package provider is how Trivet calls other companies' HTTP APIs: one http.RoundTripper, given to each provider's SDK,
// with the same timeouts, bulkhead, metrics and log line for all.
package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/tracing"
)

// Config says how one provider is called. Only Integration is needed.
type Config struct {
	// Integration names the provider in metrics and logs, such as "openai".
	Integration string
	// Target names one of several servers of the integration; may be empty.
	Target string
	// Method names a call in metrics and logs, such as "chat.completions". It must return few different names, never one
	// with an id in it. Default: the HTTP method.
	Method func(*http.Request) string

	ConnectTimeout time.Duration // of name lookup and TCP; default 5 s
	TLSTimeout     time.Duration // of the TLS handshake; default 5 s
	HeaderTimeout  time.Duration // from the request's end to the answer's first byte; default 60 s
	IdleTimeout    time.Duration // between two chunks of the answer's body; default 60 s. There is no total timeout.

	// MaxConcurrent bounds the calls under way, their bodies included; beyond, calls fail with *BusyError. Default 1024.
	MaxConcurrent int
	// Ended, when set, is called when a call has ended. It must be quick.
	Ended func(End)
	// Breaker refuses calls at once while the provider fails; off by default.
	Breaker Breaker
	// Unguarded names calls that the breaker neither counts nor refuses; default: none.
	Unguarded func(*http.Request) bool
	// MaxIdleConns bounds the idle connections kept, all to one host if need be. Default 256.
	MaxIdleConns int
	// Relay leaves bodies as they come, never asking for compression behind the caller's back.
	Relay bool
	// Base makes the connections; default: a pool with the settings here. Tests put their own in its place. A body that is
	// closed while it is read must fail the read, as those of net/http do.
	Base http.RoundTripper
	// HTTP2 allows HTTP/2. HTTP/1.1 costs less for streams between two machines.
	HTTP2 bool
}

func (c Config) withDefaults() Config {
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 5*time.Second)
	c.TLSTimeout = cmp.Or(c.TLSTimeout, 5*time.Second)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, time.Minute)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, time.Minute)
	c.MaxConcurrent = cmp.Or(c.MaxConcurrent, 1024)
	c.MaxIdleConns = cmp.Or(c.MaxIdleConns, 256)
	if c.Method == nil {
		c.Method = func(r *http.Request) string { return r.Method }
	}
	return c
}

// End is how a call ended.
type End struct {
	// Failed reports that the call did not succeed because of the provider, the network or the limits here.
	Failed bool
	// RateLimited reports that the provider refused it because of its rate limit.
	RateLimited bool
	// Latency is the time until the answer began, or until the call failed without one.
	Latency time.Duration
}

// BusyError says that a provider has as many calls under way as it is allowed. Retry after some are done.
type BusyError struct {
	Integration string
	Limit       int
}

// Error names the provider and the limit.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%s is called %d times at once already, which is the limit", e.Integration, e.Limit)
}

// ErrIdle ends a body whose next chunk did not come in time.
var ErrIdle = errors.New("the provider went silent in the middle of its answer")

// Transport calls one provider. It is safe for concurrent use.
type Transport struct {
	config   Config
	base     http.RoundTripper
	inFlight atomic.Int64
	breaker  *breaker // nil without one
	metrics  *instruments
	log      *slog.Logger
	span     string // the name of a call in traces
}

// New makes the transport of one provider. Close its idle connections with CloseIdleConnections.
func New(config Config, log *slog.Logger, meter metric.Meter) (*Transport, error) {
	if config.Integration == "" {
		return nil, errors.New("provider: Integration is not set")
	}
	config = config.withDefaults()
	t := &Transport{config: config, base: config.Base, log: log, span: "call " + config.Integration}
	if config.Breaker.Failures > 0 {
		t.breaker = newBreaker(config.Breaker, time.Now)
	}
	if t.base == nil {
		t.base = newBase(config)
	}
	var err error
	if t.metrics, err = newInstruments(config.Integration, config.Target, meter, t); err != nil {
		return nil, fmt.Errorf("provider %s: %w", config.Integration, err)
	}
	return t, nil
}

// Client returns an http.Client on this transport, for SDKs. It has no total timeout.
func (t *Transport) Client() *http.Client {
	return &http.Client{Transport: t, CheckRedirect: NoRedirect}
}

// NoRedirect has a client return a redirect as it is. An API does not redirect, and the address may repeat the key.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close ends what New began: idle connections and the gauges. Calls under way continue.
func (t *Transport) Close() {
	t.CloseIdleConnections()
	t.metrics.close()
}

// CloseIdleConnections closes the connections that no call uses.
func (t *Transport) CloseIdleConnections() {
	if pool, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		pool.CloseIdleConnections()
	}
}

// RoundTrip makes one call. The call counts as under way until its body is read to the end or closed; then its log line is
// written. Errors: *BusyError, *OpenError, the context's, the network's. The body's reads may end with ErrIdle.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	c := &call{t: t, method: t.config.Method(request), start: time.Now(), ctx: ctx, idle: t.idle(ctx)}
	if traced, span := tracing.Start(ctx, t.span, tracing.Client); span.On() {
		c.describe(span, request)
		request = tracing.ToProvider(traced, request)
	}
	if err := c.admit(request); err != nil {
		closeBody(request)
		c.end(err)
		return nil, err
	}
	response, err := t.base.RoundTrip(request)
	if err != nil {
		err = withoutAnswer(err)
		c.end(err)
		return nil, err
	}
	c.answer(response)
	return response, nil
}

// admit asks the bulkhead and the breaker. The request is nil for a call that is not HTTP.
func (c *call) admit(request *http.Request) error {
	t := c.t
	if t.inFlight.Add(1) > int64(t.config.MaxConcurrent) {
		return &BusyError{Integration: t.config.Integration, Limit: t.config.MaxConcurrent}
	}
	if t.breaker == nil || request != nil && t.config.Unguarded != nil && t.config.Unguarded(request) {
		return nil
	}
	p, wait, ok := t.breaker.acquire()
	if !ok {
		return &OpenError{Integration: t.config.Integration, Target: t.config.Target, Wait: wait}
	}
	c.permit, c.permitted = p, true
	return nil
}

// Wait is how long a call would be refused at once because the provider fails or has as many calls as allowed; 0 when it
// would be made.
func (t *Transport) Wait() time.Duration {
	if t.inFlight.Load() >= int64(t.config.MaxConcurrent) {
		return time.Second
	}
	if t.breaker == nil {
		return 0
	}
	return t.breaker.wait()
}

// State is the state of the breaker.
func (t *Transport) State() State {
	if t.breaker == nil {
		return Closed
	}
	return t.breaker.state()
}

type idleKey struct{}

// WithIdleTimeout returns a context whose calls have that idle timeout instead of the transport's.
func WithIdleTimeout(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, idleKey{}, d)
}

// idle is the idle timeout of a call.
func (t *Transport) idle(ctx context.Context) time.Duration {
	if d, ok := ctx.Value(idleKey{}).(time.Duration); ok && d > 0 {
		return d
	}
	return t.config.IdleTimeout
}

// closeBody keeps the RoundTripper's promise to close the request's body, also on errors.
func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}
