package invoke

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/sse"
)

const (
	// doneData is the data of the event that ends every good stream.
	doneData = "[DONE]"
	// drainTime and drainBytes bound the wait for the end of a body after its [DONE].
	drainTime  = 50 * time.Millisecond
	drainBytes = 4 << 10
)

// stream passes on a stream. All events that one read brings go out as one piece, at once; only [DONE] waits for the
// settlement: a caller who has seen it finds the cost in the ledger.
func (c *call) stream(answer *Answer) error {
	c.stage = answered
	c.sendHead(Head{Status: answer.Status, Headers: answer.Headers, Streamed: true})
	s := c.invoker.scanners.Scanner(answer.Body)
	defer s.Close()
	for {
		readErr := s.Fill()
		done, err := c.events(s)
		if err != nil {
			return err
		}
		if done == nil && readErr != nil {
			done = c.rest(s)
		}
		if done != nil {
			c.last(done, answer.Body)
			return nil
		}
		if readErr != nil {
			return c.broken(readErr)
		}
	}
}

// events passes on the events that have come in. It returns the bytes of [DONE], which it leaves; nil when it has not come.
func (c *call) events(s *sse.Scanner) (done []byte, err error) {
	start, end := -1, -1 // of what is to be passed on
	pass := func() {
		if start != end {
			c.sendBody(s.Slice(start, end))
		}
		start, end = -1, -1
	}
	defer pass()
	for ev, ok := s.Next(); ok; ev, ok = s.Next() {
		hide := false
		switch {
		case len(ev.Data) == 0:
		case string(ev.Data) == doneData:
			return s.Slice(ev.Start, ev.End), nil
		default:
			if hide, err = c.observe(ev.Data); err != nil {
				return nil, err
			}
		}
		if hide {
			pass()
			continue
		}
		if start < 0 {
			start = ev.Start
		}
		end = ev.End
	}
	return nil, nil
}

// rest returns a [DONE] that the provider did not end with a blank line; anything else that is left is half an event.
func (c *call) rest(s *sse.Scanner) []byte {
	if ev, ok := s.Rest(); ok && string(ev.Data) == doneData {
		return s.Slice(ev.Start, ev.End)
	}
	return nil
}

// last settles, passes on [DONE], and reads to the end of the body, where there is nothing more, so that the connection
// can be used again.
func (c *call) last(done []byte, body io.ReadCloser) {
	c.stage = finished
	c.settle()
	c.sendBody(done)
	giveUp := time.AfterFunc(drainTime, func() { _ = body.Close() })
	defer giveUp.Stop()
	_, _ = io.CopyN(io.Discard, body, drainBytes)
}

// broken is the error for a stream that ended without [DONE], in whatever way.
func (c *call) broken(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return c.failed(errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider ended its answer early.").Cause(io.ErrUnexpectedEOF))
	case errors.Is(err, sse.ErrEventTooLarge):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer has an event that is too large.").Cause(err)
	default:
		return c.failed(err)
	}
}

// observe measures a chunk. It reports true for the one that holds only the usage that the caller did not ask for.
func (c *call) observe(data []byte) (hide bool, err error) {
	k := &c.chunk
	if !k.Read(data) {
		return false, errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer has an event that is not JSON.")
	}
	if k.Error != nil {
		return false, c.streamError(k.Error)
	}
	c.meter.Add(k)
	if c.shown.IsZero() && c.meter.Produced() {
		c.shown = c.invoker.deps.Now()
	}
	if c.meter.Exceeds(c.bound().Output) {
		c.exceeded = true
		return false, errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR,
			"The provider sent more than the %d output tokens that it was asked for; its answer was cut.", c.bound().Output)
	}
	return k.HasUsage && k.Choices == 0 && !c.req.AskedUsage, nil
}

// streamError is an error that the provider sent in place of the rest of its answer.
func (c *call) streamError(raw []byte) *errs.Error {
	var sent struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(raw, &sent) != nil || sent.Message == "" {
		sent.Message = "no reason was given"
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider ended its answer with an error: %s",
		Shorten(c.invoker.deps.Target.Redact(sent.Message)))
}
