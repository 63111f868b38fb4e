package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

const (
	// maxAnswer bounds an answer in one piece, in bytes: 2,048 embeddings as numbers have some 80 MB.
	maxAnswer = 128 << 20
	// maxRefusal bounds the body of an error, in bytes.
	maxRefusal = 1 << 20
)

// ErrTooLarge is returned for an answer above 128 MiB.
var ErrTooLarge = errors.New("the provider's answer is larger than 128 MiB")

// Streamed reports whether the answer is a stream of server-sent events.
func Streamed(response *http.Response) bool {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return err == nil && kind == "text/event-stream"
}

// ReadAnswer reads an answer in one piece.
func ReadAnswer(response *http.Response) ([]byte, error) {
	if response.ContentLength > maxAnswer {
		return nil, ErrTooLarge
	}
	if response.ContentLength > 0 {
		body := make([]byte, response.ContentLength)
		if _, err := io.ReadFull(response.Body, body); err != nil {
			return nil, fmt.Errorf("read the provider's answer: %w", err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the provider's answer: %w", err)
	case len(body) > maxAnswer:
		return nil, ErrTooLarge
	}
	return body, nil
}

// Refusal is an error that the provider answered.
type Refusal struct {
	// Status is the HTTP status, 400 or above.
	Status int
	// Body is the error in OpenAI's envelope, without the names of Trivet's account.
	Body []byte
	// Message and Code are what the envelope says; may be empty. The message is cut to what an error can carry.
	Message, Code string
}

// ReadRefusal reads the answer of a status of 400 or above. A body that is not OpenAI's envelope, such as a proxy's
// page, is replaced by one. The error is that of reading.
func ReadRefusal(response *http.Response) (Refusal, error) {
	r := Refusal{Status: response.StatusCode}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err != nil {
		return r, fmt.Errorf("read the provider's error: %w", err)
	}
	var envelope struct {
		Error *struct {
			Message string `json:"message"`
			Code    any    `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &envelope) == nil && envelope.Error != nil {
		r.Body = Redact(body)
		r.Message = Text(envelope.Error.Message)
		r.Code, _ = envelope.Error.Code.(string)
		return r, nil
	}
	r.Message = fmt.Sprintf("The provider answered %d %s without saying why.", r.Status, http.StatusText(r.Status))
	r.Body = fmt.Appendf(nil, `{"error":{"message":%q,"type":"server_error","param":null,"code":"upstream_error"}}`, r.Message)
	return r, nil
}

// Ours reports whether the refusal is about Trivet's own account at the provider, which no caller can mend.
func (r Refusal) Ours() bool {
	return r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden || r.Code == "insufficient_quota" || r.Code == "billing_hard_limit_reached"
}
