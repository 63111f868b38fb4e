package provider_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

// scripted answers one call after another; the last answer repeats.
type scripted struct {
	steps  []step
	calls  int
	bodies []string
	times  []time.Time
}

// step is an answer: a status, an error, a body that breaks off, or silence.
type step struct {
	status int
	header http.Header
	err    error
	cut    bool
	silent bool
	body   string
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	next := s.steps[min(s.calls, len(s.steps)-1)]
	s.calls++
	s.times = append(s.times, time.Now())
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		s.bodies = append(s.bodies, string(body))
	}
	if next.silent {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if next.err != nil {
		return nil, next.err
	}
	h := next.header
	if h == nil {
		h = http.Header{}
	}
	var body io.Reader = strings.NewReader(next.body)
	if next.cut {
		body = io.MultiReader(strings.NewReader("{"), broken{})
	}
	return &http.Response{StatusCode: next.status, Header: h, Body: io.NopCloser(body), Request: r}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

var (
	reset  = &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	nobody = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
)

// retried makes a call in a bubble and returns its result.
type retried struct {
	*scripted
	metrics  *telemetry.Metrics
	retry    *provider.Retry
	response *http.Response
	err      error
	took     time.Duration
}

// most is the random number that makes each pause as long as it can be.
func most() float64 { return 1 }

func retryOf(t *testing.T, config provider.Config, retries provider.Retries, steps ...step) *retried {
	t.Helper()
	r := &retried{scripted: &scripted{steps: steps}}
	var err error
	r.metrics, err = telemetry.NewMetrics("test", "v0")
	require.NoError(t, err)
	config.Integration, config.Base = "stripe", r.scripted
	transport, err := provider.New(config, telemetry.NewLogger(io.Discard, telemetry.Config{}), r.metrics.Meter("provider"))
	require.NoError(t, err)
	if retries.Random == nil {
		retries.Random = most
	}
	retries.Delay = time.Second
	r.retry = provider.NewRetry(transport, transport, retries)
	t.Cleanup(func() {
		transport.Close()
		require.NoError(t, r.metrics.Shutdown(context.Background()))
	})
	return r
}

func (r *retried) call(t *testing.T, ctx context.Context, method, key string) {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("amount=7")
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://stripe.test/v1/x", body)
	require.NoError(t, err)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	begin := time.Now()
	r.response, r.err = r.retry.RoundTrip(request) //nolint:bodyclose // the body is in memory
	r.took = time.Since(begin)
}

// repeated is the count of the metric.
func (r *retried) repeated(t *testing.T) (sum int) {
	t.Helper()
	families, err := r.metrics.Registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, one := range family.GetMetric() {
			if family.GetName() == "trivet_provider_retries_total" {
				sum += int(one.GetCounter().GetValue())
			}
		}
	}
	return sum
}

func limited(after string) step {
	return step{status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {after}}}
}

// What is repeated, how often, and after which pause. Each pause is the longest possible: 1 s, 2 s.
func TestRetry(t *testing.T) {
	good := step{status: http.StatusOK, body: "{}"}
	for name, c := range map[string]struct {
		method, key string
		steps       []step
		calls       int
		status      int // 0: an error
		took        time.Duration
	}{
		"a good answer":                    {"GET", "", []step{good}, 1, 200, 0},
		"a read, 500":                      {"GET", "", []step{{status: 500}, good}, 2, 200, time.Second},
		"a read, 503 always":               {"GET", "", []step{{status: 503}}, 3, 503, 3 * time.Second},
		"a read, 408":                      {"GET", "", []step{{status: 408}, good}, 2, 200, time.Second},
		"a read, 501":                      {"GET", "", []step{{status: 501}}, 1, 501, 0},
		"a read, 400":                      {"GET", "", []step{{status: 400}}, 1, 400, 0},
		"a read, reset":                    {"GET", "", []step{{err: reset}, {err: nobody}, good}, 3, 200, 3 * time.Second},
		"a read whose answer breaks off":   {"GET", "", []step{{status: 200, cut: true}, good}, 2, 200, time.Second},
		"a read, limited":                  {"GET", "", []step{limited("4"), good}, 2, 200, 4 * time.Second},
		"limited for less than the pause":  {"GET", "", []step{limited("0"), good}, 2, 200, time.Second},
		"limited for longer than patience": {"GET", "", []step{limited("6")}, 1, 429, 0},
		"a read, silence":                  {"GET", "", []step{{silent: true}, good}, 2, 200, 11 * time.Second},
		"a deletion":                       {"DELETE", "", []step{{err: reset}, good}, 2, 200, time.Second},
		"a write with a key":               {"POST", "k", []step{{err: reset}, {status: 503}, good}, 3, 200, 3 * time.Second},
		"a write with a key, limited":      {"POST", "k", []step{limited("1"), good}, 2, 200, time.Second},
		"a write without a key, 429":       {"POST", "", []step{limited("1")}, 1, 429, 0},
		"a write without a key, 500":       {"POST", "", []step{{status: 500}}, 1, 500, 0},
		"a write without a key, reset":     {"POST", "", []step{{err: reset}}, 1, 0, 0},
		// What the first attempt of a write did is unknown, and a refusal of the next one does not tell.
		"unknown, then limited":            {"POST", "k", []step{{err: reset}, limited("60")}, 2, 0, time.Second},
		"unknown, then a rejected key":     {"POST", "k", []step{{status: 503}, {status: 401}}, 2, 503, time.Second},
		"unknown, then no connection":      {"POST", "k", []step{{status: 500}, {err: nobody}}, 3, 500, 3 * time.Second},
		"unknown, then the answer":         {"POST", "k", []step{{err: reset}, {status: 402}}, 2, 402, time.Second},
		"no connection, then limited":      {"POST", "k", []step{{err: nobody}, limited("60")}, 2, 429, time.Second},
		"limited, then a rejected key":     {"POST", "k", []step{limited("1"), {status: 401}}, 2, 401, time.Second},
		"a read, unknown and then limited": {"GET", "", []step{{err: reset}, limited("60")}, 2, 429, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := retryOf(t, provider.Config{}, provider.Retries{ReadTimeout: 10 * time.Second}, c.steps...)
				r.call(t, t.Context(), c.method, c.key)
				require.Equal(t, c.calls, r.calls)
				require.Equal(t, c.took, r.took)
				for _, body := range r.bodies {
					require.Equal(t, "amount=7", body, "each attempt sends the whole body")
				}
				if c.status == 0 {
					require.ErrorIs(t, r.err, syscall.ECONNRESET)
					return
				}
				require.NoError(t, r.err)
				require.Equal(t, c.status, r.response.StatusCode)
				_, err := io.ReadAll(r.response.Body)
				require.NoError(t, err)
				require.Equal(t, c.calls-1, r.repeated(t))
			})
		})
	}
}

func TestRetryRespectsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retryOf(t, provider.Config{}, provider.Retries{}, step{status: 500})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		r.call(t, ctx, http.MethodGet, "")
		require.Equal(t, 2, r.calls, "the second pause would end after the deadline")
		require.Equal(t, time.Second, r.took)
		require.Equal(t, 500, r.response.StatusCode, "the caller gets the answer that there is")

		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, leave)
		r.call(t, ctx, http.MethodGet, "")
		require.Equal(t, 3, r.calls, "a caller who leaves ends the pause")
		require.Equal(t, time.Second/2, r.took)
	})
}

func TestRetriesHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retryOf(t, provider.Config{}, provider.Retries{Random: func() float64 { return 0 }}, step{status: 500})
		for range 100 {
			r.call(t, t.Context(), http.MethodGet, "")
		}
		require.InDelta(t, 100+20+20, r.calls, 1, "20 are saved up, and each five calls add one")
	})
}

func TestRepetitionsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paced := 0
		retries := provider.Retries{Pace: func(*http.Request) error {
			if paced++; paced == 2 {
				return errors.New("no time left")
			}
			time.Sleep(time.Minute)
			return nil
		}}
		r := retryOf(t, provider.Config{}, retries, step{status: 500})
		r.call(t, t.Context(), http.MethodGet, "")
		require.Equal(t, 2, r.calls)
		require.Equal(t, 2, paced)
		require.Equal(t, 3*time.Second+time.Minute, r.took)
	})
}

// An open breaker ends a call at once, and a call that only one of its attempts can have done stays unknown.
func TestRetryAndTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := provider.Config{Breaker: provider.Breaker{Failures: 2}, Unguarded: func(r *http.Request) bool { return r.Method == http.MethodHead }}
		r := retryOf(t, config, provider.Retries{}, step{err: reset}, step{err: reset}, step{status: 200})
		r.call(t, t.Context(), http.MethodPost, "k")
		require.Equal(t, 2, r.calls)
		require.ErrorIs(t, r.err, syscall.ECONNRESET, "an open breaker does not tell what the attempts before it did")
		var open *provider.OpenError
		r.call(t, t.Context(), http.MethodGet, "")
		require.ErrorAs(t, r.err, &open)
		require.Equal(t, 2, r.calls)
		require.Zero(t, r.took)
		r.call(t, t.Context(), http.MethodHead, "")
		require.NoError(t, r.err, "a call that the breaker does not guard")
		r.call(t, t.Context(), http.MethodGet, "")
		require.ErrorAs(t, r.err, &open, "it did not close the breaker")
		time.Sleep(5 * time.Second)
		r.call(t, t.Context(), http.MethodGet, "")
		require.NoError(t, r.err)
	})
}

func TestAnswersThatAreReadWholeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retryOf(t, provider.Config{}, provider.Retries{}, step{status: 200, body: strings.Repeat("x", 32<<20+1)}, step{status: 200, body: strings.Repeat("x", 32<<20)})
		r.call(t, t.Context(), http.MethodGet, "")
		require.ErrorIs(t, r.err, provider.ErrTooLarge)
		require.Equal(t, 1, r.calls)
		r.call(t, t.Context(), http.MethodGet, "")
		require.NoError(t, r.err)
	})
}
