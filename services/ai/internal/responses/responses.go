// Package responses is the front of the Responses API: it lets a request refer only to what the caller's account owns, notes
// who owns what a provider keeps, and deletes that when it is due or its user is erased.
package responses

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/modelname"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/ai/internal/background"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// Invoker is the part of *invoke.Invoker that responses need.
type Invoker interface {
	Parse(endpoint wire.Endpoint, body []byte) (*wire.Request, error)
	InvokeResponse(ctx context.Context, claims *passport.Claims, r invoke.ResponseCall) error
	Refuse(ctx context.Context, claims *passport.Claims, model string, began time.Time, err error) error
	InputTokens(ctx context.Context, claims *passport.Claims, r invoke.ResponseCall) error
	Object(ctx context.Context, claims *passport.Claims, o invoke.ObjectCall, sink invoke.Sink, inspect func(status int, body []byte) error) error
	Resume(ctx context.Context, claims *passport.Claims, r invoke.ResumeCall) error
	Fetch(ctx context.Context, o invoke.ObjectCall) (status int, body []byte, err error)
}

// Background settles the responses that run in the background.
type Background interface {
	invoke.Runner
	// Observe gets the provider's answer about a running response before the caller gets it.
	Observe(ctx context.Context, r *stored.Running, status int, body []byte)
	// End cancels and settles a response, if it runs.
	End(ctx context.Context, id string) error
}

