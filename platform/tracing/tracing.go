// Package tracing records what happens to a request, across services and processes, as a trace of OpenTelemetry, and exports it by OTLP.
//
// Tracing is off unless an endpoint is set. A context without a Tracer costs one lookup for each span that is not made, and no allocation.
// Spans have no content of messages, no key and no e-mail address: errors are named by their reason, never by their text.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/trivet-dev/trivet/platform/settings"
)

const (
	// maxQueue bounds the spans that wait for the exporter; what comes beyond is dropped.
	maxQueue = 4096
	// exportTimeout bounds one export, its repetitions included.
	exportTimeout = 10 * time.Second
	// flushTimeout bounds the last export when a process stops.
	flushTimeout = 3 * time.Second
	// maxValue bounds the text of an attribute, in bytes.
	maxValue = 256
)

// Options are what a Tracer needs besides its settings.
type Options struct {
	// Service is the default of OTEL_SERVICE_NAME, and Version that of the program.
	Service, Version string
	// Logger learns of exports that fail.
	Logger *slog.Logger
	// Headers are OTEL_EXPORTER_OTLP_HEADERS; they may change.
	Headers *settings.Live
	// Exporter replaces the one for OTLP, for tests.
	Exporter sdktrace.SpanExporter
}

// Tracer makes spans. A nil *Tracer makes none. It is safe for concurrent use.
type Tracer struct {
	tracer    trace.Tracer
	provider  *sdktrace.TracerProvider
	exporter  *logged
	logger    *slog.Logger
	incoming  string
	providers bool
}

// New returns the tracer of a process; nil when tracing is off. It connects to nothing before the first span ends.
func New(s Settings, o Options) (*Tracer, error) {
	address := s.address()
	if address == "" && o.Exporter == nil {
		return nil, nil //nolint:nilnil // a nil *Tracer is one that is off
	}
	sampler, err := s.sampler()
	if err != nil {
		return nil, err
	}
	if o.Exporter == nil {
		// The client follows no redirect: the headers hold a credential.
		client := &http.Client{Transport: &withHeaders{live: o.Headers}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		o.Exporter, err = otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(address), otlptracehttp.WithHTTPClient(client),
			otlptracehttp.WithTimeout(exportTimeout), otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithHeaders(map[string]string{}))
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
		}
	}
	exporter := &logged{SpanExporter: o.Exporter, logger: o.Logger, now: time.Now}
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxValue
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sampler),
		sdktrace.WithResource(s.resource(o.Service, o.Version)),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(maxQueue), sdktrace.WithExportTimeout(exportTimeout)),
	)
	return &Tracer{
		tracer: provider.Tracer("trivet"), provider: provider, exporter: exporter, logger: o.Logger, incoming: s.TraceIncoming, providers: s.TraceProviders,
	}, nil
}

// Shutdown exports the spans that wait, for a few seconds at most, and ends the tracer. A failed export is logged: a collector that is
// away must not fail a process.
func (t *Tracer) Shutdown(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.logger.WarnContext(ctx, "the last spans could not be exported", slog.String("error", short(err)))
	}
	t.exporter.rest(ctx)
}

// resource describes the process.
func (s Settings) resource(service, version string) *resource.Resource {
	attrs := []attribute.KeyValue{attribute.String("service.namespace", "trivet"), attribute.String("service.version", version)}
	for _, pair := range s.TraceResource {
		if key, value, ok := attributeOf(pair); ok {
			attrs = append(attrs, attribute.String(key, value))
		}
	}
	if s.TraceService != "" {
		service = s.TraceService
	}
	return resource.NewSchemaless(append(attrs, attribute.String("service.name", service))...)
}

// Key is the key of the tracer, a *Tracer, for contexts that hold more than one value.
type Key struct{}

// With returns a context whose roots t makes; ctx itself when t is nil.
func With(ctx context.Context, t *Tracer) context.Context {
	if t == nil {
		return ctx
	}
	return context.WithValue(ctx, Key{}, t)
}

// From returns the tracer of a context; nil if none exists.
func From(ctx context.Context) *Tracer {
	t, _ := ctx.Value(Key{}).(*Tracer)
	return t
}
