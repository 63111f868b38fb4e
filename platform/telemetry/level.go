package telemetry

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// maxLevelTime bounds how long a changed level may stay before it ends by itself.
const maxLevelTime = 24 * time.Hour

// Level is the minimum level of a log, which can change while the process runs. It is safe for concurrent use.
type Level struct {
	present    slog.LevelVar
	configured slog.Level

	mu     sync.Mutex
	revert *time.Timer // nil when the present level stays
}

// NewLevel makes a Level that begins with the configured one.
func NewLevel(configured slog.Level) *Level {
	l := &Level{configured: configured}
	l.present.Set(configured)
	return l
}

// Level implements slog.Leveler.
func (l *Level) Level() slog.Level { return l.present.Level() }

// Change sets the level, and sets the configured one again after span; 0 leaves it until the next change.
func (l *Level) Change(to slog.Level, span time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.revert != nil {
		l.revert.Stop()
		l.revert = nil
	}
	l.present.Set(to)
	if span > 0 {
		var own *time.Timer
		own = time.AfterFunc(span, func() { l.end(&own) })
		l.revert = own
	}
}

// end sets the configured level, unless the level has changed since the timer was made.
func (l *Level) end(timer **time.Timer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.revert == *timer {
		l.revert = nil
		l.present.Set(l.configured)
	}
}

// toggled is the configured level while the level is debug, and debug otherwise.
func (l *Level) toggled() slog.Level {
	if l.Level() == slog.LevelDebug {
		return l.configured
	}
	return slog.LevelDebug
}

// Watch toggles the level at each value of signals, until ctx ends.
func (l *Level) Watch(ctx context.Context, logger *slog.Logger, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			l.changeAndLog(ctx, logger, l.toggled(), 0)
		}
	}
}

// changeAndLog changes the level. The line about it is written at WARN and while the more verbose level holds, so that the log shows it
// unless it showed errors only before and does so now.
func (l *Level) changeAndLog(ctx context.Context, logger *slog.Logger, to slog.Level, span time.Duration) {
	before := l.Level()
	say := func() {
		logger.WarnContext(ctx, "the log level is changed", slog.String("from", name(before)), slog.String("to", name(to)))
	}
	if to > before {
		say()
		l.Change(to, span)
		return
	}
	l.Change(to, span)
	say()
}

func name(level slog.Level) string { return strings.ToLower(level.String()) }

// levelBody is what /loglevel takes and shows.
type levelBody struct {
	Level string `json:"level"`
	// For is a duration such as "15m", after which the configured level returns.
	For string `json:"for,omitempty"`
}

// serveLevel shows the level (GET) and changes it (PUT). Requests of browsers are refused, because a page that somebody else wrote could
// make them.
func (l *Level) serveLevel(logger *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" {
				http.Error(w, "Change the log level with curl, not with a browser.", http.StatusForbidden)
				return
			}
			level, span, problem := levelFrom(r.Body)
			if problem != "" {
				http.Error(w, problem, http.StatusBadRequest)
				return
			}
			l.changeAndLog(r.Context(), logger, level, span)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(levelBody{Level: name(l.Level())}) // the caller is gone if this fails
	}
}

// levelFrom reads the level that a body asks for, and for how long; 0 is until the next change. The problem is "" unless it cannot be read.
func levelFrom(body io.Reader) (level slog.Level, span time.Duration, problem string) {
	var asked levelBody
	decoder := json.NewDecoder(io.LimitReader(body, 1<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return 0, 0, `Send {"level": "debug", "for": "15m"}; "for" may be left out.`
	}
	switch asked.Level {
	case "debug", "info", "warn", "error":
		_ = level.UnmarshalText([]byte(asked.Level)) // it is one of slog's names
	default:
		return 0, 0, "level must be debug, info, warn or error."
	}
	if asked.For != "" {
		var err error
		if span, err = time.ParseDuration(asked.For); err != nil || span <= 0 || span > maxLevelTime {
			return 0, 0, "for must be a duration such as 15m, of at most 24h."
		}
	}
	return level, span, ""
}
