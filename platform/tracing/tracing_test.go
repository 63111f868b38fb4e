package tracing_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/tracing"
	"github.com/trivet-dev/trivet/platform/tracing/tracingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	foreignTrace = "0af7651916cd43dd8448eb211c80319c"
	foreignSpan  = "b7ad6b7169203331"
	sampled      = "00-" + foreignTrace + "-" + foreignSpan + "-01"
	notSampled   = "00-" + foreignTrace + "-" + foreignSpan + "-00"
)

// load reads settings as a process does.
func load(t *testing.T, values map[string]string) tracing.Settings {
	t.Helper()
	var s tracing.Settings
	require.NoError(t, settings.Load(func(name string) string { return values[name] }, &s))
	return s
}

// memory is a tracer whose spans stay in memory.
func memory(t *testing.T, values map[string]string) (*tracing.Tracer, func() tracetest.SpanStubs) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tracer, err := tracing.New(load(t, values), tracing.Options{Service: "test", Exporter: kept{spans}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return tracer, func() tracetest.SpanStubs {
		tracer.Shutdown(context.Background())
		return spans.GetSpans()
	}
}

// kept keeps its spans when it is shut down.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

// Tracing costs no allocation while it is off.
func TestOffIsFree(t *testing.T) {
	tracer, err := tracing.New(load(t, nil), tracing.Options{Service: "test"})
	require.NoError(t, err)
	require.Nil(t, tracer)
	ctx := tracing.With(context.Background(), tracer)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		ctx, request := tracer.Request(ctx, "request", sampled)
		ctx, span := tracing.Start(ctx, "step", tracing.Internal)
		_, root := tracing.Root(ctx, "root", tracing.Consumer, sampled)
		if span.On() || root.On() || tracing.Current(ctx).On() {
			panic("a span is recorded")
		}
		if _, _, ok := tracing.IDs(ctx); ok || tracing.Traceparent(ctx) != "" {
			panic("there is a trace")
		}
		span.Fail("X")
		span.End()
		root.End()
		request.End()
	}))
	r := &http.Request{}
	require.Same(t, r, tracing.ToProvider(ctx, r))
	tracer.Shutdown(ctx)
}

// A stranger's traceparent decides nothing unless a setting says so.
func TestIncomingTraceparent(t *testing.T) {
	for name, c := range map[string]struct {
		incoming, traceparent      string
		recorded, continued, links bool
	}{
		"none":                        {"ignore", "", true, false, false},
		"ignored":                     {"ignore", sampled, true, false, false},
		"ignored without sampling":    {"ignore", notSampled, true, false, false},
		"linked":                      {"link", sampled, true, false, true},
		"linked without sampling":     {"link", notSampled, true, false, true},
		"nothing to link":             {"link", "nonsense", true, false, false},
		"continued":                   {"continue", sampled, true, true, false},
		"continued without sampling":  {"continue", notSampled, false, true, false},
		"nothing to continue":         {"continue", "", true, false, false},
		"nonsense to continue":        {"continue", "00-zz-b7ad6b7169203331-01", true, false, false},
		"a zero trace to continue":    {"continue", "00-00000000000000000000000000000000-b7ad6b7169203331-01", true, false, false},
		"a long nonsense to continue": {"continue", sampled + strings.Repeat("-", 1<<16), true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, spans := memory(t, map[string]string{"TRIVET_TRACE_INCOMING": c.incoming})
			ctx, span := tracer.Request(t.Context(), "request", c.traceparent)
			require.Equal(t, c.recorded, span.On())
			require.Equal(t, c.continued, strings.Contains(tracing.Traceparent(ctx), foreignTrace))
			span.End()
			all := spans()
			if !c.recorded {
				require.Empty(t, all)
				return
			}
			require.Len(t, all, 1)
			require.Equal(t, c.continued, all[0].Parent.SpanID().String() == foreignSpan)
			require.Equal(t, c.links, len(all[0].Links) == 1 && all[0].Links[0].SpanContext.TraceID().String() == foreignTrace)
		})
	}
}

