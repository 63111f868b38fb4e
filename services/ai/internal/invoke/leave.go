package invoke

import (
	"errors"
	"log/slog"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// usageWait is how long a stream whose choices have all ended is read for its usage after the caller has left.
const usageWait = 2 * time.Second

// Why Trivet ends a call before its answer has ended. All but errLeft leave output unknown that may have been produced.
var (
	errLeft     = errors.New("the caller left")
	errNoRoom   = errors.New("too many abandoned answers are read already")
	errNoShare  = errors.New("too many abandoned answers of this account are read already")
	errTooLong  = errors.New("the abandoned answer did not end in time")
	errStopping = errors.New("the process stops")
)

// leave ends the caller's part in the call: the sink is not used any more. What the provider has produced is owed all
// the same, so the call continues for as long as it takes to learn how much that is:
//
//   - An answer in one piece, and one with output that cannot be counted, such as reasoning, is read to its end.
//   - A stream whose choices have all ended costs nothing more; only its usage is awaited.
//   - Any other stream is cut off, and what has come in is counted.
func (c *call) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked()
}

func (c *call) leaveLocked() {
	if c.ended || c.left {
		return
	}
	c.left, c.sink = true, nil
	c.req.Drop() // Body makes no further attempt
	close(c.gone)
	c.invoker.abandoned.add(c)
	switch {
	case c.outlives(): // the provider makes it anyway
		c.cancel(errLeft)
	case c.uncountable():
		c.readOn()
	case c.meter.Finished() >= c.req.Choices:
		c.timer = time.AfterFunc(usageWait, func() { c.cancel(errLeft) })
	default:
		c.cancel(errLeft)
	}
}

// uncountable reports whether the call may have output that passes no meter.
func (c *call) uncountable() bool {
	if c.req.Endpoint == wire.Speech { // its price is known from the start
		return false
	}
	if len(c.req.Hosted) > 0 || c.speaks() || c.req.Background { // only the end tells which tools ran, and how much of the output is sound; without its id, a response cannot be found again
		return true
	}
	return !c.req.Stream || c.whole.Load() || c.thinks()
}

// speaks reports whether a conversation may have sound in its output that costs more than text.
func (c *call) speaks() bool {
	return c.req.Media == nil && c.priced != nil && c.priced.most.AudioOutput > 0
}

// thinks reports whether the model may reason without showing it.
func (c *call) thinks() bool {
	return c.model.Reasoning || c.meter.Hidden() || c.invoker.reasons(c.model.ID)
}

// readOn lets the call continue within the bounds for abandoned reads.
func (c *call) readOn() {
	c.reading = true
	c.unseen.Store(true)
	if err := c.invoker.abandoned.acquire(c.account); err != nil {
		c.cancel(err)
		return
	}
	c.slot = true
	c.timer = time.AfterFunc(c.invoker.deps.AbandonedReadTimeout, func() { c.cancel(errTooLong) })
}

// detach ends what leave began, when the call is settled.
func (c *call) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.slot {
		c.invoker.abandoned.release(c.account)
	}
	if c.left {
		c.invoker.abandoned.remove(c)
	}
}

// unread reports why an answer that had to be read to its end was not; nil when it was, or did not have to be.
func (c *call) unread(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage == finished || !c.reading || cause == nil {
		return nil
	}
	return cause
}

// hasLeft reports whether the caller has left.
func (c *call) hasLeft() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// The caller gets what follows as long as it has not left; an error of the sink means that it has.

func (c *call) sendHead(h Head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.resumes() || c.firstByte.IsZero() { // the first byte of a response is that of the call that began it
		c.firstByte = c.invoker.deps.Now()
	}
	c.req.Drop() // no other target is tried
	h.Limits = c.ticket.Levels()
	if c.sink != nil && c.sink.Head(h) != nil {
		c.leaveLocked()
	}
}

func (c *call) sendBody(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sink != nil && c.sink.Body(p) != nil {
		c.leaveLocked()
	}
}

func (c *call) settle() {
	receipt := c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sink != nil {
		c.sink.Settled(receipt)
	}
}

// callerLeft is the error of a call whose caller has left.
func callerLeft(cause error) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The caller left.").Cause(cause)
}

// reasons reports whether a model that the price list does not mark has been seen to reason.
func (i *Invoker) reasons(model string) bool {
	_, seen := i.reasoners.Load(model)
	return seen
}

// noteReasoning remembers a model that reasons although the price list does not mark it.
func (c *call) noteReasoning() {
	if c.resumes() || c.model.Reasoning || c.meter.Reported().Reasoning <= 0 { // a resumed call may not know its model
		return
	}
	if _, seen := c.invoker.reasoners.LoadOrStore(c.model.ID, struct{}{}); !seen {
		c.invoker.deps.Logger.WarnContext(c.up, "a model reports reasoning tokens; set reasoning: true for it in MODELS_FILE",
			slog.String("model", c.model.ID))
	}
}
