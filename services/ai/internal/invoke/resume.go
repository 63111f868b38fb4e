package invoke

import (
	"context"
	"net/http"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// ResumeCall asks for the events of a response that the provider keeps.
type ResumeCall struct {
	Response stored.Response
	// Running is set while the response is not settled.
	Running  *stored.Running
	RawQuery string
	Headers  map[string]string
	Sink     Sink
	Keeper   Keeper
	Runner   Runner
}

// Resume passes on the events of a response that was made in the background, or is being made. It counts in the limits as a stream without tokens. When
// it sees the end of a response that is not settled, it settles it before the caller sees it.
func (i *Invoker) Resume(ctx context.Context, claims *passport.Claims, r ResumeCall) error {
	plan, err := i.deps.Plans.Get(ctx, claims.AccountID)
	if err != nil {
		return err
	}
	ask := limitsOf(claims, plan.GetLimits())
	ask.Stream = true
	ticket, err := i.deps.Limiter.Admit(ctx, ask)
	if err != nil {
		return err
	}
	c, err := i.resumed(ctx, &r)
	if err != nil {
		ticket.Done(0)
		return err
	}
	c.ticket, c.sink, c.req.Stream = ticket, r.Sink, true
	c.response.query = &Query{Method: http.MethodGet, Path: "responses/" + r.Response.ID, RawQuery: r.RawQuery, Headers: r.Headers, Target: r.Response.Target, Thinks: true}
	return c.attend(ctx, nil)
}

// resumed returns the call. That of a response that is settled costs nothing, and is bounded by what a model can say at most.
func (i *Invoker) resumed(ctx context.Context, r *ResumeCall) (*call, error) {
	if r.Running != nil {
		c, err := i.revive(ctx, r.Running)
		if err != nil {
			return nil, err
		}
		c.response.keeper, c.response.runner = r.Keeper, r.Runner
		return c, nil
	}
	const most = 1 << 40
	req := &wire.Request{Endpoint: wire.Responses, Model: r.Response.Model, Choices: 1}
	h := i.deps.Keeper.Adopt(ctx, "", most, most)
	c := i.newCall(ctx, r.Response.Account, req, models.Model{ID: r.Response.Model}, reservation{hold: h}, nil, nil)
	c.response = &responding{target: r.Response.Target, outlives: true, noted: true, resumed: true, start: r.Response.ID}
	c.response.reader.ID = r.Response.ID
	return c, nil
}
