package allinone

import (
	"context"
	"log/slog"
	"slices"
)

// quiet hides the log lines of successful calls to the sandbox below debug level. A reconciliation would otherwise push the
// developer's own requests off the screen.
type quiet struct {
	slog.Handler
	integrations []string
}

// quietLogger wraps a logger for development.
func quietLogger(logger *slog.Logger, integrations []string) *slog.Logger {
	return slog.New(quiet{logger.Handler(), integrations})
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo && r.Message == "provider call" && !q.Enabled(ctx, slog.LevelDebug) {
		drop := false
		r.Attrs(func(a slog.Attr) bool {
			drop = a.Key == "integration" && slices.Contains(q.integrations, a.Value.String())
			return !drop
		})
		if drop {
			return nil
		}
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.integrations}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.integrations}
}
