package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

// maxRefusal bounds the body of an error, in bytes.
const maxRefusal = 1 << 20

// answer translates a response; of an error it reads the body.
func (c *Client) answer(response *http.Response) (*invoke.Answer, error) {
	a := &invoke.Answer{
		Status: response.StatusCode, Headers: c.returned(response.Header), RequestID: response.Header.Get("X-Request-Id"),
		Streamed: Streamed(response), Length: response.ContentLength, Body: body{response.Body},
	}
	if a.Status < http.StatusBadRequest {
		return a, nil
	}
	defer func() { _ = response.Body.Close() }()
	refusal, err := c.readRefusal(response)
	if err != nil {
		return nil, err
	}
	a.Body, a.Refusal = nil, refusal
	return a, nil
}

// body is an answer's body whose errors are *errs.Error.
type body struct{ io.ReadCloser }

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = Failure(err)
	}
	return n, err
}

// Streamed reports whether the answer is a stream of server-sent events.
func Streamed(response *http.Response) bool {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return err == nil && kind == "text/event-stream"
}

// readRefusal reads the answer of a status of 400 or above. A body that is not OpenAI's envelope, such as a proxy's
// page, is replaced by one. The error is that of reading.
func (c *Client) readRefusal(response *http.Response) (*invoke.Refusal, error) {
	read, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err != nil {
		return nil, Failure(err)
	}
	var envelope struct {
		Error *struct {
			Message string `json:"message"`
			Code    any    `json:"code"`
		} `json:"error"`
	}
	r := &invoke.Refusal{}
	if json.Unmarshal(read, &envelope) == nil && envelope.Error != nil {
		r.Body = c.redactor.Body(read)
		r.Message = invoke.Shorten(c.Redact(envelope.Error.Message))
		r.Code, _ = envelope.Error.Code.(string)
	} else {
		r.Message = fmt.Sprintf("The provider answered %d %s without saying why.", response.StatusCode, http.StatusText(response.StatusCode))
		r.Body = fmt.Appendf(nil, `{"error":{"message":%q,"type":"server_error","param":null,"code":"upstream_error"}}`, r.Message)
	}
	r.Ours = ours(response.StatusCode, r.Code)
	return r, nil
}

// ours reports whether a refusal is about Trivet's own account at the provider.
func ours(status int, code string) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || code == "insufficient_quota" || code == "billing_hard_limit_reached"
}
