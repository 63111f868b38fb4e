package provider_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/provider"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWhoseFailureItIs: the breaker and the health of a provider count only what the provider, or the way to it, is to blame for.
func TestWhoseFailureItIs(t *testing.T) {
	released := fmt.Errorf("the form is not kept any more: %w", context.Canceled)
	waits := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	streams := func(read func(context.Context) error) roundTrip {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: body(func() error { return read(r.Context()) })}, nil
		}
	}
	left := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	breaks := func(err error) roundTrip { return func(*http.Request) (*http.Response, error) { return nil, err } }
	within := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
	}
	leaves := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(5*time.Second, cancel)
		return ctx, cancel
	}
	stops := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(5*time.Second, func() { cancel(errors.New("the process stops")) })
		return ctx, func() { cancel(nil) }
	}
	for name, c := range map[string]struct {
		provider roundTrip
		context  func(context.Context) (context.Context, context.CancelFunc)
		counts   bool
	}{
		"the caller leaves before the answer":             {waits, leaves, false},
		"the caller leaves within the answer":             {streams(left), leaves, false},
		"the process stops before the answer":             {waits, stops, false},
		"the process stops within the answer":             {streams(left), stops, false},
		"a short deadline before the answer":              {waits, within(time.Second - 1), false},
		"a short deadline within the answer":              {streams(left), within(time.Millisecond), false},
		"a form that is not sent again":                   {breaks(released), nil, false},
		"a form that is not sent again, by another layer": {breaks(fmt.Errorf("http: %w", released)), nil, false},
		"a connection that breaks after the caller left":  {func(r *http.Request) (*http.Response, error) { _, _ = waits(r); return nil, io.ErrUnexpectedEOF }, leaves, false},
		"a limit of the rate":                             {answers(429), nil, false},
		"an error of the caller":                          {answers(400), nil, false},
		"a long deadline before the answer":               {waits, within(time.Second), true},
		"a long deadline within the answer":               {streams(left), within(time.Minute), true},
		"no connection":                                   {breaks(errors.New("connection refused")), nil, true},
		"a connection that breaks":                        {breaks(io.ErrUnexpectedEOF), nil, true},
		"an answer that breaks off":                       {streams(func(context.Context) error { return io.ErrUnexpectedEOF }), nil, true},
		"silence":                                         {streams(func(context.Context) error { return provider.ErrIdle }), nil, true},
		"an error of the server":                          {answers(500), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failed []bool
				transport, err := provider.New(provider.Config{
					Integration: "openai", Base: c.provider, Breaker: provider.Breaker{Failures: 1}, IdleTimeout: time.Hour,
					Ended: func(e provider.End) { failed = append(failed, e.Failed && !e.RateLimited) },
				}, slog.New(slog.DiscardHandler), noop.NewMeterProvider().Meter("test"))
				require.NoError(t, err)
				ctx := t.Context()
				if c.context != nil {
					var cancel context.CancelFunc
					ctx, cancel = c.context(ctx)
					defer cancel()
				}
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://provider.test/", strings.NewReader("{}"))
				require.NoError(t, err)
				if response, err := transport.RoundTrip(request); err == nil {
					_, _ = io.Copy(io.Discard, response.Body)
					require.NoError(t, response.Body.Close())
				}
				want := provider.Closed
				if c.counts {
					want = provider.Open
				}
				require.Equal(t, want, transport.State())
				if c.counts {
					require.Equal(t, []bool{true}, failed)
				} else {
					require.NotContains(t, failed, true)
				}
			})
		})
	}
}

func answers(status int) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	}
}

// body is one whose first read fails.
type body func() error

// Read implements io.Reader.
func (b body) Read([]byte) (int, error) { return 0, b() }

// Close implements io.Closer.
func (body) Close() error { return nil }
