package inbox

import (
	"context"

	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// traced begins the trace of an attempt. It is linked to the trace of the request that put the event, which ended long before.
func (j *Job) traced(ctx context.Context) (context.Context, tracing.Span) {
	ctx, span := tracing.Root(ctx, "process "+j.Source, tracing.Consumer, j.trace)
	if span.On() {
		span.Set(attribute.String("messaging.system", "trivet"), attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.message.id", j.ID), attribute.String("trivet.source", j.Source), attribute.String("trivet.event_type", j.Type),
			attribute.Int("trivet.attempt", j.Attempts), attribute.Int("messaging.batch.message_count", 1+len(j.Earlier)))
	}
	return ctx, span
}

// endSpan ends the span of an attempt.
func endSpan(span tracing.Span, err error) {
	if err != nil && span.On() {
		span.Fail(errs.Code(errs.ReasonOf(err)))
	}
	span.End()
}
