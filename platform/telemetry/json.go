package telemetry

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// jsonHandler writes JSON lines. It encodes the values of the hot path itself, because slog's handler calls a function for each
// value to give durations a unit. Every record with another value (an error, a text that needs escaping) goes to slog's handler.
// Both write the same.
type jsonHandler struct {
	slow   slog.Handler
	w      io.Writer
	prefix []byte // the attributes of WithAttrs, encoded, with a comma before each
}

func newJSONHandler(w io.Writer, level slog.Leveler) slog.Handler {
	if _, shared := w.(*Lines); !shared {
		w = &locked{w: w}
	}
	return &jsonHandler{slow: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: milliseconds}), w: w}
}

// locked lets two handlers write to one writer.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// lineBuffers has buffers of lines; larger ones are left to the garbage collector.
var lineBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

const maxLineBuffer = 16 << 10

// Enabled implements slog.Handler.
func (h *jsonHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.slow.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *jsonHandler) Handle(ctx context.Context, r slog.Record) error {
	buffer := lineBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool has nothing else
	defer lineBuffers.Put(buffer)
	line, ok := h.encode((*buffer)[:0], r)
	if !ok {
		return h.slow.Handle(ctx, r)
	}
	_, err := h.w.Write(line)
	if cap(line) <= maxLineBuffer {
		*buffer = line
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h *jsonHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	slow, prefix := h.slow.WithAttrs(attrs), h.prefix[:len(h.prefix):len(h.prefix)]
	for _, a := range attrs {
		var ok bool
		if prefix, ok = appendAttr(append(prefix, ','), a); !ok {
			return slow
		}
	}
	return &jsonHandler{slow: slow, w: h.w, prefix: prefix}
}

// WithGroup implements slog.Handler.
func (h *jsonHandler) WithGroup(name string) slog.Handler { return h.slow.WithGroup(name) }

// encode appends the line of a record; false when slog's handler must write it.
func (h *jsonHandler) encode(b []byte, r slog.Record) (_ []byte, ok bool) {
	if year := r.Time.Year(); r.Time.IsZero() || year < 0 || year > 9999 {
		return b, false
	}
	b = append(b, `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"`...)
	b = append(b, r.Level.String()...)
	b = append(b, `","msg":`...)
	if b, ok = appendString(b, r.Message); !ok {
		return b, false
	}
	b = append(b, h.prefix...)
	r.Attrs(func(a slog.Attr) bool {
		b, ok = appendAttr(append(b, ','), a)
		return ok
	})
	return append(b, "}\n"...), ok
}

// appendAttr appends a key and its value; false when slog's handler must write them.
func appendAttr(b []byte, a slog.Attr) (_ []byte, ok bool) {
	if a.Key == "" {
		return b, false
	}
	if b, ok = appendString(b, a.Key); !ok {
		return b, false
	}
	if a.Value.Kind() == slog.KindDuration {
		b = append(b[:len(b)-1], unitSuffix+`":`...)
		return appendFloat(b, inMilliseconds(a.Value.Duration()))
	}
	return appendValue(append(b, ':'), a.Value)
}

func appendValue(b []byte, v slog.Value) ([]byte, bool) {
	//exhaustive:ignore
	switch v.Kind() {
	case slog.KindString:
		return appendString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10), true
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool()), true
	case slog.KindFloat64:
		return appendFloat(b, v.Float64())
	case slog.KindGroup:
		return appendGroup(b, v.Group())
	default:
		return b, false
	}
}

// appendFloat appends a number that needs no exponent.
func appendFloat(b []byte, f float64) ([]byte, bool) {
	const least, most = 1e-6, 1e21
	if f != 0 && (f < least || f >= most) { // also what is not a number
		return b, false
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64), f >= 0
}

func appendGroup(b []byte, attrs []slog.Attr) (_ []byte, ok bool) {
	if len(attrs) == 0 {
		return b, false
	}
	b = append(b, '{')
	for i, a := range attrs {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok = appendAttr(b, a); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// appendString appends a text that needs no escaping.
func appendString(b []byte, text string) ([]byte, bool) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return b, false
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"'), true
}
