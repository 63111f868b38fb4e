// Package call carries what the edge knows of one request from its door to the RPCs that it makes.
package call

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Passports gives the signed passport of each service; "" for a service that the caller may not reach.
type Passports interface {
	For(service string) string
}

// Renewer is implemented by Passports that can be exchanged anew; see credential.Passports.
type Renewer interface {
	Renew(ctx context.Context, service, refused string) (renewed bool, err error)
}

// State is what the edge knows of one request. The goroutine that serves the request owns it.
type State struct {
	// ID is the request id.
	ID string
	// Tree decides the shape of errors.
	Tree errorbody.Tree
	// Route is the pattern that matched, for logs and metrics; "" when none did.
	Route string
	// Passports are the caller's; nil on public routes.
	Passports Passports
	// Failure is the error that was answered; nil when none was.
	Failure *errs.Error
	// Broken says that the answer is incomplete: the connection must be cut, not ended, so that the caller notices.
	Broken bool
}

type key struct{}

// With returns a context that carries s.
func With(ctx context.Context, s *State) context.Context {
	return context.WithValue(ctx, key{}, s)
}

// From returns the request's state; an empty one outside of a request.
func From(ctx context.Context) *State {
	if s, ok := ctx.Value(key{}).(*State); ok {
		return s
	}
	return &State{}
}

// ErrStopping is the cause of the contexts of requests that outlive the server's grace period.
var ErrStopping = errors.New("the server is stopping")

// Fail answers with err in the envelope of the request's tree and remembers it for the log. Nothing may have been
// written before. The context is the request's.
func (s *State) Fail(ctx context.Context, w http.ResponseWriter, err error) {
	errorbody.Write(w, s.Tree, s.Note(ctx, err), s.ID)
}

// Note remembers err for the log and returns it as the caller may see it.
func (s *State) Note(ctx context.Context, err error) *errs.Error {
	e := errs.From(err)
	if ctx.Err() != nil {
		e = ended(ctx, err)
	}
	s.Failure = e
	return worded(e)
}

// worded gives the two reasons whose words the contract fixes these words, whatever a service said.
func worded(e *errs.Error) *errs.Error {
	fixed := *e
	switch e.Reason {
	case errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED:
		fixed.Message = "Unauthorized"
	case errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN:
		fixed.Message = "Invalid token"
	default:
		return e
	}
	return &fixed
}

// ended says why a request's context ended: the caller left, or the server stops.
func ended(ctx context.Context, err error) *errs.Error {
	if errors.Is(context.Cause(ctx), ErrStopping) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "The server is restarting. Please try again.").
			After(time.Second).Cause(ErrStopping)
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The caller closed the connection.").Cause(err)
}