// Steps belong to the span that they began in; a process that is called continues the trace and its sampling.
func TestStepsAndProcesses(t *testing.T) {
	tracer, spans := memory(t, nil)
	ctx, request := tracer.Request(t.Context(), "request", "")
	inner, step := tracing.Start(ctx, "step", tracing.Internal)
	traceID, spanID, ok := tracing.IDs(inner)
	require.True(t, ok)
	remote, served := tracer.Serve(context.Background(), "served", tracing.Traceparent(inner), false)
	require.NotEmpty(t, tracing.Traceparent(remote))
	_, unasked := tracer.Serve(context.Background(), "poll", "", false)
	require.False(t, unasked.On())
	_, asked := tracer.Serve(context.Background(), "asked", "", true)
	require.True(t, asked.On())
	_, lonely := tracing.Start(tracing.With(context.Background(), tracer), "lonely", tracing.Client)
	require.False(t, lonely.On(), "background work makes no trace of each of its calls")
	step.Set(attribute.String("k", strings.Repeat("v", 1000)))
	for _, s := range []tracing.Span{asked, served, step, request} {
		s.End()
		s.End()
		s.Set(attribute.String("late", "ignored"))
	}
	all := spans()
	require.Len(t, all, 4)
	require.Equal(t, []string{"asked", "served", "step", "request"}, []string{all[0].Name, all[1].Name, all[2].Name, all[3].Name})
	require.Equal(t, traceID, all[1].SpanContext.TraceID().String())
	require.Equal(t, spanID, all[1].Parent.SpanID().String())
	require.Equal(t, all[3].SpanContext.SpanID(), all[2].Parent.SpanID())
	require.NotEqual(t, traceID, all[0].SpanContext.TraceID().String())
	require.Len(t, all[2].Attributes, 1)
	require.Len(t, all[2].Attributes[0].Value.AsString(), 256, "a value is bounded")
}

func TestSamplers(t *testing.T) {
	for name, c := range map[string]struct {
		sampler, arg, parent string
		recorded             bool
	}{
		"default":                        {"", "", "", true},
		"default, parent not sampled":    {"", "", notSampled, false},
		"always":                         {"always_on", "", notSampled, true},
		"never":                          {"always_off", "", sampled, false},
		"none of the roots":              {"parentbased_always_off", "", "", false},
		"none of the roots, but parents": {"parentbased_always_off", "", sampled, true},
		"a share of 0":                   {"traceidratio", "0", "", false},
		"a share of 1":                   {"traceidratio", "1", notSampled, true},
		"a share of the roots of 0":      {"parentbased_traceidratio", "0", "", false},
		"a share of roots, but parents":  {"parentbased_traceidratio", "0", sampled, true},
		"a share that is not given":      {"parentbased_traceidratio", "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, spans := memory(t, map[string]string{"OTEL_TRACES_SAMPLER": c.sampler, "OTEL_TRACES_SAMPLER_ARG": c.arg})
			ctx, span := tracer.Serve(t.Context(), "call", c.parent, true)
			require.Equal(t, c.recorded, span.On())
			require.NotEmpty(t, tracing.Traceparent(ctx), "the next process learns that it is not sampled")
			_, _, logged := tracing.IDs(ctx)
			require.Equal(t, c.recorded, logged)
			span.End()
			spans()
		})
	}
}

func TestProvidersLearnOfTracesIfAllowed(t *testing.T) {
	for setting, told := range map[string]bool{"": false, "false": false, "true": true} {
		tracer, spans := memory(t, map[string]string{"TRIVET_TRACE_PROVIDERS": setting})
		ctx, span := tracer.Request(t.Context(), "request", "")
		r := &http.Request{Header: http.Header{"A": {"b"}}}
		sent := tracing.ToProvider(ctx, r)
		require.Equal(t, told, sent.Header.Get("traceparent") != "", setting)
		require.Len(t, r.Header, 1, "the caller's request stays as it is")
		span.End()
		spans()
	}
}

