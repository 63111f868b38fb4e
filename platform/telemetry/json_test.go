package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// both writes the same records with slog's handler and with this package's.
type both struct{ want, got bytes.Buffer }

func (b *both) handlers() (want, got slog.Handler) {
	return slog.NewJSONHandler(&b.want, &slog.HandlerOptions{ReplaceAttr: milliseconds}), newJSONHandler(&b.got, slog.LevelInfo)
}

func (b *both) compare(t *testing.T, with func(slog.Handler) slog.Handler, r slog.Record) {
	t.Helper()
	b.want.Reset()
	b.got.Reset()
	want, got := b.handlers()
	require.NoError(t, with(want).Handle(t.Context(), r.Clone()))
	require.NoError(t, with(got).Handle(t.Context(), r.Clone()))
	require.Equal(t, b.want.String(), b.got.String())
	require.True(t, strings.HasSuffix(b.got.String(), "}\n"))
}

func plain(h slog.Handler) slog.Handler { return h }

type valuer struct{}

func (valuer) LogValue() slog.Value { return slog.StringValue("resolved") }

// TestSameAsSlog writes each kind of value alone, in a group, and as an attribute of the logger.
func TestSameAsSlog(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	values := map[string]slog.Value{
		"text": slog.StringValue("plain text, with ~!@#$%^&*()<>"), "empty": slog.StringValue(""), "quote": slog.StringValue(`a"b`),
		"backslash": slog.StringValue(`a\b`), "line feed": slog.StringValue("a\nb"), "delete": slog.StringValue("a\x7fb"),
		"umlaut": slog.StringValue("äöü €"), "invalid": slog.StringValue("a\xffb"), "separator": slog.StringValue("a\u2028b"),
		"int": slog.IntValue(-42), "least": slog.Int64Value(math.MinInt64), "most": slog.Uint64Value(math.MaxUint64), "true": slog.BoolValue(true),
		"zero": slog.Float64Value(0), "negative zero": slog.Float64Value(math.Copysign(0, -1)), "half": slog.Float64Value(0.5),
		"small": slog.Float64Value(1e-7), "edge": slog.Float64Value(1e-6), "large": slog.Float64Value(1e20), "larger": slog.Float64Value(1e21),
		"negative": slog.Float64Value(-1.5), "NaN": slog.Float64Value(math.NaN()), "infinite": slog.Float64Value(math.Inf(1)),
		"duration": slog.DurationValue(1234567 * time.Nanosecond), "no time": slog.DurationValue(0), "back": slog.DurationValue(-time.Second),
		"longest": slog.DurationValue(math.MaxInt64), "time": slog.TimeValue(at), "error": slog.AnyValue(errors.New("it broke")),
		"nil": slog.AnyValue(nil), "map": slog.AnyValue(map[string]int{"a": 1}), "valuer": slog.AnyValue(valuer{}),
		"group": slog.GroupValue(slog.String("a", "b"), slog.Duration("took", time.Millisecond)), "empty group": slog.GroupValue(),
		"deep": slog.GroupValue(slog.Group("deeper", slog.Group("deepest", slog.Int("n", 1)))),
	}
	var b both
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			for _, key := range []string{"key", "", `k"y`, "schlüssel"} {
				a := slog.Attr{Key: key, Value: value}
				for _, attrs := range [][]slog.Attr{{a}, {a, slog.Int("after", 1)}, {{Key: "around", Value: slog.GroupValue(a)}}} {
					r := slog.NewRecord(at, slog.LevelWarn, "message", 0)
					r.AddAttrs(attrs...)
					b.compare(t, plain, r)
					b.compare(t, func(h slog.Handler) slog.Handler {
						return h.WithAttrs(attrs).WithAttrs([]slog.Attr{slog.Int("second", 2)})
					}, r)
					b.compare(t, func(h slog.Handler) slog.Handler { return h.WithGroup("outer").WithAttrs(attrs) }, r)
				}
			}
		})
	}
}

// TestRecordsSameAsSlog varies what is not an attribute.
func TestRecordsSameAsSlog(t *testing.T) {
	var b both
	zones := []*time.Location{time.UTC, time.FixedZone("", 2*60*60+30*60)}
	for _, zone := range zones {
		for _, at := range []time.Time{{}, time.Date(2030, 1, 2, 3, 4, 5, 0, zone), time.Date(2030, 1, 2, 3, 4, 5, 123456789, zone), time.Date(10000, 1, 1, 0, 0, 0, 0, zone)} {
			for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelInfo + 2, slog.LevelError} {
				for _, message := range []string{"request", "", "a\tb", "ünicode"} {
					b.compare(t, plain, slog.NewRecord(at, level, message, 0))
				}
			}
		}
	}
}

// TestHandlerOfManyWriters writes quick and slow records at once.
func TestHandlerOfManyWriters(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newJSONHandler(&out, slog.LevelInfo))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				log.LogAttrs(context.Background(), slog.LevelInfo, "quick", slog.Int("n", 1))
				log.LogAttrs(context.Background(), slog.LevelInfo, "slow", slog.Any("error", io.EOF))
			}
		})
	}
	all.Wait()
	counts := map[string]int{}
	for line := range strings.Lines(out.String()) {
		_, rest, ok := strings.Cut(line, `"level"`)
		require.True(t, ok, line)
		counts[rest]++
	}
	require.Equal(t, map[string]int{`:"INFO","msg":"quick","n":1}` + "\n": 800, `:"INFO","msg":"slow","error":"EOF"}` + "\n": 800}, counts)
}

func BenchmarkLine(b *testing.B) {
	for name, handler := range map[string]slog.Handler{
		//nolint:sloglint // The benchmark measures slog's encoding.
		"slog": slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{ReplaceAttr: milliseconds}), "own": newJSONHandler(io.Discard, slog.LevelInfo),
	} {
		b.Run(name, func(b *testing.B) {
			log := slog.New(handler)
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("method", "POST"), slog.String("route", "/v1/chat/completions"),
					slog.Int("status", 200), slog.Int64("bytes", 1234), slog.Duration("took", 1234567), slog.String("request_id", "req_0123456789"),
					slog.Group("provider", slog.String("integration", "openai"), slog.String("method", "chat.completions"), slog.Int("status", 200),
						slog.Bool("success", true), slog.String("outcome", "success"), slog.Duration("latency", 1234567), slog.Int64("tokens_used", 390)))
			}
		})
	}
}
