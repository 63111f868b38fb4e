package invoke

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const (
	// finalText and finalTime bound the count of an input that is billed because the provider reported none.
	finalText = 4 << 20
	finalTime = time.Second
)

// close settles the call, once; a defer calls it on every way out, a panic's included.
func (c *call) close() hold.Receipt {
	if !c.closing {
		c.closing, c.leftEarly = true, c.hasLeft()
	}
	if c.outlives() {
		return c.closeRunning()
	}
	receipt := c.hold.Close(func() hold.Final {
		c.final = c.owed()
		c.record(&c.final)
		c.report()
		c.invoker.deps.Recorder.Call(c.up, c.model.ID, c.final)
		return c.final
	})
	if !receipt.Settled { // billing will come to the same sum
		u := c.final.Usage
		if receipt.Cost = c.final.Cost; !c.final.Priced {
			receipt.Cost, _ = c.model.Cost(u.Input, u.Cached, u.Output)
		}
	}
	return receipt
}

// record writes down what the call's record says besides its usage.
func (c *call) record(final *hold.Final) {
	now := c.invoker.deps.Now()
	final.Latency = now.Sub(c.began)
	if !c.firstByte.IsZero() {
		final.FirstByte = c.firstByte.Sub(c.began)
	} else if c.stage == finished || c.stage == refused && c.status >= http.StatusBadRequest { // an answer in one piece goes out after its settlement
		final.FirstByte = final.Latency
	}
	if c.route != nil && c.stage != held {
		final.Target, final.ServedModel = c.route.Target, c.served
	}
	switch {
	case c.hasLeft():
		final.ErrorCode = errs.Code(errorsv1.ErrorReason_ERROR_REASON_CANCELLED)
	case c.err != nil:
		final.ErrorCode = errs.Code(errs.ReasonOf(c.err))
	}
}

// servedModel is the text of a model's name, without a copy of one that is known.
func (c *call) servedModel(name []byte) string {
	switch {
	case len(name) == 0:
		return ""
	case string(name) == c.model.ID:
		return c.model.ID
	}
	for _, alias := range c.model.Aliases {
		if string(name) == alias {
			return alias
		}
	}
	return string(name)
}

// report records the provider's health, unless the provider is not the reason for how the call ended.
func (c *call) report() {
	switch {
	case c.stage == finished, c.stage == refused && c.status != http.StatusUnauthorized && c.status >= http.StatusBadRequest && c.status < http.StatusInternalServerError:
		c.invoker.deps.Health.Good()
	case c.stage == held, c.hasLeft():
	default:
		c.invoker.deps.Health.Bad()
	}
}

// owed is what the call has used.
func (c *call) owed() hold.Final { return c.owedAfter(context.Cause(c.up)) }

// owedAfter is owed for a call that Trivet has ended for a cause; nil for one that it has not ended.
func (c *call) owedAfter(cause error) hold.Final {
	final := hold.Final{Outcome: billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, ProviderID: c.requestID}
	if final.ProviderID == "" {
		final.ProviderID = c.meter.ProviderID
	}
	switch {
	case c.hasLeft():
		final.Outcome = billingv1.Outcome_OUTCOME_CALLER_LEFT
	case c.stage == finished:
		final.Outcome = billingv1.Outcome_OUTCOME_COMPLETED
	}
	if !c.owes(cause) {
		c.noteUnreported(0)
		return final
	}
	if c.req.Media != nil {
		return c.owedMedia(final, cause)
	}
	verdict := tokens.Judge(c.evidence())
	c.addThought(&verdict)
	if unread := c.unread(cause); unread != nil {
		verdict.Usage.Output, verdict.Estimated = c.bound().Output, true
		if len(c.req.Hosted) > 0 { // what the tools found is input
			verdict.Usage.Input, verdict.Usage.Cached = c.bound().Input, 0
		}
		c.invoker.deps.Logger.WarnContext(c.up, "an abandoned answer was not read to its end; the call is billed at its hold's bound",
			slog.Any("reason", unread), slog.String("hold_id", c.hold.ID()), slog.String("model", c.model.ID), slog.Int64("output_tokens", verdict.Usage.Output))
	}
	c.noteExcess(verdict)
	final.Usage, final.Estimated = verdict.Usage, verdict.Estimated
	c.priceFeatures(&final)
	return final
}

