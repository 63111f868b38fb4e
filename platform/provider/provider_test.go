package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a transport to a server of the test, with what it logged and counted.
type fixture struct {
	*provider.Transport
	url     string
	metrics *telemetry.Metrics
	mu      sync.Mutex
	logged  bytes.Buffer
}

func (r *fixture) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logged.Write(p)
}

func newFixture(t *testing.T, config provider.Config, handler http.HandlerFunc) *fixture {
	t.Helper()
	server := httptest.NewServer(handler)
	r := &fixture{url: server.URL}
	var err error
	r.metrics, err = telemetry.NewMetrics("test", "v0")
	require.NoError(t, err)
	config.Integration = "openai"
	config.Method = func(r *http.Request) string { return strings.Trim(r.URL.Path, "/") }
	r.Transport, err = provider.New(config, telemetry.NewLogger(r, telemetry.Config{}), r.metrics.Meter("provider"))
	require.NoError(t, err)
	t.Cleanup(func() {
		r.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
		require.NoError(t, r.metrics.Shutdown(context.Background()))
	})
	return r
}

func (r *fixture) get(t *testing.T, ctx context.Context, path string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	require.NoError(t, err)
	return r.Client().Do(request)
}

// lines returns the log lines so far.
func (r *fixture) lines(t *testing.T) []map[string]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []map[string]any
	for line := range bytes.Lines(r.logged.Bytes()) {
		one := map[string]any{}
		require.NoError(t, json.Unmarshal(line, &one))
		out = append(out, one)
	}
	return out
}

// last asserts the outcome of the last call in its log line and in the counter, and that nothing is left under way.
func (r *fixture) last(t *testing.T, method, outcome string, status int) map[string]any {
	t.Helper()
	lines := r.lines(t)
	require.NotEmpty(t, lines)
	line := lines[len(lines)-1]
	require.Equal(t, "provider call", line["msg"])
	require.Equal(t, "openai", line["integration"])
	require.Equal(t, method, line["method"])
	require.Equal(t, outcome, line["outcome"])
	require.EqualValues(t, status, line["status"])
	require.Equal(t, outcome == "success", line["success"])
	require.Contains(t, line, "latency_ms")
	require.Zero(t, r.metric(t, "trivet_provider_calls_in_flight", map[string]string{"integration": "openai", "target": "openai"}))
	labels := map[string]string{"integration": "openai", "target": "openai", "method": method, "outcome": outcome}
	require.Positive(t, r.metric(t, "trivet_provider_calls_total", labels))
	require.Positive(t, r.metric(t, "trivet_provider_call_duration_seconds", labels))
	return line
}

// metric returns the value (of a histogram: the count) of one series, -1 if none exists.
func (r *fixture) metric(t *testing.T, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := r.metrics.Registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, one := range family.GetMetric() {
			got := map[string]string{}
			for _, l := range one.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if family.GetName() == name && maps.Equal(got, labels) {
				return one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
			}
		}
	}
	return -1
}

func TestOutcomeByStatus(t *testing.T) {
	statuses := map[string]int{
		"success": 200, "client_error": 400, "rate_limited": 429, "server_error": 503,
	}
	r := newFixture(t, provider.Config{}, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(statuses[strings.Trim(req.URL.Path, "/")])
		_, _ = io.WriteString(w, "body")
	})
	for outcome, status := range statuses {
		response, err := r.get(t, t.Context(), "/"+outcome)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(body))
		require.NoError(t, response.Body.Close())
		r.last(t, outcome, outcome, status)
	}
	require.Len(t, r.lines(t), len(statuses), "one line per call")
}

func TestEarlyCloseAndEmptyBody(t *testing.T) {
	r := newFixture(t, provider.Config{}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/long" {
			_, _ = w.Write(make([]byte, 1<<20))
		}
	})
	response, err := r.get(t, t.Context(), "/empty")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	r.last(t, "empty", "success", 200)

	response, err = r.get(t, t.Context(), "/long")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	r.last(t, "long", "success", 200)
	require.Len(t, r.lines(t), 2)
}

func TestSilentProvider(t *testing.T) {
	r := newFixture(t, provider.Config{HeaderTimeout: 20 * time.Millisecond, IdleTimeout: 50 * time.Millisecond},
		func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/body" {
				_, _ = io.WriteString(w, "data: 1\n\n")
				w.(http.Flusher).Flush()
			}
			<-req.Context().Done()
		})
	_, err := r.get(t, t.Context(), "/header") //nolint:bodyclose // there is none
	require.ErrorContains(t, err, "timeout awaiting response headers")
	r.last(t, "header", "timeout", 0)

	response, err := r.get(t, t.Context(), "/body")
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.Equal(t, "data: 1\n\n", string(body))
	require.ErrorIs(t, err, provider.ErrIdle)
	require.NoError(t, response.Body.Close())
	line := r.last(t, "body", "timeout", 200)
	require.Equal(t, provider.ErrIdle.Error(), line["error"])
}

// TestSlowReaderDoesNotCountAsSilence reads much slower than the provider may be silent, and then meets real silence.
func TestSlowReaderDoesNotCountAsSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics, err := telemetry.NewMetrics("test", "v0")
		require.NoError(t, err)
		transport, err := provider.New(provider.Config{Integration: "slow", IdleTimeout: time.Second, Base: drip{}},
			slog.New(slog.DiscardHandler), metrics.Meter("provider"))
		require.NoError(t, err)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
		require.NoError(t, err)
		response, err := transport.RoundTrip(request)
		require.NoError(t, err)
		for range 3 {
			time.Sleep(time.Hour)
			_, err := response.Body.Read(make([]byte, 16))
			require.NoError(t, err)
		}
		before := time.Now()
		_, err = response.Body.Read(make([]byte, 16))
		require.ErrorIs(t, err, provider.ErrIdle)
		require.Equal(t, time.Second, time.Since(before))
		require.NoError(t, response.Body.Close())
	})
}