func TestSettingsAreChecked(t *testing.T) {
	const secret = "canary-of-a-header"
	for name, c := range map[string]struct {
		values map[string]string
		want   string
	}{
		"no scheme":          {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: is not an address"},
		"another scheme":     {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "grpc://collector:4317"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: is not an address"},
		"a password":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://u:" + secret + "@collector"}, "put credentials into OTEL_EXPORTER_OTLP_HEADERS"},
		"another protocol":   {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: is not http/protobuf"},
		"not a share":        {map[string]string{"OTEL_TRACES_SAMPLER_ARG": "50%"}, "OTEL_TRACES_SAMPLER_ARG"},
		"above 1":            {map[string]string{"OTEL_TRACES_SAMPLER_ARG": "1.1"}, "OTEL_TRACES_SAMPLER_ARG"},
		"not a number":       {map[string]string{"OTEL_TRACES_SAMPLER_ARG": "NaN"}, "OTEL_TRACES_SAMPLER_ARG"},
		"another sampler":    {map[string]string{"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "OTEL_TRACES_SAMPLER"},
		"a header alone":     {map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": secret}, "OTEL_EXPORTER_OTLP_HEADERS: part 1 is not NAME=VALUE"},
		"a header of 2":      {map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "a=b,c=%0d" + secret}, "OTEL_EXPORTER_OTLP_HEADERS: part 2 cannot be a header"},
		"an attribute alone": {map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "a=b,c"}, "OTEL_RESOURCE_ATTRIBUTES"},
	} {
		t.Run(name, func(t *testing.T) {
			err := settings.Load(func(name string) string { return c.values[name] }, &tracing.Settings{})
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
	off := load(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	tracer, err := tracing.New(off, tracing.Options{})
	require.NoError(t, err)
	require.Nil(t, tracer)
}

// Exports arrive as OTLP, with the headers that the settings name at that time.
func TestExport(t *testing.T) {
	collector := tracingtest.Start(t)
	s := load(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL + "/", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20old, x-tenant=7",
		"OTEL_SERVICE_NAME": "renamed", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
	})
	headers := settings.NewLive(s.TraceHeaders)
	var logs bytes.Buffer
	tracer, err := tracing.New(s, tracing.Options{Service: "test", Headers: headers, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	require.NoError(t, err)
	headers.Replace(settings.NewSecrets("authorization=Bearer%20new, x-tenant=7"))
	_, span := tracer.Request(t.Context(), "request", "")
	span.Fail("REASON")
	span.End()
	tracer.Shutdown(t.Context())
	all := collector.Spans()
	require.Len(t, all, 1)
	require.Equal(t, "renamed", all[0].Service)
	require.True(t, all[0].Failed)
	require.Equal(t, "REASON", all[0].Attributes["error.type"])
	require.Equal(t, "Bearer new", collector.Headers()[0].Get("Authorization"))
	require.Equal(t, "7", collector.Headers()[0].Get("X-Tenant"))
	require.Empty(t, logs.String())
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // the standard library's
}

// hanging is an exporter that answers only when it is given up.
type hanging struct{}

func (hanging) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	<-ctx.Done()
	return errors.New(strings.Repeat("long ", 1000))
}

func (hanging) Shutdown(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A collector that hangs blocks no request: spans beyond the queue are dropped, the log says so at most once a minute, and the process
// stops after seconds.
func TestCollectorThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		tracer, err := tracing.New(load(t, nil), tracing.Options{Exporter: hanging{}, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
		require.NoError(t, err)
		begun := time.Now()
		for range 20_000 {
			_, span := tracer.Request(t.Context(), "request", "")
			span.End()
		}
		require.Zero(t, time.Since(begun), "a request waits for nothing")
		time.Sleep(35 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(logs.String(), "spans could not be exported"), logs.String())
		require.Less(t, len(logs.String()), 1000)
		begun = time.Now()
		tracer.Shutdown(t.Context())
		require.LessOrEqual(t, time.Since(begun), 5*time.Second)
		time.Sleep(5 * time.Minute) // what waits is given up
		synctest.Wait()
	})
}

// failing is an exporter whose collector refuses everything.
type failing struct{}

func (failing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("401 Unauthorized")
}

func (failing) Shutdown(context.Context) error { return nil }

// Each lost span is counted in one line of the log, also those of the last minute before the process stops.
func TestLostSpansAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		tracer, err := tracing.New(load(t, nil), tracing.Options{Exporter: failing{}, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
		require.NoError(t, err)
		lose := func(spans int) (line string) {
			for range spans {
				_, span := tracer.Request(t.Context(), "request", "")
				span.End()
			}
			time.Sleep(10 * time.Second) // until they are exported
			synctest.Wait()
			defer logs.Reset()
			return logs.String()
		}
		require.Regexp(t, `check OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS and the collector" lost=3 error="401 Unauthorized"\n$`, lose(3))
		require.Empty(t, lose(2), "one line a minute")
		time.Sleep(time.Minute)
		require.Regexp(t, ` lost=3 `, lose(1))
		require.Empty(t, lose(4))
		tracer.Shutdown(t.Context())
		require.Equal(t, 1, strings.Count(logs.String(), "\n"), logs.String())
		require.Contains(t, logs.String(), " lost=4 ")
		logs.Reset()
		tracer.Shutdown(t.Context())
		require.Empty(t, logs.String())
	})
}