// Options holds what a Front works with.
type Options struct {
	Invoker Invoker
	// Store may be nil: then a provider must keep nothing.
	Store stored.Store
	// Running keeps the responses that run in the background, and Background settles them; both are nil without a Store.
	Running    stored.Background
	Background Background
	// MaxRunning is how many of them an account may have at once.
	MaxRunning int64
	// Retention is how long a response can be found after it was made.
	Retention time.Duration
	Logger    *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Front serves the Responses API. It is safe for concurrent use.
type Front struct {
	Options

	unwritable atomic.Int64 // until when stored responses are refused, in nanoseconds since 1970
	orphans    chan stored.Response
}

// New returns a front.
func New(o Options) *Front {
	return &Front{Options: o, orphans: make(chan stored.Response, maxOrphans)}
}

// writable refuses a stored response while the owners of such responses cannot be written.
func (f *Front) writable() error {
	left := time.Duration(f.unwritable.Load() - f.Now().UnixNano())
	if left <= 0 {
		return nil
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		"The owner of the response cannot be stored at the moment. Try again, or set \"store\" to false.").After(left)
}

// Serves reports whether an endpoint belongs to the Responses API.
func Serves(endpoint wire.Endpoint) bool {
	_, object := objectPaths[endpoint]
	return object || wire.IsResponse(endpoint)
}

// Call serves a request and passes its answer to sink. Its error is an *errs.Error.
func (f *Front) Call(ctx context.Context, claims *passport.Claims, in *aiv1.RelayRequest, sink invoke.Sink) error {
	if path, object := objectPaths[in.GetEndpoint()]; object {
		return f.object(ctx, claims, in, path, sink)
	}
	r, err := f.prepare(ctx, claims, in, sink)
	switch counts := in.GetEndpoint() == wire.ResponsesInputTokens; {
	case err != nil && counts:
		return err
	case err != nil: // it would have called a model
		return f.Invoker.Refuse(ctx, claims, modelname.Of("", in.GetBody()), time.Time{}, err)
	case counts:
		return f.Invoker.InputTokens(ctx, claims, r)
	}
	return f.Invoker.InvokeResponse(ctx, claims, r)
}

// prepare reads a request and checks who owns what it names.
func (f *Front) prepare(ctx context.Context, claims *passport.Claims, in *aiv1.RelayRequest, sink invoke.Sink) (r invoke.ResponseCall, err error) {
	req, err := f.Invoker.Parse(in.GetEndpoint(), in.GetBody())
	if err != nil {
		return r, err
	}
	r = invoke.ResponseCall{Request: req, Headers: in.GetHeaders(), Sink: sink}
	if err := f.resolve(ctx, claims.AccountID, &r); err != nil {
		return r, err
	}
	if req.Background {
		if err := f.mayRun(); err != nil {
			return r, err
		}
		r.Runner = f.Background
	}
	if in.GetEndpoint() == wire.Responses && req.References.Stored {
		if f.Store == nil {
			return r, invalid("store", "must be false: this installation has no database for the owners of stored responses")
		}
		if err := f.writable(); err != nil {
			return r, err
		}
		k := &keeper{front: f, claims: claims}
		r.Keeper = k
		if req.Background {
			if k.starting, err = f.start(ctx, claims.AccountID); err != nil {
				return r, err
			}
			r.Done = k.stop
		}
	}
	return r, nil
}

// keeper notes the owner of a response.
type keeper struct {
	front  *Front
	claims *passport.Claims
	// starting is the id that counts a response in the background until it runs; else "".
	starting string
}

// Keep implements invoke.Keeper.
func (k *keeper) Keep(ctx context.Context, kept invoke.Kept) error {
	now := k.front.Now()
	r := stored.Response{
		ID: kept.ID, Account: k.claims.AccountID, User: k.claims.UserID, Model: kept.Model, Target: kept.Target, Tokens: kept.Tokens,
	}
	var err error
	if kept.Running != nil {
		kept.Running.User, kept.Running.Polled, kept.Running.Starting = r.User, now.Add(background.FirstAsk), k.starting
		if err = k.front.Store.PutRunning(ctx, r, *kept.Running, now.Add(k.front.Retention)); err == nil {
			k.starting = ""
		}
	} else {
		err = k.front.Store.Put(ctx, r, kept.Items, now, now.Add(k.front.Retention))
	}
	if err != nil && !kept.Known && !errors.Is(err, stored.ErrTaken) {
		k.front.unwritable.Store(now.Add(invoke.OwnerPause).UnixNano())
		k.front.disown(ctx, r, kept.Running != nil)
	}
	return err
}

// objectPath is how an endpoint asks for an object.
type objectPath struct{ method, suffix string }

// objectPaths are the endpoints whose path names a response.
var objectPaths = map[wire.Endpoint]objectPath{
	aiv1.Endpoint_ENDPOINT_RESPONSE_GET:         {http.MethodGet, ""},
	aiv1.Endpoint_ENDPOINT_RESPONSE_DELETE:      {http.MethodDelete, ""},
	aiv1.Endpoint_ENDPOINT_RESPONSE_CANCEL:      {http.MethodPost, "/cancel"},
	aiv1.Endpoint_ENDPOINT_RESPONSE_INPUT_ITEMS: {http.MethodGet, "/input_items"},
}

// object passes on a request about a response.
func (f *Front) object(ctx context.Context, claims *passport.Claims, in *aiv1.RelayRequest, path objectPath, sink invoke.Sink) error {
	var attempt provider.Attempt // of a response that ends, the line tells what it has used
	ctx = attempt.Begin(ctx)
	defer attempt.End(ctx, f.Logger)
	query, err := queryOf(in.GetEndpoint(), in.GetQuery())
	if err != nil {
		return err
	}
	r, err := f.owned(ctx, claims.AccountID, in.GetObjectId())
	if err != nil {
		return err
	}
	if query.stream {
		return f.resume(ctx, claims, in, r, query, sink)
	}
	call := callFor(r, path.method, path.suffix)
	call.RawQuery, call.Headers = query.raw, in.GetHeaders()
	var inspect func(int, []byte) error
	switch in.GetEndpoint() {
	case aiv1.Endpoint_ENDPOINT_RESPONSE_DELETE:
		if err := f.end(ctx, r.ID); err != nil {
			return err
		}
		inspect = func(status int, _ []byte) error {
			if !gone(status) {
				return nil
			}
			return unavailable(f.Store.Remove(ctx, r.ID))
		}
	case aiv1.Endpoint_ENDPOINT_RESPONSE_GET, aiv1.Endpoint_ENDPOINT_RESPONSE_CANCEL:
		if inspect, err = f.observed(ctx, r.ID); err != nil {
			return err
		}
	default:
	}
	return f.Invoker.Object(ctx, claims, call, sink, inspect)
}

// callFor is a request about a response at its target.
func callFor(r stored.Response, method, suffix string) invoke.ObjectCall {
	return invoke.ObjectCall{Method: method, Path: "responses/" + r.ID + suffix, Target: r.Target}
}

// gone reports whether the status of a deletion says that the provider does not have the response any more.
func gone(status int) bool {
	return status >= http.StatusOK && status < http.StatusMultipleChoices || status == http.StatusNotFound || status == http.StatusGone
}

// owned returns a response of an account.
func (f *Front) owned(ctx context.Context, account, id string) (stored.Response, error) {
	if f.Store == nil || !wire.IsObjectID(id) {
		return stored.Response{}, notFound("No response with the id %q was found.", id)
	}
	r, err := f.Store.Response(ctx, account, id, f.Now())
	if errors.Is(err, stored.ErrNotFound) {
		return r, notFound("No response with the id %q was found.", id)
	}
	return r, unavailable(err)
}

func notFound(format, id string) *errs.Error {
	const longest = 64
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, format, id[:min(len(id), longest)])
}

func invalid(name, problem string) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The field %q %s.", name, problem).Field(name, problem)
}

// unavailable is the error for a store that failed; nil for nil.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		"The owners of stored responses cannot be read at the moment. Please try again later.").After(time.Second).Cause(err)
}
