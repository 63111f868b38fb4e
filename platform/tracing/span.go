package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Kinds of spans.
const (
	Server   = trace.SpanKindServer
	Client   = trace.SpanKindClient
	Internal = trace.SpanKindInternal
	Consumer = trace.SpanKindConsumer
)

// Span is one step of a trace. The zero value stands for a step that is not traced: its methods do nothing.
type Span struct{ span trace.Span }

// Start begins a span in the trace that ctx belongs to. Outside a trace it returns the zero Span, and ctx unchanged.
func Start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	t := From(ctx)
	if t == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, Span{}
	}
	return t.start(ctx, name, trace.WithSpanKind(kind))
}

// Root begins a trace of its own with the tracer of ctx, and links it to the context of another trace that Traceparent returned; "" links nothing.
func Root(ctx context.Context, name string, kind trace.SpanKind, linked string) (context.Context, Span) {
	t := From(ctx)
	if t == nil {
		return ctx, Span{}
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithNewRoot()}
	if other := parse(linked); other.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: other}))
	}
	return t.start(ctx, name, options...)
}

// Serve begins the span of a call that another process of this installation made: traceparent, which that process sent, is its parent.
// Without a valid traceparent it begins a trace if root is true; otherwise it returns the zero Span.
func (t *Tracer) Serve(ctx context.Context, name, traceparent string, root bool) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx = With(ctx, t)
	parent := parse(traceparent)
	switch {
	case parent.IsValid():
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	case !root:
		return ctx, Span{}
	}
	return t.start(ctx, name, trace.WithSpanKind(Server))
}

// Request begins the span of a request from outside. TRIVET_TRACE_INCOMING decides how its traceparent is
// used: strangers must not choose trace ids, or what is sampled.
func (t *Tracer) Request(ctx context.Context, name, traceparent string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	switch t.incoming {
	case incomingContinue:
		return t.Serve(ctx, name, traceparent, true)
	case incomingLink:
		return Root(With(ctx, t), name, Server, traceparent)
	default:
		return Root(With(ctx, t), name, Server, "")
	}
}

func (t *Tracer) start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, Span) {
	ctx, span := t.tracer.Start(ctx, name, options...)
	return ctx, Span{span}
}

// Current returns the span that ctx belongs to.
func Current(ctx context.Context) Span {
	if From(ctx) == nil {
		return Span{}
	}
	return Span{trace.SpanFromContext(ctx)}
}

// On reports whether the span is recorded. Ask before Set, because the attributes of a span that is not recorded cost allocations.
func (s Span) On() bool { return s.span != nil && s.span.IsRecording() }

// Set adds attributes.
func (s Span) Set(attrs ...attribute.KeyValue) {
	if s.On() {
		s.span.SetAttributes(attrs...)
	}
}

// Name replaces the name.
func (s Span) Name(name string) {
	if s.On() {
		s.span.SetName(name)
	}
}

// Fail marks the span as failed, for a reason such as "RATE_LIMIT_EXCEEDED". Never give the text of an error, which may have content.
func (s Span) Fail(reason string) {
	if s.On() {
		s.span.SetAttributes(attribute.String("error.type", reason))
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends the span; later calls have no effect.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// IDs returns the ids of the trace and the span that ctx belongs to, for the log; ok is false when nothing is exported of it.
func IDs(ctx context.Context) (traceID, spanID string, ok bool) {
	if From(ctx) == nil {
		return "", "", false
	}
	at := trace.SpanContextFromContext(ctx)
	if !at.IsSampled() {
		return "", "", false
	}
	return at.TraceID().String(), at.SpanID().String(), true
}
