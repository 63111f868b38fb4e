package invoke

import (
	"bytes"
	"errors"
	"io"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/form"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// maxAnswer bounds an answer in one piece, in bytes: 2,048 embeddings as numbers have some 80 MB.
const maxAnswer = 128 << 20

// maxConverted bounds a chat's answer that is turned into the other form, in bytes: its parts take many times that in
// memory. Answers are far below, but for images and audio.
const maxConverted = 8 << 20

// inOnePiece passes on the answer to a call that did not ask for a stream, after its settlement.
func (c *call) inOnePiece(answer *Answer) error {
	c.whole.Store(true)
	body, err := c.readWhole(answer)
	if err != nil {
		return err
	}
	if c.joiner == nil && (c.response == nil || !c.response.gathers) {
		if err := c.measure(body); err != nil {
			return err
		}
	}
	c.finish()
	answer.Headers["content-type"] = typeJSON
	c.pass(Head{Status: answer.Status, Headers: answer.Headers}, body)
	return nil
}

// spread passes on an answer in one piece as the stream that was asked for.
func (c *call) spread(from io.Reader, answer *Answer) error {
	body, err := c.readAll(from)
	if err != nil {
		return c.failed(err)
	}
	if err := c.measure(body); err != nil {
		return err
	}
	if len(body) > maxConverted {
		return c.tooLarge(maxConverted)
	}
	events, last, ok := c.split(bytes.TrimPrefix(body, byteOrderMark))
	if !ok {
		return c.notAnAnswer()
	}
	c.finish()
	c.begin(answer, true)
	c.sendBody(events)
	c.settle()
	c.sendBody(last)
	return nil
}

// split makes the events of a stream of an answer in one piece; the last one waits for the settlement.
func (c *call) split(body []byte) (events, last []byte, ok bool) {
	last = []byte("data: " + doneData + "\n\n")
	switch c.req.Endpoint {
	case wire.Responses:
		return form.SplitResponse(body)
	case wire.Completions:
		events, ok = form.SplitText(body, c.req.AskedUsage)
	default:
		events, ok = form.Split(body, c.req.AskedUsage)
	}
	return events, last, ok
}

// measure reads what an answer in one piece says of its cost. An error in it is a *failedAnswer.
func (c *call) measure(body []byte) error {
	body = bytes.TrimPrefix(body, byteOrderMark)
	if c.response != nil {
		return c.measureResponse(body)
	}
	read, good := wire.ReadAnswer(c.req.Endpoint, body)
	if !good {
		if read.Failed {
			return &failedAnswer{c.refusalOf(wire.ReadFailure(body))}
		}
		return c.notAnAnswer()
	}
	c.meter.ProviderID, c.served = read.ID, c.servedModel(read.Model)
	c.readDetails(body)
	if read.HasUsage {
		c.meter.Report(read.Reported)
	}
	if c.hasChoices() && !read.Reported.Complete() && c.chunk.Read(body) { // the text is needed to count
		c.meter.Add(&c.chunk)
	}
	return nil
}

// failedAnswer is an error that the provider sent with a good status.
type failedAnswer struct{ refusal *Refusal }

func (e *failedAnswer) Error() string { return e.refusal.Message }

// refusalOf is the refusal for an error in an answer with a good status.
func (c *call) refusalOf(f wire.Failure) *Refusal {
	return NewRefusal(f.OwnStatus(), f, c.invoker.deps.Targets.Redact)
}

func (c *call) notAnAnswer() error {
	c.stage = refused
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider returned a response that does not match the request.")
}

// readWhole reads an answer in one piece. A stream, which was not asked for, becomes one.
func (c *call) readWhole(answer *Answer) ([]byte, error) {
	if answer.Length > maxAnswer {
		return nil, c.tooLarge(maxAnswer)
	}
	if answer.Length > 0 {
		body := make([]byte, answer.Length)
		if _, err := io.ReadFull(answer.Body, body); err != nil {
			return nil, c.failed(err)
		}
		if c.joins(body) {
			return c.join(bytes.NewReader(body), answer)
		}
		return body, nil
	}
	start, err := readStart(answer.Body)
	if err != nil {
		return nil, c.failed(err)
	}
	from := io.MultiReader(bytes.NewReader(start), answer.Body)
	if c.joins(start) {
		return c.join(from, answer)
	}
	body, err := c.readAll(from)
	if err != nil {
		return nil, c.failed(err)
	}
	return body, nil
}

func (c *call) joins(body []byte) bool {
	return c.hasChoices() && openingOf(body) == openEvents
}

// hasChoices reports whether the answer consists of texts, so that it can come as a stream.
func (c *call) hasChoices() bool {
	return c.req.Endpoint == wire.Chat || c.req.Endpoint == wire.Completions || c.req.Endpoint == wire.Responses
}

// join makes an answer in one piece of a stream.
func (c *call) join(from io.Reader, answer *Answer) ([]byte, error) {
	c.stage = answered
	if c.response != nil {
		c.response.gathers = true
	} else {
		c.joiner = &form.Joiner{Text: c.req.Endpoint == wire.Completions}
	}
	s := c.invoker.scanners.Scanner(from)
	defer s.Close()
	if _, err := c.follow(s, nil, answer); err != nil {
		return nil, err
	}
	var body []byte
	if c.response != nil {
		body = c.response.joined
	} else {
		body = c.joiner.Completion()
	}
	if body == nil {
		return nil, c.notAnAnswer()
	}
	return body, nil
}

// readStart reads until the form of an answer is known.
func readStart(body io.Reader) ([]byte, error) {
	start := make([]byte, 0, 512)
	for openingOf(start) == openNothing && len(start) < cap(start) {
		n, err := body.Read(start[len(start):cap(start)])
		start = start[:len(start)+n]
		if errors.Is(err, io.EOF) {
			return start, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return start, nil
}

// readAll reads an answer whose length is not known.
func (c *call) readAll(from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		return nil, c.tooLarge(maxAnswer)
	}
	return body, err
}

func (c *call) tooLarge(limit int) error {
	c.hopeless = true
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer is larger than %d MiB.", limit>>20)
}

// pass settles and passes on what is complete.
func (c *call) pass(head Head, body []byte) {
	c.settle()
	c.sendHead(head)
	c.sendBody(body)
}
