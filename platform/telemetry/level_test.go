package telemetry_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/telemetry"
)

// leveled is a log whose level changes.
func leveled(format string) (*telemetry.Level, *slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	level := telemetry.NewLevel(slog.LevelInfo)
	return level, telemetry.NewLogger(&out, telemetry.Config{Format: format, Leveler: level}), &out
}

func TestLevelChangesAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, format := range []string{"json", "text"} {
			level, log, out := leveled(format)
			sees := func() bool {
				out.Reset()
				log.With("a", 1).DebugContext(t.Context(), "detail")
				return out.Len() > 0
			}
			require.False(t, sees())
			level.Change(slog.LevelDebug, time.Minute)
			time.Sleep(time.Minute - 1)
			require.True(t, sees())
			level.Change(slog.LevelDebug, time.Minute) // begins again
			time.Sleep(2 * time.Nanosecond)
			synctest.Wait()
			require.True(t, sees())
			time.Sleep(time.Minute)
			synctest.Wait()
			require.False(t, sees())
			level.Change(slog.LevelDebug, time.Minute)
			level.Change(slog.LevelDebug, 0)
			time.Sleep(time.Hour)
			synctest.Wait()
			require.True(t, sees(), "without an end it stays")
		}
	})
}

func TestSignalTogglesTheLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		level, log, out := leveled("text")
		ctx, stop := context.WithCancel(t.Context())
		signals := make(chan os.Signal)
		go level.Watch(ctx, log, signals)
		signals <- syscall.SIGUSR1
		synctest.Wait()
		require.Equal(t, slog.LevelDebug, level.Level())
		signals <- syscall.SIGUSR1
		synctest.Wait()
		require.Equal(t, slog.LevelInfo, level.Level())
		require.Contains(t, out.String(), `msg="the log level is changed" from=info to=debug`)
		stop()
	})
}

func TestLevelAtTheOpsAddress(t *testing.T) {
	for _, c := range []struct {
		name, method, body string
		header             map[string]string
		status             int
		level              slog.Level
		says               string
	}{
		{"shown", "GET", "", nil, 200, slog.LevelInfo, `{"level":"info"}`},
		{"debug", "PUT", `{"level":"debug"}`, nil, 200, slog.LevelDebug, `{"level":"debug"}`},
		{"for a while", "PUT", `{"level":"error","for":"15m"}`, nil, 200, slog.LevelError, `{"level":"error"}`},
		{"no JSON", "PUT", `debug`, nil, 400, slog.LevelInfo, "Send {"},
		{"another field", "PUT", `{"levels":"debug"}`, nil, 400, slog.LevelInfo, "Send {"},
		{"another level", "PUT", `{"level":"trace"}`, nil, 400, slog.LevelInfo, "level must be"},
		{"no level", "PUT", `{"for":"1m"}`, nil, 400, slog.LevelInfo, "level must be"},
		{"no duration", "PUT", `{"level":"debug","for":"15"}`, nil, 400, slog.LevelInfo, "for must be"},
		{"no time", "PUT", `{"level":"debug","for":"0s"}`, nil, 400, slog.LevelInfo, "for must be"},
		{"too long", "PUT", `{"level":"debug","for":"25h"}`, nil, 400, slog.LevelInfo, "for must be"},
		{"a long body", "PUT", `{"level":"debug","for":"` + strings.Repeat("1", 1<<11) + `s"}`, nil, 400, slog.LevelInfo, "Send {"},
		{"a page of another site", "PUT", `{"level":"debug"}`, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, slog.LevelInfo, "curl"},
		{"a page behind a rebound name", "PUT", `{"level":"debug"}`, map[string]string{"Origin": "http://evil.test:9091"}, 403, slog.LevelInfo, "curl"},
		{"another method", "POST", `{"level":"debug"}`, nil, 405, slog.LevelInfo, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			level, log, out := leveled("text")
			h := telemetry.OpsHandler(telemetry.Ops{Gatherer: prometheus.NewRegistry(), Level: level, Logger: log})
			r := httptest.NewRequestWithContext(t.Context(), c.method, "/loglevel", strings.NewReader(c.body))
			for name, value := range c.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code)
			require.Contains(t, w.Body.String(), c.says)
			require.Equal(t, c.level, level.Level())
			require.Equal(t, c.method == http.MethodPut && c.status == 200, strings.Contains(out.String(), "the log level is changed"))
			level.Change(slog.LevelInfo, 0)
		})
	}
}
