package invoke

import (
	"context"
	"errors"
	"io"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// Targets are the servers that models are called at. They are the one way of every request to a provider.
type Targets interface {
	// Do sends a request to one target of the model after another, until one has answered it or none is left. As long as
	// the exchange has not begun to pass on an answer, a failure of a target (no connection, a timeout, a rate limit, a
	// status of 500 or above, a refusal of Trivet's account, an answer that breaks off or cannot be read) sends the
	// request to the next target, or once more to the same one after a pause. The error is what the last attempt came to:
	// an *errs.Error, a *RefusedError, or the exchange's own.
	Do(ctx context.Context, q *Query, x Exchange) error
	// Redact returns a text of a provider's without what identifies Trivet's accounts.
	Redact(text string) string
}

// Query is a request for a target of a model.
type Query struct {
	// Method is the HTTP method.
	Method string
	// Path is below the target's base URL, such as "chat/completions".
	Path string
	// RawQuery follows the path after a question mark; may be empty.
	RawQuery string
	// ContentType is the body's; "" stands for JSON.
	ContentType string
	// Headers are the caller's, by lower-case name. Only those go along that every provider may see.
	Headers map[string]string
	// Model is the model of the price list. It is empty for a request about an object, which Target keeps.
	Model models.Model
	// Target restricts the request to one target, such as the one that stores an object; "" allows all of the model.
	Target string
	// Thinks allows long silences within the answer.
	Thinks bool
	// Once allows no further attempt after one whose request a provider may have got. What a provider makes in the background runs to its end,
	// and is paid for, even if its answer is lost.
	Once bool
}

// Exchange is one call on its way along the targets of its model. Its methods are called one after another, in the
// goroutine of Do.
type Exchange interface {
	// Body begins an attempt: it returns the body for a route and forgets what an earlier attempt has left. Nil stands
	// for no body.
	Body(route *models.Route) []byte
	// Moved tells that the next attempt is at another target than the one that the call would have used, or has used, and why: the
	// outcome of the attempt there, or "open", "busy", "rate_limited" or "rejected" for a target that was not called.
	Moved(reason string)
	// Take passes on the answer of a target, whose status is below 400, and closes its body. An error before Begun is the
	// target's failure: a *RefusedError for an error that came with a good status, else an *errs.Error.
	Take(answer *Answer) error
	// Begun reports that no other target may be tried, because the caller has got a part of an answer.
	Begun() bool
	// Gone is closed when the caller has left, so that no further attempt is worth making; nil when nobody waits.
	Gone() <-chan struct{}
}

// RefusedError is an error that a provider answered and that no other target could change.
type RefusedError struct {
	// Answer has the headers for the caller; its body is closed.
	Answer *Answer
	// Refusal is what the provider said.
	Refusal *Refusal
}

// Error is the provider's message.
func (e *RefusedError) Error() string { return e.Refusal.Message }

var (
	// ErrGone is the cause of the error of a call that ended between two attempts: the targets that were tried have
	// failed, and nothing is owed.
	ErrGone = errors.New("the call ended between two attempts")
	// ErrNoTarget is the cause of the error of a call that no target was available for.
	ErrNoTarget = errors.New("no target of the model is available")
)

// Health records how calls of the provider end.
type Health interface {
	// Good notes a call that the provider answered, also with an error of the caller's.
	Good()
	// Bad notes a call that the provider failed.
	Bad()
}

// Answer is what a target answers.
type Answer struct {
	// Route is the route to the target that answered.
	Route *models.Route
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
	// Body must be closed.
	Body io.ReadCloser
	// Span is the attempt that got the answer.
	Span tracing.Span
}
