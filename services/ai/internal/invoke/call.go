package invoke

import (
	"context"
	"log/slog"
	"net/http"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/meter"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// stage is how far a call came; it decides what is owed.
type stage uint8

const (
	held     stage = iota // nothing was sent: nothing is owed
	sent                  // the provider has the request
	answered              // the provider began an answer
	finished              // the provider ended its answer
	refused               // the provider answered an error, or nothing that is an answer: nothing is owed
)

// call is one call, from its hold to its settlement.
type call struct {
	invoker *Invoker
	req     *wire.Request
	model   models.Model
	sink    Sink
	meter   *meter.Meter
	hold    *hold.Hold
	input   int64 // counted input tokens; 0 when not counted

	stage     stage
	left      bool   // the caller has
	status    int    // the provider's
	requestID string // the provider's, from its headers
	chunk     wire.Chunk
	final     hold.Final
}

func (c *call) run(ctx context.Context, headers map[string]string) error {
	if ctx.Err() != nil { // left while the hold was made
		return c.failed(ctx, ctx.Err())
	}
	guess := c.guessInput()
	c.hold.Watch(func() tokens.Usage { return tokens.Usage{Input: guess, Output: c.meter.Guess()} })
	c.stage = sent
	response, err := c.invoker.Upstream.Send(ctx, c.req.Endpoint, c.req.Upstream(c.limit()), headers)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	c.status, c.requestID = response.StatusCode, response.Header.Get("X-Request-Id")
	switch {
	case response.StatusCode >= http.StatusBadRequest:
		return c.refusal(ctx, response)
	case !ok(response.StatusCode):
		c.stage = refused
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider answered with the status %d, which is no answer.", response.StatusCode)
	case upstream.Streamed(response):
		return c.stream(ctx, response)
	default:
		return c.whole(ctx, response)
	}
}

// limit is the bound of the output to send upstream; 0 when the model's own is as low.
func (c *call) limit() int64 {
	if n := c.hold.OutputTokens(); n < c.model.MaxOutputTokens {
		return n
	}
	return 0
}

// refusal passes on an error that the provider answered.
func (c *call) refusal(ctx context.Context, response *http.Response) error {
	c.stage = refused
	r, err := upstream.ReadRefusal(response)
	if err != nil {
		return c.failed(ctx, err)
	}
	if r.Ours() {
		c.invoker.Logger.ErrorContext(ctx, "the provider refuses Trivet's own account: check OPENAI_API_KEY, OPENAI_ORG_ID and the account's billing",
			slog.Int("status", r.Status), slog.String("code", r.Code), slog.String("message", r.Message))
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "Trivet's account at the provider is not set up right. The operator has to mend it.")
	}
	head := Head{Status: r.Status, Headers: upstream.Returned(response.Header)}
	head.Headers["content-type"] = "application/json"
	return c.answer(head, r.Body)
}

// whole passes on an answer in one piece, after its settlement.
func (c *call) whole(ctx context.Context, response *http.Response) error {
	body, err := upstream.ReadAnswer(response)
	if err != nil {
		return c.failed(ctx, err)
	}
	answer, good := wire.ReadAnswer(c.req.Endpoint, body)
	if !good {
		c.stage = refused
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer is no answer to this call.")
	}
	c.stage, c.meter.ProviderID = finished, answer.ID
	switch {
	case answer.HasUsage:
		c.meter.Tell(answer.Usage)
	case c.chunk.Read(body):
		c.meter.Add(&c.chunk, c.invoker.Counter)
	}
	return c.answer(Head{Status: response.StatusCode, Headers: upstream.Returned(response.Header)}, body)
}

// answer settles and passes on what is complete.
func (c *call) answer(head Head, body []byte) error {
	c.sink.Settled(c.close())
	if err := c.callerLeft(c.sink.Head(head)); err != nil {
		return err
	}
	return c.callerLeft(c.sink.Body(body))
}

// failed notes why the call ended early and returns the error for the caller. A caller who has left is the reason for
// whatever broke after that.
func (c *call) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		c.left = true
		return errs.From(context.Cause(ctx))
	}
	return upstream.Failure(err)
}

// close settles the call, once; a defer calls it on every way out, a panic's included.
func (c *call) close() hold.Receipt {
	receipt := c.hold.Close(func() hold.Final {
		c.final = c.owed()
		c.report()
		c.invoker.Recorder.Call(context.Background(), c.model.ID, c.final)
		return c.final
	})
	if !receipt.Settled { // billing will come to the same sum
		u := c.final.Usage
		receipt.Cost, _ = c.model.Cost(u.Input, u.Cached, u.Output)
	}
	return receipt
}

// report tells the provider's health how the call went, unless that is not the provider's doing.
func (c *call) report() {
	switch {
	case c.stage == finished, c.stage == refused && c.status >= http.StatusBadRequest && c.status < http.StatusInternalServerError:
		c.invoker.Health.Good()
	case c.stage == held, c.left:
	default:
		c.invoker.Health.Bad()
	}
}

// owed is what the call has used.
func (c *call) owed() hold.Final {
	final := hold.Final{Outcome: billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, ProviderID: c.requestID}
	if final.ProviderID == "" {
		final.ProviderID = c.meter.ProviderID
	}
	switch {
	case c.stage == finished:
		final.Outcome = billingv1.Outcome_OUTCOME_COMPLETED
	case c.left:
		final.Outcome = billingv1.Outcome_OUTCOME_CALLER_LEFT
	}
	told, known := c.meter.Told()
	switch {
	case c.stage == held, c.stage == refused:
	case known:
		final.Usage = told
	case c.stage == finished, c.left, c.meter.Produced():
		final.Usage, final.Estimated = c.count(), true
	default: // the provider failed before it produced anything
	}
	return final
}

// count is what was used as far as Trivet can see: the input, which the provider has read, and what it produced.
func (c *call) count() tokens.Usage {
	if c.input == 0 {
		c.input = c.req.CountInput(c.model, c.invoker.Counter)
	}
	return tokens.Usage{Input: c.input, Output: c.meter.Count(c.invoker.Counter)}
}

// guessInput is the input of checkpoints: counted if it was, else what text of that length commonly has.
func (c *call) guessInput() int64 {
	if c.input > 0 {
		return c.input
	}
	return c.req.GuessInput(c.model)
}