// owes reports whether anything was used: not when the provider failed before it produced anything.
func (c *call) owes(cause error) bool {
	if c.req.Endpoint == wire.Moderations { // free
		return false
	}
	switch c.stage {
	case held, refused:
		return false
	case finished:
		return true
	default:
		if c.req.Endpoint == wire.Speech && cause == nil { // the provider charges for the text that it has read
			return c.headed
		}
		if c.req.Media != nil && c.priced.read {
			return true
		}
		r := c.meter.Reported()
		return cause != nil || c.produced() || max(r.Input, r.Output, r.Total) > 0
	}
}

func (c *call) evidence() tokens.Evidence {
	embedding := c.req.Endpoint == wire.Embeddings
	return tokens.Evidence{
		Reported: c.meter.Reported(), Embedding: embedding, Orderly: c.stage == finished,
		Several: c.req.Choices > 1 || c.meter.Several(), Produced: c.produced() || embedding, CountInput: c.countInput, CountOutput: c.countOutput, Bound: c.bound(),
	}
}

// produced reports whether any output was seen, by this call or by another one of the same response.
func (c *call) produced() bool { return c.meter.Produced() || c.seen > 0 }

func (c *call) countOutput() int64 { return max(c.meter.Count(), c.seen) }

// bound is the most that the hold is for.
func (c *call) bound() tokens.Usage {
	return tokens.Usage{Input: c.hold.InputTokens(), Output: c.hold.OutputTokens() * c.req.Choices}
}

// noteExcess reports a provider to the operator that claims, or sends, more than it was asked for. It is not billed.
func (c *call) noteExcess(v tokens.Verdict) {
	excess := v.Excess
	if c.exceeded || v.Estimated {
		excess.Output = max(excess.Output, c.meter.Lower()-c.bound().Output)
	}
	if excess == (tokens.Usage{}) {
		return
	}
	c.invoker.deps.Recorder.Excess(c.up, c.model.ID, excess)
	r := c.meter.Reported()
	c.invoker.deps.Logger.ErrorContext(c.up, "the provider exceeds the bound of a call; the excess is not billed",
		slog.String("hold_id", c.hold.ID()), slog.String("model", c.model.ID), slog.String("provider_request_id", c.requestID),
		slog.Int64("reported_input_tokens", r.Input), slog.Int64("bound_input_tokens", c.bound().Input),
		slog.Int64("reported_output_tokens", max(r.Output, r.Total-max(r.Input, 0))), slog.Int64("bound_output_tokens", c.bound().Output),
		slog.Bool("stream_cut", c.exceeded))
}

// countInput counts the input, which the provider has read. A caller who left is never billed less than the input can
// have been; after an orderly end, a model with an unknown vocabulary is taken to count like OpenAI's.
func (c *call) countInput() int64 {
	if c.input > 0 {
		return c.input
	}
	vocabulary := c.model.Vocabulary
	if vocabulary == models.VocabularyBytes && !c.hasLeft() {
		vocabulary = models.VocabularyO200k
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.up), finalTime)
	defer cancel()
	budget := c.invoker.deps.Counter.Budget(ctx, vocabulary, finalText)
	defer budget.Close()
	c.input = c.req.CountInput(c.model, budget)
	return c.input
}

// guessInput is the input of checkpoints: counted if it was, else what text of that length commonly has.
func (c *call) guessInput() int64 {
	if c.input > 0 {
		return c.input
	}
	return c.req.GuessInput(c.model)
}
