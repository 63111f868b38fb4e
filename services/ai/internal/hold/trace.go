package hold

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// describeReserve ends the span of a reservation.
func describeReserve(span tracing.Span, req *billingv1.ReserveRequest, res *billingv1.ReserveResponse, err error) {
	if span.On() {
		span.Set(attribute.String("gen_ai.request.model", req.GetModel()), attribute.String("trivet.hold_id", res.GetHoldId()),
			attribute.Int64("trivet.held_nano_usd", res.GetHeldNanoUsd()), attribute.Int64("trivet.input_tokens", int64(req.GetInputTokens())),
			attribute.Int64("trivet.output_tokens", int64(res.GetOutputTokens())))
		if err != nil {
			span.Fail(errs.Code(errs.ReasonOf(err)))
		}
	}
	span.End()
}

// describeSettle ends the span of a settlement with what the call cost.
func describeSettle(span tracing.Span, h *Hold, final *Final, r Receipt) {
	if span.On() {
		span.Set(attribute.String("trivet.hold_id", h.id), attribute.Bool("trivet.settled", r.Settled), attribute.Int64("trivet.cost_nano_usd", r.Cost),
			attribute.Int64("gen_ai.usage.input_tokens", r.Usage.Input), attribute.Int64("gen_ai.usage.output_tokens", r.Usage.Output),
			attribute.String("trivet.outcome", strings.ToLower(strings.TrimPrefix(final.Outcome.String(), "OUTCOME_"))))
	}
	span.End()
}
