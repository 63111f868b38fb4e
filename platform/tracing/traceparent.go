package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Header is the name under which the context of a trace goes along with a call, as the W3C's Trace Context says.
const Header = "traceparent"

// headerKey is Header as net/http writes it.
const headerKey = "Traceparent"

// maxTraceparent bounds what is parsed: version 00 has 55 bytes.
const maxTraceparent = 128

// Traceparent returns the context of the trace that ctx belongs to, for another process; "" outside of a trace. The W3C's tracestate
// does not go along, because it has what others wrote.
func Traceparent(ctx context.Context) string {
	if From(ctx) == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[Header]
}

// parse returns the context that a traceparent means; an invalid one for any other text.
func parse(traceparent string) trace.SpanContext {
	if traceparent == "" || len(traceparent) > maxTraceparent {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{Header: traceparent})
	return trace.SpanContextFromContext(ctx)
}

// Incoming returns the traceparent of a request; "" unless there is exactly one.
func Incoming(h http.Header) string {
	if all := h[headerKey]; len(all) == 1 {
		return all[0]
	}
	return ""
}

// ToProvider returns a request that carries the context of the trace to a provider, if the settings allow that; else the request itself.
func ToProvider(ctx context.Context, r *http.Request) *http.Request {
	t := From(ctx)
	if t == nil || !t.providers {
		return r
	}
	traceparent := Traceparent(ctx)
	if traceparent == "" {
		return r
	}
	r = r.Clone(ctx)
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header[headerKey] = []string{traceparent}
	return r
}
