package invoke

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// seenEvery is how often a stream notes how many tokens of a running response its caller has got.
const seenEvery = 2 * time.Second

// Runner keeps the responses that outlive the calls that began them.
type Runner interface {
	// See notes how many output tokens of a response a caller has got so far, and reports whether it did. It waits only briefly, except for
	// the last number of a stream.
	See(ctx context.Context, id string, tokens int64, last bool) (noted bool)
	// Settle settles a response that has ended, unless billing is away: then the response stays.
	Settle(ctx context.Context, r *stored.Running, h *hold.Hold, final hold.Final) hold.Receipt
}

// terms are what the settlement of a response has to know of its request. They have no content.
type terms struct {
	// Model is the model with the prices that the call began with.
	Model models.Model `json:"model"`
	// Input and Output bound the tokens, as the hold does, and Likely is the input that is billed when the provider reports none.
	Input  int64 `json:"input"`
	Output int64 `json:"output"`
	Likely int64 `json:"likely"`
	// FirstByte is when the caller got the first byte of the answer, after the call's start.
	FirstByte time.Duration `json:"first_byte"`
	// Tier, Hosted, MaxToolCalls, Most and Worst price what is not text. Most is nil for a call that billing prices.
	Tier         string             `json:"tier,omitempty"`
	Hosted       []string           `json:"hosted,omitempty"`
	MaxToolCalls int64              `json:"max_tool_calls,omitempty"`
	Most         *models.Quantities `json:"most,omitempty"`
	Worst        models.Worst       `json:"worst"`
}

// startRunning is what the runner has to know of a response that the provider makes in the background; nil for another one.
func (c *call) startRunning() (*stored.Running, error) {
	if !c.req.Background || c.response.noted || c.response.reader.Ended() {
		return nil, nil //nolint:nilnil // nothing runs
	}
	model := c.model
	model.Routes, model.RefusedFields = nil, nil
	t := terms{
		Model: model, Input: c.hold.InputTokens(), Output: c.hold.OutputTokens(), Likely: c.guessInput(), FirstByte: c.invoker.deps.Now().Sub(c.began),
		Tier: c.req.Tier, Hosted: c.req.Hosted, MaxToolCalls: c.req.MaxToolCalls,
	}
	if c.priced != nil {
		t.Most, t.Worst = &c.priced.most, c.priced.worst
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode the terms of a response: %w", err)
	}
	return &stored.Running{
		ID: c.response.reader.ID, Account: c.account, Model: c.model.ID, Target: c.route.Target, Hold: c.hold.ID(),
		Request: requestid.From(c.up), Terms: raw, Created: c.began,
	}, nil
}

// handOver leaves the settlement to whoever sees the end of the response. From now on the response continues when the call ends.
func (c *call) handOver(r *stored.Running) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.response.running, c.response.outlives = r, true
	c.hopeless = true // another target would make the response again
	if c.left {
		c.cancel(errLeft)
	}
}

// outlives reports whether the provider keeps making the response after the call ends.
func (c *call) outlives() bool { return c.response != nil && c.response.outlives }

// resumes reports whether another call began the response.
func (c *call) resumes() bool { return c.response != nil && c.response.resumed }

// noteSeen notes what the caller has got of a running response. It is what is billed if the provider never reports a usage. Streams of one response may
// overlap, so only what this one has passed on counts, and the store keeps the highest number: all of it was certainly passed on.
func (c *call) noteSeen(now time.Time, last bool) {
	r := c.response
	if r == nil || r.running == nil || !last && now.Sub(r.seenAt) < seenEvery {
		return
	}
	got := c.meter.Guess()
	if r.seenAt = now; got > r.seen && r.runner.See(c.up, r.running.ID, got, last) {
		r.seen = got
	}
}

// closeRunning is close for a call whose response outlives it. It settles only what it has seen the end of.
func (c *call) closeRunning() hold.Receipt {
	r := c.response
	if r.closed {
		return r.receipt
	}
	r.closed = true
	c.hold.Leave()
	c.report()
	switch {
	case r.running == nil: // settled long ago
	case !r.reader.Ended() || c.exceeded:
		c.noteSeen(c.invoker.deps.Now(), true)
		if !r.resumed { // the limits count the most that it may use
			c.unsettled = c.priced.guess(c.req, c.model)
		}
	default:
		c.seen = max(r.running.Seen, r.seen)
		c.final = c.ending()
		r.receipt = r.runner.Settle(c.up, r.running, c.hold, c.final)
	}
	return r.receipt
}

