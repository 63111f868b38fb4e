package invoke

import (
	"context"
	"io"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// Target is one provider that calls go to. A chain of targets is a Target itself.
type Target interface {
	// Send posts a body and returns the answer, whatever its status. The call is cut off when ctx ends. Its errors, and
	// those of reading the answer's body, are *errs.Error.
	Send(ctx context.Context, endpoint aiv1.Endpoint, body []byte, headers map[string]string) (*Answer, error)
	// Redact returns a text of the provider's without what identifies Trivet's account there.
	Redact(text string) string
}

// Health records how calls of the provider end.
type Health interface {
	// Good notes a call that the provider answered, also with an error of the caller's.
	Good()
	// Bad notes a call that the provider failed.
	Bad()
}

// Answer is what a target answers.
type Answer struct {
	// Status is the HTTP status.
	Status int
	// Headers are for the caller, by lower-case name; none identifies Trivet's account.
	Headers map[string]string
	// RequestID is the provider's id of the call, from its headers; may be empty.
	RequestID string
	// Streamed tells that the Content-Type is that of server-sent events. The body may be something else.
	Streamed bool
	// Length is the length of the body, or below 0 when it is not known.
	Length int64
	// Body must be closed. It is nil when there is a Refusal.
	Body io.ReadCloser
	// Refusal is the error that the provider answered; nil for a status below 400.
	Refusal *Refusal
}
