// Package telemetry gives a process its logger, its metrics and the handler of its ops address. Nothing in it is global:
// everything is made here and handed on.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/tracing"
)

// Config holds the settings of this package.
type Config struct {
	// Leveler, when set, is used in place of Level; it may change.
	Leveler slog.Leveler `env:"-"`

	Level  slog.Level `env:"LOG_LEVEL" default:"info" help:"least level logged: debug, info, warn or error"`
	Format string     `env:"LOG_FORMAT" default:"json" oneof:"json,text" help:"how log lines look"`
	Pprof  bool       `env:"TRIVET_PPROF" default:"false" help:"serve Go's profiles under /debug/pprof/ on the ops address"`
}

// NewLogger writes lines to w, with the attributes of the context (With). Secrets print as "[redacted]". When w is a *Lines,
// lines from WARN up do not wait.
func NewLogger(w io.Writer, config Config) *slog.Logger {
	lines, _ := w.(*Lines)
	if config.Leveler == nil {
		config.Leveler = config.Level
	}
	if config.Format == "text" {
		return slog.New(contextHandler{slog.NewTextHandler(w, &slog.HandlerOptions{Level: config.Leveler}), lines})
	}
	return slog.New(contextHandler{newJSONHandler(w, config.Leveler), lines})
}

// milliseconds gives durations a unit. JSON would show nanoseconds under a name that does not say so.
func milliseconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	return slog.Float64(a.Key+unitSuffix, inMilliseconds(a.Value.Duration()))
}

// unitSuffix ends the keys of durations.
const unitSuffix = "_ms"

func inMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

type attrsKey struct{}

// With returns a context whose log lines carry attrs, such as the request id. A key given again replaces its value.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	held := Attrs(ctx)
	all := make([]slog.Attr, 0, len(held)+len(attrs))
	for _, old := range held {
		if !slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == old.Key }) {
			all = append(all, old)
		}
	}
	return context.WithValue(ctx, attrsKey{}, append(all, attrs...))
}

// Attrs returns the attributes put into ctx by With. Do not change them.
func Attrs(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	return attrs
}

// contextHandler adds the context's attributes to each line, and the ids of its trace.
type contextHandler struct {
	slog.Handler
	lines *Lines // nil when no line waits
}

func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	if attrs := Attrs(ctx); len(attrs) > 0 {
		r = r.Clone()
		r.AddAttrs(attrs...)
	}
	if traceID, spanID, ok := tracing.IDs(ctx); ok {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", traceID), slog.String("span_id", spanID))
	}
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn && h.lines != nil {
		h.lines.Flush()
	}
	return err
}

func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs), h.lines}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name), h.lines}
}
