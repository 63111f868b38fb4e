// Package invoke is the way of every call to a model, whichever front it came in by: check, limit, hold, call, pass
// on, measure, settle.
package invoke

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/meter"
	"github.com/trivet-dev/trivet/services/ai/internal/plan"
	"github.com/trivet-dev/trivet/services/ai/internal/sse"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
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
}

// Sink takes an answer. Its methods are called by one goroutine, in this order: of a stream Head, Body…, Settled, Body
// with the closing [DONE]; of an answer in one piece, or an error, Settled, Head, Body. When something fails, the rest
// never comes and Invoke returns why. An error of the sink's means that the caller has left.
type Sink interface {
	Head(Head) error
	// Body takes a part of the body; of a stream, whole events. The bytes are the sink's only until it returns.
	Body([]byte) error
	// Settled tells what the call cost.
	Settled(hold.Receipt)
}

// Deps is what an Invoker works with; all are needed.
type Deps struct {
	Models   *models.List
	Plans    *plan.Cache
	Limiter  limit.Limiter
	Keeper   *hold.Keeper
	Upstream *upstream.Client
	Health   *upstream.Health
	Counter  *tokens.Counter
	Recorder Recorder
	Logger   *slog.Logger
}

// Recorder counts how calls ended.
type Recorder interface {
	// Call is told of each call that held anything.
	Call(ctx context.Context, model string, final hold.Final)
}

// Invoker makes calls. It is safe for concurrent use.
type Invoker struct {
	Deps
	meters   meter.Pool
	scanners sse.Pool
}

// New returns an Invoker.
func New(deps Deps) *Invoker { return &Invoker{Deps: deps} }

// Invoke makes one call and passes its answer to sink. The body must not change meanwhile. An error that the provider
// answered is an answer; the error of Invoke is an *errs.Error.
func (i *Invoker) Invoke(ctx context.Context, claims *passport.Claims, endpoint wire.Endpoint, body []byte, headers map[string]string, sink Sink) error {
	req, err := wire.Parse(endpoint, body)
	if err != nil {
		return err
	}
	model, err := i.model(claims, req)
	if err != nil {
		return err
	}
	ticket, err := i.admit(ctx, claims, req, model)
	if err != nil {
		return err
	}
	c := &call{invoker: i, req: req, model: model, sink: sink, meter: i.meters.Get()}
	defer i.meters.Put(c.meter)
	defer func() { ticket.Done(c.final.Usage.Total()) }()
	if c.hold, c.input, err = i.reserve(ctx, claims, req, model); err != nil {
		return err
	}
	defer c.close()
	return c.run(ctx, headers)
}

// ok reports whether a status is an answer's.
func ok(status int) bool { return status >= http.StatusOK && status < http.StatusMultipleChoices }
