package invoke

import (
	"io"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// maxAnswer bounds an answer in one piece, in bytes: 2,048 embeddings as numbers have some 80 MB.
const maxAnswer = 128 << 20

// inOnePiece passes on an answer in one piece, after its settlement.
func (c *call) inOnePiece(answer *Answer) error {
	c.whole.Store(true)
	body, err := readBody(answer)
	if err != nil {
		return c.failed(err)
	}
	read, good := wire.ReadAnswer(c.req.Endpoint, body)
	if !good {
		c.stage = refused
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider returned a response that does not match the request.")
	}
	c.stage, c.meter.ProviderID = finished, read.ID
	if read.HasUsage {
		c.meter.Report(read.Reported)
	}
	if c.req.Endpoint == wire.Chat && !read.Reported.Complete() && c.chunk.Read(body) { // the text is needed to count
		c.meter.Add(&c.chunk)
	}
	c.pass(Head{Status: answer.Status, Headers: answer.Headers}, body)
	return nil
}

// readBody reads an answer in one piece.
func readBody(answer *Answer) ([]byte, error) {
	if answer.Length > maxAnswer {
		return nil, tooLarge()
	}
	if answer.Length > 0 {
		body := make([]byte, answer.Length)
		_, err := io.ReadFull(answer.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		return nil, tooLarge()
	}
	return body, err
}

func tooLarge() error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer is larger than %d MiB.", maxAnswer>>20)
}

// pass settles and passes on what is complete.
func (c *call) pass(head Head, body []byte) {
	c.settle()
	c.sendHead(head)
	c.sendBody(body)
}
