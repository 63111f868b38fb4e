package invoke

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/sse"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
)

const (
	// doneData is the data of the event that ends every good stream.
	doneData = "[DONE]"
	// drainTime and drainBytes bound the wait for the end of a body after its [DONE].
	drainTime  = 50 * time.Millisecond
	drainBytes = 4 << 10
)

// stream passes on a stream. All events that one read brings go out as one piece, at once; only [DONE] waits, for the
// settlement: who has seen it finds the cost in the ledger.
func (c *call) stream(ctx context.Context, response *http.Response) error {
	c.stage = answered
	head := Head{Status: response.StatusCode, Headers: upstream.Returned(response.Header), Streamed: true}
	if err := c.callerLeft(c.sink.Head(head)); err != nil {
		return err
	}
	s := c.invoker.scanners.Scanner(response.Body)
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
			return c.last(done, response.Body)
		}
		if readErr != nil {
			return c.broken(ctx, readErr)
		}
	}
}

// events passes on the events that have come in. It returns the bytes of [DONE], which it leaves; nil when it has not come.
func (c *call) events(s *sse.Scanner) (done []byte, err error) {
	start, end := -1, -1 // of what is to be passed on
	pass := func() error {
		from, to := start, end
		start, end = -1, -1
		if from == to {
			return nil
		}
		return c.callerLeft(c.sink.Body(s.Slice(from, to)))
	}
	for ev, ok := s.Next(); ok; ev, ok = s.Next() {
		hide := false
		switch {
		case len(ev.Data) == 0:
		case string(ev.Data) == doneData:
			return s.Slice(ev.Start, ev.End), pass()
		default:
			if hide, err = c.observe(ev.Data); err != nil {
				return nil, firstOf(pass(), err)
			}
		}
		if hide {
			if err := pass(); err != nil {
				return nil, err
			}
			continue
		}
		if start < 0 {
			start = ev.Start
		}
		end = ev.End
	}
	return nil, pass()
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
func (c *call) last(done []byte, body io.ReadCloser) error {
	c.stage = finished
	c.sink.Settled(c.close())
	if err := c.callerLeft(c.sink.Body(done)); err != nil {
		return err
	}
	giveUp := time.AfterFunc(drainTime, func() { _ = body.Close() })
	defer giveUp.Stop()
	_, _ = io.CopyN(io.Discard, body, drainBytes)
	return nil
}

// broken is the error for a stream that ended without [DONE], in whatever way.
func (c *call) broken(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return c.failed(ctx, io.ErrUnexpectedEOF)
	case errors.Is(err, sse.ErrEventTooLarge):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider broke its answer: an event is too large.").Cause(err)
	default:
		return c.failed(ctx, err)
	}
}

// callerLeft notes that the sink takes nothing any more; nil stays nil.
func (c *call) callerLeft(err error) error {
	if err == nil {
		return nil
	}
	c.left = true
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The caller left.").Cause(err)
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// observe measures a chunk. It reports true for the one that holds only the usage that the caller did not ask for.
func (c *call) observe(data []byte) (hide bool, err error) {
	k := &c.chunk
	if !k.Read(data) {
		return false, errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider broke its answer: an event is not JSON.")
	}
	if k.Error != nil {
		return false, streamError(k.Error)
	}
	c.meter.Add(k, c.invoker.Counter)
	return k.HasUsage && k.Choices == 0 && !c.req.AskedUsage, nil
}

// streamError is an error that the provider sent in place of the rest of its answer.
func streamError(raw []byte) *errs.Error {
	var told struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(raw, &told) != nil || told.Message == "" {
		told.Message = "it did not say why"
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider broke off its answer: %s", upstream.Text(told.Message))
}
