package allinone

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// quiet hides log lines of development that call for nothing below debug level: migrations, successful calls to the sandbox and
// those that ask it for an object that it does not have, and the webhooks that it delivers. They would otherwise push the
// addresses and the developer's own requests off the screen.
type quiet struct {
	slog.Handler
	integrations []string // those that the sandbox stands in for
}

// quietLogger wraps a logger for development.
func quietLogger(logger *slog.Logger, integrations []string) *slog.Logger {
	return slog.New(quiet{logger.Handler(), integrations})
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if q.routine(r) && !q.Enabled(ctx, slog.LevelDebug) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// routine reports whether a line is of a kind that quiet hides.
func (q quiet) routine(r slog.Record) bool {
	switch r.Message {
	case "migration applied":
		return r.Level == slog.LevelInfo
	case "provider call":
		return slices.Contains(q.integrations, attribute(r, "integration")) &&
			(r.Level == slog.LevelInfo || attribute(r, "status") == statusText(http.StatusNotFound))
	case "request":
		source, ok := strings.CutPrefix(attribute(r, "route"), "/api/webhooks/")
		return ok && slices.Contains(q.integrations, source) && attribute(r, "status") == statusText(http.StatusOK)
	default:
		return false
	}
}

func statusText(status int) string { return slog.IntValue(status).String() }

// attribute returns the value of an attribute of the line as text, or "".
func attribute(r slog.Record, key string) string {
	value := ""
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			value = a.Value.String()
		}
		return a.Key != key
	})
	return value
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.integrations}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.integrations}
}
