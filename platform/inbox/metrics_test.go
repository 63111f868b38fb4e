package inbox_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/platformtest"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

// scrape returns the inbox's lines of the metrics page.
func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	page := httptest.NewRecorder()
	telemetry.OpsHandler(telemetry.Ops{Gatherer: m.Registry}).ServeHTTP(page,
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	var lines strings.Builder
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "trivet_inbox_") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

func TestMetrics(t *testing.T) {
	each(t, func(f *fixture) {
		metrics, err := telemetry.NewMetrics("test", "v0")
		require.NoError(f, err)
		h := f.hung()
		in := f.open(func(o *inbox.Options) {
			o.Meter, o.Backoff = metrics.Meter("inbox"), inbox.Backoff{Base: time.Hour, Cap: time.Hour} // one attempt of what fails
		})
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			switch j.ID {
			case "fails":
				return errors.New("no")
			case "hangs":
				return h.handle(ctx, j)
			}
			return apply(ctx, j)
		}}))
		require.NoError(f, in.Handle("quiet", inbox.Handler{Handle: apply}))
		stop := f.run(in)
		ignored, dead := event("ignored", "x"), event("dead", "x")
		ignored.State, dead.State = inbox.Ignored, inbox.Dead
		f.put(in, event("a", "x"), event("fails", "y"), event("hangs", "z"), ignored, dead)
		receive(t, h.entered)
		_, err = in.Put(t.Context(), event("a", "x"))
		require.NoError(f, err)
		f.await(in, "a", inbox.Done)
		f.eventually(func() bool {
			r := f.get(in, "fails")
			return r.State == inbox.Pending && r.Attempts == 1
		}, "the first attempt has not failed")
		f.clock.advance(time.Second)

		want := []string{
			`trivet_inbox_puts_total{outcome="pending",source="s"} 3`, `trivet_inbox_puts_total{outcome="duplicate",source="s"} 1`,
			`trivet_inbox_puts_total{outcome="ignored",source="s"} 1`, `trivet_inbox_puts_total{outcome="dead",source="s"} 1`,
			`trivet_inbox_attempts_total{outcome="done",source="s"} 1`, `trivet_inbox_attempts_total{outcome="failed",source="s"} 1`,
			`trivet_inbox_deaths_total{source="s"} 1`, `trivet_inbox_delay_seconds_count{source="s"} 1`,
			`trivet_inbox_events{source="s",state="pending"} 1`, `trivet_inbox_events{source="s",state="leased"} 1`,
			`trivet_inbox_events{source="s",state="dead"} 1`, `trivet_inbox_events{source="quiet",state="dead"} 0`,
			`trivet_inbox_oldest_age_seconds{source="s"} 1`, `trivet_inbox_oldest_age_seconds{source="quiet"} 0`,
		}
		f.eventually(func() bool { // an attempt is counted after its end is visible
			page := scrape(t, metrics)
			for _, line := range want {
				if !strings.Contains(page, line+"\n") {
					return false
				}
			}
			return true
		}, "metrics are missing")

		h.release()
		stop()
		require.NotContains(f, scrape(t, metrics), "trivet_inbox_events", "not counted any more")
	})
}

// TestLogsNamePayloadsNever: not of what fails, what dies, what panics.
func TestLogsNamePayloadsNever(t *testing.T) {
	each(t, func(f *fixture) {
		var log platformtest.Log
		in := f.handle(inbox.Handler{MaxAttempts: 2, Handle: func(_ context.Context, j *inbox.Job) error {
			if j.ID == "panics" {
				panic("boom")
			}
			return errors.New("refused")
		}}, func(o *inbox.Options) {
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			o.Rand = func() float64 { return 0 }
		})
		for _, id := range []string{"panics", "fails"} {
			e := event(id, id)
			e.Payload = []byte("s3cret")
			f.put(in, e)
		}
		for _, id := range []string{"panics", "fails"} {
			f.await(in, id, inbox.Dead)
		}
		f.eventually(func() bool { return strings.Count(log.String(), "event moved to dead letter") == 2 }, "not logged")
		for _, want := range []string{"event_id=panics", "event_id=fails", `panic="a value of type string"`, "error=refused", "attempt=2", "it will be retried"} {
			require.Contains(f, log.String(), want)
		}
		require.NotContains(f, log.String(), "s3cret")
	})
}
