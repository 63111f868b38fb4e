package invoke

import (
	"context"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// Count is the size of a request's input.
type Count struct {
	// Tokens is the number of input tokens; an upper bound unless Exact.
	Tokens int64
	// Exact is true if all of the input was counted with the model's vocabulary.
	Exact bool
	// Cost is the price of the tokens as input that is not cached, in nano-dollars.
	Cost int64
}

// CountInput counts the input of a request that is not sent. The request counts in the limits per minute, because counting
// uses a processor, but it has no tokens there. Its error is an *errs.Error.
func (i *Invoker) CountInput(ctx context.Context, claims *passport.Claims, endpoint aiv1.Endpoint, body []byte) (Count, error) {
	req, err := wire.Parse(endpoint, body, i.suspect)
	if err != nil {
		return Count{}, err
	}
	model, err := i.model(claims, req)
	if err != nil {
		return Count{}, err
	}
	ticket, err := i.admit(ctx, claims, req, model, 0)
	if err != nil {
		return Count{}, err
	}
	defer ticket.Done(0)
	budget := i.deps.Counter.Budget(ctx, model.Vocabulary, exactText)
	defer budget.Close()
	count := Count{Tokens: req.CountInput(model, budget), Exact: budget.Exact() && req.TextOnly()}
	if ctx.Err() != nil {
		return Count{}, errs.From(context.Cause(ctx))
	}
	if count.Cost, err = model.Cost(count.Tokens, 0, 0); err != nil {
		return Count{}, errs.From(err)
	}
	return count, nil
}
