// Package invoke is the path of every call to a model, whichever front it came in by: check, limit, hold, call, pass
// on, measure, settle.
package invoke

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/modelname"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/meter"
	"github.com/trivet-dev/trivet/services/ai/internal/plan"
	"github.com/trivet-dev/trivet/services/ai/internal/sse"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// Head is the beginning of an answer.
type Head struct {
	// Status is the HTTP status: 200 for an answer, 400 or above for an error that the provider answered.
	Status int
	// Headers are for the caller, by lower-case name.
	Headers map[string]string
	// Streamed tells that the body is a stream of server-sent events.
	Streamed bool
	// Limits is what is left of the limits that apply to the caller.
	Limits []limit.Level
	// Together tells that the first part of the body follows at once, so that both may be sent together.
	Together bool
}

// Sink takes an answer. Its methods are never called at the same time, and not after Invoke has returned. Their order:
// of a stream Head, Body…, Settled, Body with the closing [DONE]; of an answer in one piece, or an error, Settled, Head,
// Body. When something fails, the rest never comes and Invoke returns why. An error of the sink means that the caller
// has left.
type Sink interface {
	Head(Head) error
	// Body takes a part of the body; of a stream, whole events. The bytes are the sink's only until it returns.
	Body([]byte) error
	// Settled reports what the call cost.
	Settled(hold.Receipt)
}

// Recorder counts how calls ended.
type Recorder interface {
	// Call counts a call that had a hold.
	Call(ctx context.Context, model string, final hold.Final)
	// Unreported counts a call that the provider broke off without its usage, although it may have output that Trivet did
	// not see.
	Unreported(ctx context.Context, model string)
	// Excess counts a call whose provider claims or sends more than the call's bound.
	Excess(ctx context.Context, model string, excess tokens.Usage)
	// FirstToken records how long after the call arrived the first output of a stream came.
	FirstToken(ctx context.Context, model string, after time.Duration)
	// FellBack counts a call that left a target for another one, and why, or whose caller got a fixed text.
	FellBack(ctx context.Context, model, reason string)
	// Cut counts a stream that its caller had begun to get and that did not end in order, and why.
	Cut(ctx context.Context, model, cause string)
}

// Deps holds what an Invoker works with; all are needed.
type Deps struct {
	Models   *models.List
	Plans    *plan.Cache
	Limiter  limit.Limiter
	Keeper   *hold.Keeper
	Targets  Targets
	Health   Health
	Counter  *tokens.Counter
	Recorder Recorder
	Logger   *slog.Logger
	// RefusedFields are members that a request's body must not have.
	RefusedFields []string
	// AbandonedReads is how many answers whose callers have left are read at once, and AbandonedReadTimeout for how
	// long each.
	AbandonedReads       int
	AbandonedReadTimeout time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Invoker makes calls. It is safe for concurrent use.
type Invoker struct {
	deps      Deps
	refused   wire.RefusedFields            // of models that name none of their own
	byModel   map[string]wire.RefusedFields // of those that do
	suspect   wire.RefusedFields            // all of them
	abandoned *abandoned
	meters    meter.Pool
	scanners  sse.Pool
	reasoners sync.Map // ids of models that reason although the price list does not mark them
}

// New returns an Invoker.
func New(deps Deps) *Invoker {
	i := &Invoker{deps: deps, refused: wire.NewRefusedFields(deps.RefusedFields), byModel: map[string]wire.RefusedFields{}, abandoned: newAbandoned(deps.AbandonedReads)}
	suspect := slices.Clone(deps.RefusedFields)
	for _, m := range deps.Models.All() {
		if m.RefusedFields != nil {
			i.byModel[m.ID] = wire.NewRefusedFields(m.RefusedFields)
			suspect = append(suspect, m.RefusedFields...)
		}
	}
	i.suspect = wire.NewRefusedFields(suspect)
	return i
}

// refusedFields are the members that a request for a model must not have.
func (i *Invoker) refusedFields(m models.Model) wire.RefusedFields {
	if own, ok := i.byModel[m.ID]; ok {
		return own
	}
	return i.refused
}

// Invoke makes one call and passes its answer to sink. The body must not change, even after Invoke has returned: when
// the caller leaves, Invoke returns at once, while the call may continue to learn what it costs. An error that the provider
// answered is an answer; the error of Invoke is an *errs.Error.
func (i *Invoker) Invoke(ctx context.Context, claims *passport.Claims, endpoint aiv1.Endpoint, body []byte, headers map[string]string, sink Sink) error {
	var req *wire.Request
	var err error
	if wire.IsMedia(endpoint) {
		req, err = wire.ParseMedia(endpoint, headers["content-type"], body, i.suspect)
	} else {
		req, err = wire.Parse(endpoint, body, i.suspect)
	}
	if err != nil {
		return i.Refuse(ctx, claims, modelname.Of(headers["content-type"], body), time.Time{}, err)
	}
	return i.invoke(ctx, claims, req, headers, sink, nil)
}

func (i *Invoker) invoke(ctx context.Context, claims *passport.Claims, req *wire.Request, headers map[string]string, sink Sink, response *responding) error {
	began := i.deps.Now()
	c, err := i.open(ctx, claims, req, headers, sink, response)
	if err != nil {
		response.over(ctx)
		return i.Refuse(ctx, claims, req.Model, began, err)
	}
	c.arrived = began
	if ctx.Err() != nil { // the caller left while the hold was made
		c.end()
		return errs.From(context.Cause(ctx))
	}
	return c.attend(ctx, headers)
}

// open makes the call with its hold, or returns why it is refused.
func (i *Invoker) open(ctx context.Context, claims *passport.Claims, req *wire.Request, headers map[string]string, sink Sink, response *responding) (*call, error) {
	once, err := onceOf(claims, req, headers)
	if err != nil {
		return nil, err
	}
	model, err := i.model(claims, req)
	if err != nil {
		return nil, err
	}
	if err := response.checkTranslation(req, model); err != nil {
		return nil, err
	}
	p, err := priceOf(req, model)
	if err != nil {
		return nil, err
	}
	ticket, err := i.admit(ctx, claims, req, model, p.guess(req, model))
	if err != nil {
		return nil, err
	}
	r, err := i.reserve(ctx, claims, req, model.AtAnyTarget(), once, p)
	if err != nil {
		ticket.Done(r.consumed(err))
		return nil, err
	}
	c := i.newCall(ctx, claims.AccountID, req, model, r, ticket, sink)
	c.response, c.priced = response, p
	return c, nil
}

// Refuse logs a call that is refused before anything is held for it, with the model that it asks for, and returns err.
func (i *Invoker) Refuse(ctx context.Context, claims *passport.Claims, model string, began time.Time, err error) error {
	i.deps.Keeper.Refuse(ctx, claims, model, began, err)
	return err
}

// Stop ends the reading of answers whose callers have left and waits until their calls are settled. No call may begin
// any more.
func (i *Invoker) Stop() { i.abandoned.stop() }

// Abandoned returns how many answers are read whose callers have left.
func (i *Invoker) Abandoned() int { return i.abandoned.reading() }
