package invoke

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// ObjectCall is a request about an object that a provider keeps. It costs nothing.
type ObjectCall struct {
	Method, Path, RawQuery string
	Headers                map[string]string
	// Target is the target that keeps the object.
	Target string
}

// InputTokens has the provider count the input of a response. It costs nothing, and counts in the limits as a request.
func (i *Invoker) InputTokens(ctx context.Context, claims *passport.Claims, r ResponseCall) error {
	req := r.Request
	model, err := i.model(claims, req)
	if err != nil {
		return err
	}
	native, _, chats := chatOnly(model)
	ticket, err := i.admit(ctx, claims, req, model, 0)
	if err != nil {
		return err
	}
	defer ticket.Done(0)
	if chats {
		return i.countFor(ctx, req, model, r.Sink, ticket.Levels())
	}
	q := Query{Method: http.MethodPost, Path: pathOf(req.Endpoint), Headers: r.Headers, Model: model, Target: cmp.Or(r.Target, native)}
	return i.pass(ctx, &q, &passing{body: func(route *models.Route) []byte { return req.Upstream(0, route.Model, route.Name) }, sink: r.Sink, limits: ticket.Levels()})
}

// countFor answers for a provider that does not count.
func (i *Invoker) countFor(ctx context.Context, req *wire.Request, model models.Model, sink Sink, limits []limit.Level) error {
	budget := i.deps.Counter.Budget(ctx, model.Vocabulary, exactText)
	defer budget.Close()
	body, _ := json.Marshal(struct {
		Object string `json:"object"`
		Tokens int64  `json:"input_tokens"`
	}{"response.input_tokens", req.CountInput(model, budget)})
	sink.Settled(hold.Receipt{})
	if err := sink.Head(Head{Status: http.StatusOK, Headers: map[string]string{"content-type": typeJSON, translatedHeader: "chat.completions"}, Limits: limits}); err != nil {
		return callerLeft(err)
	}
	if err := sink.Body(body); err != nil {
		return callerLeft(err)
	}
	return nil
}

// Object passes on a request about an object that a provider keeps. It counts in the limits as a request. Before the
// answer goes out, inspect gets its status and its body; inspect may be nil.
func (i *Invoker) Object(ctx context.Context, claims *passport.Claims, o ObjectCall, sink Sink, inspect func(status int, body []byte) error) error {
	ticket, err := i.knock(ctx, claims)
	if err != nil {
		return err
	}
	defer ticket.Done(0)
	return i.ask(ctx, o, &passing{sink: sink, inspect: inspect, limits: ticket.Levels()})
}

// Fetch is Object for Trivet itself. It returns the status and the body, also of an error that the provider answered.
func (i *Invoker) Fetch(ctx context.Context, o ObjectCall) (status int, body []byte, err error) {
	err = i.ask(ctx, o, &passing{sink: discard{}, inspect: func(s int, b []byte) error {
		status, body = s, b
		return nil
	}})
	return status, body, err
}

func (i *Invoker) ask(ctx context.Context, o ObjectCall, x *passing) error {
	return i.pass(ctx, &Query{Method: o.Method, Path: o.Path, RawQuery: o.RawQuery, Headers: o.Headers, Target: o.Target}, x)
}

// knock asks the limits for a request without tokens.
func (i *Invoker) knock(ctx context.Context, claims *passport.Claims) (limit.Ticket, error) {
	plan, err := i.deps.Plans.Get(ctx, claims.AccountID)
	if err != nil {
		return nil, err
	}
	return i.deps.Limiter.Admit(ctx, limitsOf(claims, plan.GetLimits()))
}

// pass sends a request and passes on its answer, also one that is an error of the provider's.
func (i *Invoker) pass(ctx context.Context, q *Query, x *passing) error {
	err := i.deps.Targets.Do(ctx, q, x)
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return err
	}
	if refused.Refusal.Ours {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "Configuration error. Please contact support.")
	}
	refused.Answer.Headers["content-type"] = typeJSON
	return x.whole(Head{Status: refused.Refusal.Status, Headers: refused.Answer.Headers}, refused.Refusal.Body)
}

// passing is an exchange that costs nothing.
type passing struct {
	body    func(*models.Route) []byte // nil for a request without a body
	sink    Sink
	inspect func(status int, body []byte) error
	limits  []limit.Level
	begun   bool
}

// Body implements Exchange.
func (p *passing) Body(route *models.Route) []byte {
	if p.body == nil {
		return nil
	}
	return p.body(route)
}

// Moved implements Exchange: calls that cost nothing are not counted.
func (p *passing) Moved(string) {}

// Begun implements Exchange.
func (p *passing) Begun() bool { return p.begun }

// Gone implements Exchange: the context ends when the caller leaves.
func (p *passing) Gone() <-chan struct{} { return nil }

// Take implements Exchange.
func (p *passing) Take(answer *Answer) error {
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return errs.From(err)
	}
	if len(body) > maxAnswer {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer is larger than %d MiB.", maxAnswer>>20)
	}
	if !json.Valid(body) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider returned a response that does not match the request.")
	}
	answer.Headers["content-type"] = typeJSON
	return p.whole(Head{Status: answer.Status, Headers: answer.Headers}, body)
}

func (p *passing) whole(head Head, body []byte) error {
	p.begun = true
	if p.inspect != nil {
		if err := p.inspect(head.Status, body); err != nil {
			return err
		}
	}
	p.sink.Settled(hold.Receipt{})
	head.Limits = p.limits
	if err := p.sink.Head(head); err != nil {
		return callerLeft(err)
	}
	if err := p.sink.Body(body); err != nil {
		return callerLeft(err)
	}
	return nil
}

// discard is a sink of answers that nobody waits for.
type discard struct{}

func (discard) Head(Head) error      { return nil }
func (discard) Body([]byte) error    { return nil }
func (discard) Settled(hold.Receipt) {}
