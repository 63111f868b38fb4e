package invoke

import (
	"bytes"
	"errors"
	"io"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/sse"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const (
	// doneData is the data of the event that ends every good stream.
	doneData = "[DONE]"
	// drainTime and drainBytes bound the wait for the end of a body after its [DONE].
	drainTime  = 50 * time.Millisecond
	drainBytes = 4 << 10
	// maxEarly bounds the comments that wait for the first data of a stream, in bytes.
	maxEarly = 4 << 10
)

// streamed passes on the answer to a call that asked for a stream.
func (c *call) streamed(answer *Answer) error {
	c.stage = answered
	s := c.invoker.scanners.Scanner(answer.Body)
	defer s.Close()
	form, err := readOpening(s)
	if form == openOther && answer.Streamed && isField(s.Unread()) {
		form = openEvents
	}
	switch form {
	case openEvents:
		c.whole.Store(false)
		return c.stream(s, err, answer)
	case openJSON:
		c.whole.Store(true)
		return c.spread(resume(s, answer.Body, err), answer)
	case openNothing:
		return c.broken(err)
	default:
		return c.notAnAnswer()
	}
}

// stream passes on a stream. All events that one read brings go out as one piece, at once; only [DONE] waits for the
// settlement: a caller who has seen it finds the cost in the ledger.
func (c *call) stream(s *sse.Scanner, readErr error, answer *Answer) error {
	done, err := c.follow(s, readErr, answer)
	if err != nil {
		return err
	}
	c.begin(answer, false)
	if c.req.Media != nil {
		c.lastMedia(done, s, answer.Body)
		return nil
	}
	c.last(done, answer.Body)
	return nil
}

// follow reads a stream to its end and returns the bytes of its [DONE]. readErr is the error that the last read brought
// along with what is already there.
func (c *call) follow(s *sse.Scanner, readErr error, answer *Answer) (done []byte, err error) {
	for {
		done, err = c.events(s, answer)
		if err != nil || done != nil {
			return done, err
		}
		if readErr != nil {
			if done = c.rest(s, readErr); done != nil {
				return done, nil
			}
			return nil, c.broken(readErr)
		}
		readErr = s.Fill()
	}
}

// begin sends the head of a stream, once, and the comments that came early. more tells that a part of the body follows at once.
func (c *call) begin(answer *Answer, more bool) {
	if c.headed {
		return
	}
	c.headed = true
	answer.Headers["content-type"] = typeEvents
	c.sendHead(Head{Status: answer.Status, Headers: answer.Headers, Streamed: true, Together: more || len(c.early) > 0})
	if len(c.early) > 0 {
		c.sendBody(c.early)
		c.early = nil
	}
}

