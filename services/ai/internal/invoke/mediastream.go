package invoke

import (
	"bytes"
	"io"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/form"
	"github.com/trivet-dev/trivet/services/ai/internal/sse"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const (
	// partialTokens is what an incomplete image of a stream costs, in tokens, as OpenAI publishes it.
	partialTokens = 100
	// maxImageEvent bounds an event with an image, in bytes.
	maxImageEvent = 32 << 20
)

// streamsMedia reports whether the caller asked for a stream of images, sound or a transcript.
func (c *call) streamsMedia() bool { return c.req.Media != nil && c.req.Media.Stream }

// streamMedia passes on a stream of images, sound or a transcript. An answer in one piece becomes one.
func (c *call) streamMedia(answer *Answer) error {
	c.stage, c.priced.answer = answered, wire.NewMediaAnswer()
	switch kind := answer.Headers["content-type"]; {
	case isEvents(kind):
	case wantsText(c.req.Media.Format): // a text may begin like an event
		return c.spreadMedia(answer.Body, answer)
	case c.req.Endpoint == wire.Speech && isAudio(kind):
		return c.speak(answer)
	}
	s := c.invoker.scanners.Scanner(answer.Body)
	defer s.Close()
	s.Max = maxImageEvent
	opening, err := readOpening(s)
	switch {
	case opening == openEvents:
		return c.stream(s, err, answer)
	case opening == openNothing:
		return c.broken(err)
	case c.req.Endpoint == wire.Speech:
		answer.Body = &rest{resume(s, answer.Body, err), answer.Body}
		return c.speak(answer)
	default:
		return c.spreadMedia(resume(s, answer.Body, err), answer)
	}
}

// isEvents reports whether a Content-Type is that of a stream of events, and isAudio whether it is that of sound.
func isEvents(kind string) bool { return strings.HasPrefix(strings.ToLower(kind), "text/event-stream") }

func isAudio(kind string) bool { return strings.HasPrefix(strings.ToLower(kind), "audio/") }

// rest is a body of which a part was read.
type rest struct {
	io.Reader
	io.Closer
}

// spreadMedia passes on an answer in one piece as the stream that was asked for. Subtitles have no form as events.
func (c *call) spreadMedia(from io.Reader, answer *Answer) error {
	body, err := c.readAll(from)
	if err != nil {
		return c.failed(err)
	}
	kind, err := c.measureMedia(body, answer.Headers["content-type"])
	if err != nil {
		return err
	}
	if kind == typeText {
		c.finish()
		answer.Headers["content-type"] = kind
		c.pass(Head{Status: answer.Status, Headers: answer.Headers}, body)
		return nil
	}
	events, ok := form.SplitMedia(bytes.TrimPrefix(body, byteOrderMark), wire.LastEvent(c.req.Endpoint))
	if !ok {
		return c.notAnAnswer()
	}
	c.finish()
	c.settle()
	c.begin(answer, true)
	c.sendBody(events)
	return nil
}

// observeMedia measures an event of a stream of images, sound or a transcript. Data that is not an object passes.
func (c *call) observeMedia(data []byte) error {
	p := c.priced
	e, ok := p.answer.ReadEvent(data)
	switch {
	case !ok && openingOf(data) == openJSON:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer has an event that is not JSON.")
	case !ok:
		return nil
	case e.Error != nil:
		return c.streamError(e.Error)
	}
	p.ended = e.Last
	p.read = p.read || e.Image || e.Sound || e.Part != wire.PartNone || e.Last
	if e.Part != wire.PartNone && (p.part == wire.PartNone || e.Part <= p.part) { // a larger part repeats what was counted
		p.part = e.Part
		c.chunk.Pieces = append(c.chunk.Pieces[:0], wire.Piece{Raw: e.Text, Escaped: e.Escaped})
		c.meter.Add(&c.chunk)
		p.seen.Store(c.meter.Guess())
	}
	switch {
	case e.Partial:
		p.partials++
		p.seen.Store(p.partials * partialTokens)
	case e.Image:
		p.answer.Images++
	}
	if p.read && c.shown.IsZero() {
		c.shown = c.invoker.deps.Now()
	}
	return c.checkMedia()
}

// checkMedia cuts a stream that has more than the hold covers.
func (c *call) checkMedia() error {
	p := c.priced
	words := p.most.Output > 0 && p.most.ImageOutput == 0 && c.meter.Exceeds(p.most.Output)
	if !words && p.partials <= wire.MaxPartials {
		return nil
	}
	c.exceeded, c.hopeless = true, true
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider sent more than it was asked for; its answer was cut.")
}

// lastMedia settles, passes on the last event, and after it what a provider may send until its body ends, such as [DONE].
func (c *call) lastMedia(last []byte, s *sse.Scanner, body io.ReadCloser) {
	c.finish()
	c.settle()
	c.sendBody(last)
	giveUp := time.AfterFunc(drainTime, func() { _ = body.Close() })
	defer giveUp.Stop()
	tail, _ := io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(bytes.Clone(s.Unread())), body), drainBytes))
	if end := bytes.LastIndexByte(tail, '\n'); end >= 0 {
		c.sendBody(tail[:end+1])
	}
}

// brokeOff reports whether the provider, and not Trivet, ended a stream of images or a transcript after it had sent a part.
func (c *call) brokeOff(cause error) bool {
	return c.streamsMedia() && c.stage == answered && cause == nil && c.priced.read
}

// counted is the output of a stream that Trivet has seen, in tokens: complete images at the most that one can have.
func (c *call) counted() int64 {
	p := c.priced
	if p.most.ImageOutput == 0 {
		return c.meter.Count()
	}
	return c.model.MaxOutputTokens*p.answer.Images + partialTokens*p.partials
}
