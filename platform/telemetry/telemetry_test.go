package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

func TestLoggerCarriesTheContext(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.NewLogger(&out, telemetry.Config{})
	ctx := telemetry.With(t.Context(), slog.String("request_id", "r1"), slog.String("user", "u1"))
	inner := telemetry.With(ctx, slog.String("user", "u2"), slog.Int("n", 3))

	log.With("service", "auth").InfoContext(inner, "inner", "key", settings.NewSecret("hunter2"))
	log.InfoContext(ctx, "outer")
	log.DebugContext(ctx, "too little")

	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	require.Len(t, lines, 2)
	first := decode(t, lines[0])
	require.Equal(t, "inner", first["msg"])
	require.Equal(t, "r1", first["request_id"])
	require.Equal(t, "u2", first["user"])
	require.EqualValues(t, 3, first["n"])
	require.Equal(t, "auth", first["service"])
	require.Equal(t, "[redacted]", first["key"])
	require.Equal(t, 1, bytes.Count(lines[0], []byte(`"user"`)), "a key stands once")
	second := decode(t, lines[1])
	require.Equal(t, "u1", second["user"], "the outer context is as it was")
	require.NotContains(t, second, "n")
}

func TestLoggerLevelAndFormat(t *testing.T) {
	var config telemetry.Config
	env := map[string]string{"LOG_LEVEL": "warn", "LOG_FORMAT": "text"}
	require.NoError(t, settings.Load(func(k string) string { return env[k] }, &config))
	var out bytes.Buffer
	log := telemetry.NewLogger(&out, config)
	log.Info("no")
	log.WithGroup("g").WarnContext(telemetry.With(t.Context(), slog.String("a", "b")), "yes")
	require.Contains(t, out.String(), `level=WARN msg=yes g.a=b`)
	require.NotContains(t, out.String(), "msg=no")
}

func decode(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	out := map[string]any{}
	require.NoError(t, json.Unmarshal(raw, &out), "%s", raw)
	return out
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestMetricsAreServed(t *testing.T) {
	one, err := telemetry.NewMetrics("billing", "v1.2.3")
	require.NoError(t, err)
	other, err := telemetry.NewMetrics("auth", "v1")
	require.NoError(t, err, "nothing is global: a process may have two")
	calls, err := one.Meter("billing").Int64Counter("billing.settles")
	require.NoError(t, err)
	calls.Add(t.Context(), 3, metric.WithAttributes(attribute.String("outcome", "ok")))
	took, err := one.Meter("billing").Float64Histogram("billing.settle.duration", metric.WithUnit("s"))
	require.NoError(t, err)
	took.Record(t.Context(), 0.003)

	page := get(t, telemetry.OpsHandler(telemetry.Ops{Gatherer: one.Registry}), "/metrics")
	require.Equal(t, http.StatusOK, page.Code)
	for _, line := range []string{
		`billing_settles_total{outcome="ok"} 3`, `billing_settle_duration_seconds_bucket{le="0.005"} 1`, "go_goroutines ",
		"process_cpu_seconds_total ", `target_info{service_name="billing",service_version="v1.2.3"} 1`,
	} {
		require.Contains(t, page.Body.String(), line)
	}
	page = get(t, telemetry.OpsHandler(telemetry.Ops{Gatherer: other.Registry}), "/metrics")
	require.NotContains(t, page.Body.String(), "billing_settles_total")
	require.NoError(t, errors.Join(one.Shutdown(t.Context()), other.Shutdown(t.Context())))
}

func TestReadiness(t *testing.T) {
	metrics, err := telemetry.NewMetrics("test", "v0")
	require.NoError(t, err)
	fine := telemetry.Check{Name: "fine", Probe: func(context.Context) error { return nil }}
	down := telemetry.Check{Name: "database", Probe: func(context.Context) error { return errors.New("does not answer") }}
	hangs := telemetry.Check{Name: "slow", Timeout: time.Minute, Probe: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	serve := func(checks ...telemetry.Check) http.Handler {
		return telemetry.OpsHandler(telemetry.Ops{Gatherer: metrics.Registry, Checks: checks})
	}
	for _, path := range []string{"/readyz", "/healthz"} {
		answer := get(t, serve(fine), path)
		require.Equal(t, http.StatusOK, answer.Code)
		require.JSONEq(t, `{"status":"ok"}`, answer.Body.String())
	}
	require.Equal(t, http.StatusOK, get(t, serve(down), "/healthz").Code, "not ready, but alive")

	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		answer := get(t, serve(fine, down, hangs, hangs), "/readyz")
		require.Equal(t, http.StatusServiceUnavailable, answer.Code)
		require.JSONEq(t, `{"status":"failing","failing":[{"check":"database","error":"does not answer"},
			{"check":"slow","error":"context deadline exceeded"},{"check":"slow","error":"context deadline exceeded"}]}`, answer.Body.String())
		require.Equal(t, time.Minute, time.Since(begun), "all at once")
	})
}

func TestPprofOnlyWhenAsked(t *testing.T) {
	metrics, err := telemetry.NewMetrics("test", "v0")
	require.NoError(t, err)
	for _, on := range []bool{false, true} {
		h := telemetry.OpsHandler(telemetry.Ops{Gatherer: metrics.Registry, Pprof: on})
		require.Equal(t, map[bool]int{false: 404, true: 200}[on], get(t, h, "/debug/pprof/").Code)
		require.Equal(t, map[bool]int{false: 404, true: 200}[on], get(t, h, "/debug/pprof/cmdline").Code)
		home := get(t, h, "/")
		require.Equal(t, on, strings.Contains(home.Body.String(), `href="debug/pprof/"`))
		require.Contains(t, home.Body.String(), `href="readyz"`)
	}
}

func TestDurationsHaveAUnitInJSON(t *testing.T) {
	var out bytes.Buffer
	telemetry.NewLogger(&out, telemetry.Config{Format: "json"}).Info("done", slog.Duration("took", 1234567*time.Nanosecond), slog.Int("n", 3))
	require.Contains(t, out.String(), `"took_ms":1.234,"n":3}`)
	out.Reset()
	telemetry.NewLogger(&out, telemetry.Config{Format: "text"}).Info("done", slog.Duration("took", 1234567*time.Nanosecond))
	require.Contains(t, out.String(), "took=1.234567ms")
}