// ending is what a response has used that ran in the background.
func (c *call) ending() hold.Final {
	final := c.owedAfter(nil) // the answer was read to its end
	c.record(&final)
	r := &c.response.reader
	if final.ServedModel == "" && r.Response != nil {
		final.ServedModel = c.servedModel(wire.ModelOf(r.Response))
	}
	final.ErrorCode = ""
	switch { // whether the caller of this call has left does not matter
	case r.Status == "cancelled":
		final.Outcome = billingv1.Outcome_OUTCOME_CALLER_LEFT
	case c.stage == finished:
		final.Outcome = billingv1.Outcome_OUTCOME_COMPLETED
	default:
		final.Outcome = billingv1.Outcome_OUTCOME_UPSTREAM_FAILED
	}
	if end := time.Unix(r.CompletedAt, 0); r.CompletedAt > 0 && end.After(c.began) && end.Before(c.began.Add(final.Latency)) {
		final.Latency = end.Sub(c.began)
	}
	return final
}

// revive returns a call for a response that an earlier call began.
func (i *Invoker) revive(ctx context.Context, r *stored.Running) (*call, error) {
	var t terms
	if err := json.Unmarshal(r.Terms, &t); err != nil {
		return nil, fmt.Errorf("decode the terms of the response %s: %w", r.ID, err)
	}
	req := &wire.Request{
		Endpoint: wire.Responses, Model: t.Model.ID, Choices: 1, Background: true, References: wire.References{Stored: true},
		Tier: t.Tier, Hosted: t.Hosted, MaxToolCalls: t.MaxToolCalls,
	}
	ctx = requestid.With(ctx, r.Request)
	h := i.deps.Keeper.Adopt(ctx, r.Hold, t.Input, t.Output)
	c := i.newCall(ctx, r.Account, req, t.Model, reservation{hold: h, input: t.Likely}, nil, nil)
	c.began, c.firstByte = r.Created, r.Created.Add(t.FirstByte)
	c.route, c.status, c.stage, c.seen = &models.Route{Target: r.Target}, http.StatusOK, answered, r.Seen
	if t.Most != nil {
		c.priced = &priced{most: *t.Most, worst: t.Worst}
	}
	c.response = &responding{target: r.Target, running: r, outlives: true, noted: true, resumed: true, start: r.ID}
	c.response.reader.ID = r.ID
	return c, nil
}

// Ending is what an answer says of a response that runs in the background.
type Ending struct {
	// Status is the provider's: "queued", "completed" …
	Status string
	// Ended tells that the response does not change any more; the rest is set only then.
	Ended bool
	// Kept is what is known of it now, and Final what it has used.
	Kept  Kept
	Final hold.Final
	// Hold pays for it.
	Hold *hold.Hold
}

// Ending reads a response in one piece. The attempt of ctx learns what an ended one has used. The error tells that the body is not a
// response.
func (i *Invoker) Ending(ctx context.Context, r *stored.Running, body []byte) (e Ending, err error) {
	c, err := i.revive(ctx, r)
	if err != nil {
		return e, err
	}
	defer c.discard()
	if err := c.measure(body); err != nil {
		return e, err
	}
	reader := &c.response.reader
	e = Ending{Status: reader.Status, Ended: reader.Ended(), Hold: c.hold}
	if !e.Ended {
		return e, nil
	}
	c.finish()
	e.Final, e.Kept = c.ending(), c.keptNow()
	provider.AttemptOf(ctx).Used(e.Final.Usage.Total())
	return e, nil
}

// Lost is the ending of a response whose end nobody will see, for a reason that its record gets. What callers have got of it is billed, as for
// a stream that the provider breaks off.
func (i *Invoker) Lost(ctx context.Context, r *stored.Running, reason error) (e Ending, err error) {
	c, err := i.revive(ctx, r)
	if err != nil {
		return e, err
	}
	defer c.discard()
	c.err = reason
	e = Ending{Status: "lost", Ended: true, Hold: c.hold, Final: c.owed()}
	c.record(&e.Final)
	return e, nil
}

// Extend renews the lease of the hold of a running response. A process that dies must not make it cheaper, so the checkpoint is at the bound until the
// response is settled.
func (i *Invoker) Extend(ctx context.Context, r *stored.Running) error {
	c, err := i.revive(ctx, r)
	if err != nil {
		return err
	}
	defer c.discard()
	return c.hold.Extend(ctx, c.bound())
}

// discard gives back what a revived call has.
func (c *call) discard() {
	c.cancel(nil)
	c.invoker.meters.Put(c.meter)
}