// events passes on the events that have come in. It returns the bytes of [DONE], which it leaves; nil when it has not come.
func (c *call) events(s *sse.Scanner, answer *Answer) (done []byte, err error) {
	start, end, data := -1, -1, false // of what is to be passed on, and whether that is more than comments
	pass := func() {
		if start != end {
			c.sendEvents(s.Slice(start, end), data, answer)
		}
		start, end, data = -1, -1, false
	}
	defer pass()
	for ev, ok := s.Next(); ok; ev, ok = s.Next() {
		hide := c.joiner != nil || c.response != nil && c.response.gathers
		switch {
		case len(ev.Data) == 0:
		case c.endsWithDone() && isDone(ev.Data):
			return s.Slice(ev.Start, ev.End), nil
		default:
			measured, err := c.observe(ev.Data)
			if err != nil {
				return nil, err
			}
			hide, data = hide || measured, true
		}
		if c.ends() {
			return s.Slice(ev.Start, ev.End), nil
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

// sendEvents passes on events. Comments that come before the first data wait for it, because the first data may be an
// error, which has its own status as long as no head was sent.
func (c *call) sendEvents(events []byte, data bool, answer *Answer) {
	if !data && !c.headed && len(c.early)+len(events) <= maxEarly {
		c.early = append(c.early, events...)
		return
	}
	c.begin(answer, true)
	c.sendBody(events)
}

// endsWithDone reports whether a good stream ends with [DONE]. Responses, images, sound and transcripts end with an event of their own.
func (c *call) endsWithDone() bool { return c.response == nil && c.req.Media == nil }

// isDone reports whether the data of an event ends the stream.
func isDone(data []byte) bool { return string(bytes.TrimSpace(data)) == doneData }

// rest returns a [DONE] that the provider did not end with a blank line. Anything else that is left is half an event.
// A provider that is declared to leave out [DONE] has ended in order when the body has, every choice has its finish
// reason, and nothing is left.
func (c *call) rest(s *sse.Scanner, readErr error) []byte {
	ev, some := s.Rest()
	if some && !c.endsWithDone() && len(ev.Data) > 0 {
		if _, err := c.observe(ev.Data); err == nil && c.ends() {
			return append(bytes.Clone(s.Slice(ev.Start, ev.End)), "\n\n"...)
		}
		return nil
	}
	switch {
	case some && c.endsWithDone() && isDone(ev.Data):
		return s.Slice(ev.Start, ev.End)
	case c.route.Model.EndsWithoutDone && errors.Is(readErr, io.EOF) && len(ev.Data) == 0 && c.meter.Finished() >= c.req.Choices:
		return []byte("data: " + doneData + "\n\n")
	default:
		return nil
	}
}

// last settles, passes on [DONE], and reads to the end of the body, where there is nothing more, so that the connection
// can be used again.
func (c *call) last(done []byte, body io.ReadCloser) {
	c.finish()
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
		c.hopeless = true
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer has an event that is too large.").Cause(err)
	default:
		return c.failed(err)
	}
}

// observe measures a chunk. It reports true for the one that holds only the usage that the caller did not ask for. Data
// that is not an object, such as the text of a ping, passes.
func (c *call) observe(data []byte) (hide bool, err error) {
	if c.req.Media != nil {
		return false, c.observeMedia(data)
	}
	k := &c.chunk
	switch {
	case c.readEvent(data):
	case openingOf(data) == openJSON:
		return false, errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer has an event that is not JSON.")
	default:
		return false, nil
	}
	if k.Error != nil {
		return false, c.streamError(k.Error)
	}
	c.readDetails(data)
	if !c.named {
		c.named = true
		if c.response != nil {
			data = c.response.reader.Response
		}
		c.served = c.servedModel(wire.ModelOf(data))
	}
	c.meter.Add(k)
	if c.response != nil {
		if err := c.noteResponse(); err != nil {
			return false, err
		}
	}
	if c.outlives() {
		c.noteSeen(c.invoker.deps.Now(), false)
	}
	if c.shown.IsZero() && c.meter.Produced() {
		c.shown = c.invoker.deps.Now()
	}
	if c.meter.Exceeds(c.bound().Output) {
		c.exceeded, c.hopeless = true, true
		return false, errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR,
			"The provider sent more than the %d output tokens that it was asked for; its answer was cut.", c.bound().Output)
	}
	if c.joiner != nil {
		c.joiner.Add(data)
		if c.joiner.Size() > maxConverted {
			return false, c.tooLarge(maxConverted)
		}
	}
	return k.HasUsage && k.Choices == 0 && !c.req.AskedUsage, nil
}

// streamError is an error that the provider sent in place of the rest of its answer. Before anything was produced and
// sent it is a refusal with a status of its own. After that the provider's type, code and param go along.
func (c *call) streamError(raw []byte) error {
	f := wire.ReadFailure(raw)
	if f.Type == "error" { // the type of the event, not of the error
		f.Type = ""
	}
	produced := c.meter.Produced() || c.streamsMedia() && c.priced.read
	if !c.headed && !produced {
		return &failedAnswer{c.refusalOf(f)}
	}
	c.told = true
	redact := c.invoker.deps.Targets.Redact
	message := Shorten(redact(f.Message))
	if message == "" {
		message = "no reason was given"
	}
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, errs.Quoting+"%s", message)
	for name, value := range map[string]string{errs.UpstreamType: f.Type, errs.UpstreamCode: f.Code, errs.UpstreamParam: f.Param} {
		if value != "" {
			e = e.With(name, Shorten(redact(value)))
		}
	}
	return e
}
