// Package call carries the state of one HTTP request from the edge's entry to the RPCs that it makes.
package call

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/modelname"
	"github.com/trivet-dev/trivet/platform/provider"
)

// Passports returns the caller's signed passport for each service, or "" for a service that the caller may not call.
type Passports interface {
	For(service string) string
}

// Renewer is implemented by Passports that can be renewed; see credential.Passports.
type Renewer interface {
	Renew(ctx context.Context, service, refused string) (renewed bool, err error)
}

// State is the state of one request. The goroutine that serves the request owns it.
type State struct {
	// ID is the request id.
	ID string
	// Tree decides the format of errors.
	Tree errorbody.Tree
	// Route is the pattern that matched, for logs and metrics; "" when no route matched.
	Route string
	// Passports holds the caller's passports; nil on public routes.
	Passports Passports
	// Account is the account that pays; "" on public routes.
	Account string
	// Logged tells that a refusal of the request belongs in the log of requests: it calls a model, or a path of OpenAI's API that
	// Trivet does not have.
	Logged bool
	// Model is the model that a logged request asks for; set only when the edge refuses it, and "" when the edge does not know it.
	Model string
	// Called tells that a service was called for the request, which it logs itself. Some requests call several services at once.
	Called atomic.Bool
	// IdempotencyKey is the caller's; "" when the request has none.
	IdempotencyKey string
	// Failure is the error in the response; nil when the request succeeded.
	Failure *errs.Error
	// Broken marks an incomplete response. Its connection must be cut, so that the client notices.
	Broken bool
	// Attempt is the last call to a provider, when it was made in this process.
	Attempt provider.Attempt
}

// Key is the key of the state, a *State, for contexts that hold more than one value.
type Key struct{}

// With returns a context that carries s.
func With(ctx context.Context, s *State) context.Context {
	return context.WithValue(ctx, Key{}, s)
}

// From returns the request's state. Outside of a request it returns an empty state.
func From(ctx context.Context) *State {
	if s, ok := ctx.Value(Key{}).(*State); ok {
		return s
	}
	return &State{}
}

// ErrStopping is the cancel cause of requests that outlive the server's grace period.
var ErrStopping = errors.New("the server is stopping")

// Fail answers the request with err, in the format of its tree, and records it for the log. It must be the first write.
// ctx must be the request's context.
func (s *State) Fail(ctx context.Context, w http.ResponseWriter, err error) {
	errorbody.Write(w, s.Tree, s.Note(ctx, err), s.ID)
}

// Asked notes the model that a body asks for, as far as the body has come, in case the edge refuses the request.
func (s *State) Asked(kind string, body []byte) {
	if s.Logged && s.Failure != nil && !s.Called.Load() {
		s.Model = modelname.Of(kind, body)
	}
}

// Note records err for the log and returns it with a reason.
func (s *State) Note(ctx context.Context, err error) *errs.Error {
	e := errs.From(err)
	if ctx.Err() != nil {
		e = ended(ctx, err)
	}
	s.Failure = e
	return e
}

// ended explains why a request's context ended: the client disconnected, or the server is stopping.
func ended(ctx context.Context, err error) *errs.Error {
	if errors.Is(context.Cause(ctx), ErrStopping) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "The server is restarting. Please try again.").
			After(time.Second).Cause(ErrStopping)
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The client closed the connection.").Cause(err)
}
