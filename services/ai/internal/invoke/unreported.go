package invoke

import (
	"context"
	"log/slog"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// thoughtRate is the low estimate of how many tokens a second a model reasons: the models of the price list make 30 and
// more.
const thoughtRate = 20

// addThought adds what a model has reasoned, out of sight, before the first output of a stream that the provider broke
// off: only the end of an answer reports it. The estimate is low and within the bound. A provider that breaks off before
// it shows anything is not paid for, as ever.
func (c *call) addThought(v *tokens.Verdict) {
	if !c.unreported() {
		return
	}
	var thought int64
	if c.stage == answered && c.thinks() && !c.shown.IsZero() {
		thought = int64(c.shown.Sub(c.start) / time.Second * thoughtRate)
		thought = min(thought, c.bound().Output-v.Usage.Output)
	}
	v.Usage.Output += thought
	v.Usage.Reasoning += thought
	c.noteUnreported(thought)
}

// unreported reports whether the provider, and not Trivet, ended an answer that it had begun, or never began in time,
// without its usage, and whether it may have output that Trivet did not see.
func (c *call) unreported() bool {
	if c.req.Endpoint == wire.Moderations || c.stage != sent && c.stage != answered || c.exceeded || context.Cause(c.up) != nil || !c.uncountable() {
		return false
	}
	r := c.meter.Reported()
	begun := c.status > 0 || errs.ReasonOf(c.err) == errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT
	return begun && max(r.Output, r.Total) <= 0
}

// noteUnreported tells the operator of a call that the provider may charge more for than Trivet does.
func (c *call) noteUnreported(thought int64) {
	if !c.unreported() {
		return
	}
	c.invoker.deps.Recorder.Unreported(c.up, c.model.ID)
	c.invoker.deps.Logger.WarnContext(c.up, "the provider broke off an answer that cannot be counted; compare the call with the provider's invoice",
		slog.String("hold_id", c.hold.ID()), slog.String("model", c.model.ID), slog.String("provider_request_id", c.requestID),
		slog.Int64("estimated_reasoning_tokens", thought), slog.Int64("bound_output_tokens", c.bound().Output))
}