// TestIdleTimeoutOfACall lets one call wait longer than others.
func TestIdleTimeoutOfACall(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{0: time.Second, -time.Hour: time.Second, time.Hour: time.Hour, time.Millisecond: time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			metrics, err := telemetry.NewMetrics("test", "v0")
			require.NoError(t, err)
			transport, err := provider.New(provider.Config{Integration: "slow", IdleTimeout: time.Second, Base: silent{}},
				slog.New(slog.DiscardHandler), metrics.Meter("provider"))
			require.NoError(t, err)
			request, err := http.NewRequestWithContext(provider.WithIdleTimeout(t.Context(), asked), http.MethodGet, "http://example.com", nil)
			require.NoError(t, err)
			response, err := transport.RoundTrip(request)
			require.NoError(t, err)
			before := time.Now()
			_, err = response.Body.Read(make([]byte, 16))
			require.ErrorIs(t, err, provider.ErrIdle)
			require.InDelta(t, want, time.Since(before), float64(time.Microsecond))
			require.NoError(t, response.Body.Close())
		})
	}
}

// silent answers nothing but its head.
type silent struct{}

func (silent) RoundTrip(request *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	context.AfterFunc(request.Context(), func() { _ = w.CloseWithError(request.Context().Err()) })
	return &http.Response{StatusCode: http.StatusOK, Body: r}, nil
}

// drip answers three chunks, each after most of a second, and then nothing.
type drip struct{}

func (drip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: &dripBody{ctx: r.Context(), left: 3, closed: make(chan struct{})}}, nil
}

type dripBody struct {
	ctx    context.Context
	left   int
	closed chan struct{}
	once   sync.Once
}

func (b *dripBody) Read(p []byte) (int, error) {
	if b.left--; b.left >= 0 {
		time.Sleep(900 * time.Millisecond)
		return len(p), b.ctx.Err()
	}
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-b.closed:
		return 0, http.ErrBodyReadAfterClose
	}
}

func (b *dripBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func TestCallerLeaves(t *testing.T) {
	gone := make(chan struct{})
	r := newFixture(t, provider.Config{}, func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	response, err := r.get(t, ctx, "/stream")
	require.NoError(t, err)
	_, err = response.Body.Read(make([]byte, 64))
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(response.Body)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, response.Body.Close())
	<-gone // the provider sees it too
	line := r.last(t, "stream", "canceled", 200)
	require.Equal(t, "INFO", line["level"], "no sign of trouble with the provider")
}

func TestBrokenAnswers(t *testing.T) {
	r := newFixture(t, provider.Config{}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/half" {
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	response, err := r.get(t, t.Context(), "/half?key=hunter2")
	require.NoError(t, err)
	_, err = io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, response.Body.Close())
	r.last(t, "half", "failed", 200)

	_, err = r.get(t, t.Context(), "/none?key=hunter2") //nolint:bodyclose // there is none
	require.Error(t, err)
	r.last(t, "none", "failed", 0)
	require.NotContains(t, r.logged.String(), "hunter2")
}

func TestBulkhead(t *testing.T) {
	release := make(chan struct{})
	r := newFixture(t, provider.Config{MaxConcurrent: 1}, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-release
	})
	first, err := r.get(t, t.Context(), "/first")
	require.NoError(t, err)

	body := &closeSpy{Reader: strings.NewReader("x")}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/second", body)
	require.NoError(t, err)
	_, err = r.RoundTrip(request) //nolint:bodyclose // there is none
	var busy *provider.BusyError
	require.ErrorAs(t, err, &busy)
	require.Equal(t, provider.BusyError{Integration: "openai", Limit: 1}, *busy)
	require.True(t, body.closed)

	close(release)
	require.NoError(t, first.Body.Close())
	third, err := r.get(t, t.Context(), "/third")
	require.NoError(t, err)
	_, err = io.ReadAll(third.Body)
	require.NoError(t, err)
	require.NoError(t, third.Body.Close())
	r.last(t, "third", "success", 200)
}

type closeSpy struct {
	io.Reader
	closed bool
}

func (c *closeSpy) Close() error { c.closed = true; return nil }

func TestRelayAsksForNoCompression(t *testing.T) {
	for _, relay := range []bool{true, false} {
		r := newFixture(t, provider.Config{Relay: relay}, func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.WriteString(w, req.Header.Get("Accept-Encoding"))
		})
		response, err := r.get(t, t.Context(), "/")
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, map[bool]string{true: "", false: "gzip"}[relay], string(body))
	}
}

func TestUnreachable(t *testing.T) {
	r := newFixture(t, provider.Config{ConnectTimeout: time.Second}, nil)
	r.url = "http://127.0.0.1:1"
	_, err := r.get(t, t.Context(), "/x") //nolint:bodyclose // there is none
	require.Error(t, err)
	r.last(t, "x", "failed", 0)
}

func TestNewRefusesNoName(t *testing.T) {
	_, err := provider.New(provider.Config{}, slog.New(slog.DiscardHandler), nil)
	require.ErrorContains(t, err, "Integration is not set")
}
