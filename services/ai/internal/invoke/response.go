package invoke

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
	"github.com/trivet-dev/trivet/services/ai/internal/translate"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// noteTime bounds the writing of what is known of a stored response.
const noteTime = 10 * time.Second

// Kept is a response that the provider keeps.
type Kept struct {
	ID, Model, Target string
	// Items are the ids of the items of the output so far.
	Items []string
	// Tokens is how many tokens the response has with everything before it; 0 when that is not known.
	Tokens int64
	// Known tells that the keeper has noted the response before.
	Known bool
	// Running is set for a response that the provider makes in the background, when it has just begun.
	Running *stored.Running
}

// Keeper notes who owns a response that the provider keeps. An error ends a call whose caller has not seen the response's
// id yet; then the keeper has had the response deleted at the provider.
type Keeper interface {
	Keep(ctx context.Context, kept Kept) error
}

// ResponseCall is a request of the Responses API.
type ResponseCall struct {
	Request *wire.Request
	Headers map[string]string
	Sink    Sink
	// Target is the only target that may be called, because it keeps what the request refers to; "" allows all.
	Target string
	// Keeper notes the owner of a response that the provider keeps; nil for endpoints that keep nothing.
	Keeper Keeper
	// Runner keeps a response that is made in the background; nil for others.
	Runner Runner
	// Done is called when the call has ended, which may be after its caller has left; nil for nothing.
	Done func(ctx context.Context)
}

// Parse reads the body of a request.
func (i *Invoker) Parse(endpoint wire.Endpoint, body []byte) (*wire.Request, error) {
	return wire.Parse(endpoint, body, i.suspect)
}

// InvokeResponse is Invoke for the Responses API.
func (i *Invoker) InvokeResponse(ctx context.Context, claims *passport.Claims, r ResponseCall) error {
	return i.invoke(ctx, claims, r.Request, r.Headers, r.Sink, &responding{keeper: r.Keeper, runner: r.Runner, target: r.Target, done: r.Done})
}

// responding is what a call of the Responses API has besides.
type responding struct {
	reader  wire.ResponseReader
	keeper  Keeper
	done    func(context.Context)
	target  string
	chat    *translate.Exchange // of an attempt at a target that has only chat completions; else nil
	noted   bool                // the keeper knows the response
	ended   bool                // and all of its items
	gathers bool                // the caller gets the stream in one piece
	joined  []byte              // that piece

	// Of a response that is made in the background.
	runner   Runner
	running  *stored.Running // until it is settled
	outlives bool            // it continues when the call ends
	resumed  bool            // another call began it
	start    string          // its id, when another call began it
	query    *Query          // asks for its events
	seen     int64           // the output tokens of this call that were noted
	seenAt   time.Time       // when
	closed   bool            // the call is over, with the receipt
	receipt  hold.Receipt
}

// over tells that the call has ended.
func (r *responding) over(ctx context.Context) {
	if r != nil && r.done != nil {
		r.done(ctx)
	}
}

// reset forgets an attempt that failed.
func (r *responding) reset() {
	if r != nil {
		*r = responding{
			keeper: r.keeper, done: r.done, target: r.target, runner: r.runner, running: r.running, outlives: r.outlives, resumed: r.resumed, noted: r.resumed,
			start: r.start, query: r.query, seen: r.seen, seenAt: r.seenAt,
		}
		r.reader.ID = r.start
	}
}

// bodyFor returns the body for a route. A target that has only chat completions gets one of those.
func (c *call) bodyFor(route *models.Route) []byte {
	if c.response != nil && c.response.query != nil {
		return nil
	}
	body := c.req.Upstream(c.limit(), route.Model, route.Name)
	if c.response == nil {
		return body
	}
	c.query.Path = pathOf(c.req.Endpoint)
	if !route.Model.ChatOnly {
		return body
	}
	exchange, err := translate.New(body, translate.Options{Bound: route.Model.OutputBound, AsksUsage: !route.Model.HidesUsage, KeepsChats: route.Model.KeepsChats, EndsWithoutDone: route.Model.EndsWithoutDone, Now: c.invoker.deps.Now})
	if err != nil { // the request was checked before it was held
		c.invoker.deps.Logger.ErrorContext(c.up, "a response cannot be translated", slog.Any("error", err))
		return body
	}
	c.response.chat, c.query.Path = exchange, "chat/completions"
	return exchange.Body
}

// translateBack makes the answer of a target that has only chat completions one of the Responses API.
func (c *call) translateBack(answer *Answer) {
	if c.response == nil || c.response.chat == nil {
		return
	}
	answer.Headers[translatedHeader] = "chat.completions"
	answer.Body, answer.Length = c.response.chat.Answer(answer.Body), -1
}

// translatedHeader tells the caller that the provider was asked for something else.
const translatedHeader = "x-trivet-translated"

// checkTranslation refuses what a chat cannot say, when no target of the model has the Responses API. When some have, it
// restricts the call to one of them.
func (r *responding) checkTranslation(req *wire.Request, model models.Model) error {
	if r == nil {
		return nil
	}
	native, some, all := chatOnly(model)
	switch {
	case !some:
		return nil
	case req.Background && all:
		return invalid("background", "must be false for %s, because its provider has chat completions only", model.ID)
	case req.Background:
		r.target = cmp.Or(r.target, native)
		return nil
	}
	_, err := translate.New(req.Upstream(0, model, ""), translate.Options{})
	switch {
	case err == nil && req.Endpoint == wire.Responses:
		return nil
	case !all:
		r.target = cmp.Or(r.target, native)
		return nil
	case err != nil:
		return err
	default:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED, "The provider of %s has no Responses API, and this path cannot be translated.", model.ID)
	}
}

// chatOnly reports whether some or all targets of a model have only chat completions, and names one that has more.
func chatOnly(model models.Model) (native string, some, all bool) {
	if len(model.Routes) == 0 {
		return "", model.ChatOnly, model.ChatOnly
	}
	all = true
	for _, route := range model.Routes {
		some, all = some || route.Model.ChatOnly, all && route.Model.ChatOnly
		if !route.Model.ChatOnly && native == "" {
			native = route.Target
		}
	}
	return native, some, all
}

// kept reports whether the provider keeps the response.
func (c *call) kept() bool {
	return c.response != nil && c.response.keeper != nil && c.req.References.Stored && c.response.chat == nil
}

// OwnerPause is how long no stored response starts after the owner of one could not be written. Each would cost the operator its tokens
// at the provider, and nobody would be billed for them.
const OwnerPause = 10 * time.Second

// noteResponse has the keeper note the response: as soon as the provider has named it, before the caller sees the name, and
// again when its items are known. Only the first can fail the call.
func (c *call) noteResponse() error {
	r := c.response
	if !c.kept() || r.reader.ID == "" || r.ended || r.noted && !r.reader.Ended() {
		return nil
	}
	err := c.note()
	switch {
	case err == nil:
		r.noted, r.ended = true, r.reader.Ended()
		return nil
	case r.noted:
		r.ended = true
		return nil
	default: // the caller gets nothing, so nothing is billed, and no other attempt would help
		c.stage, c.hopeless = refused, true
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"The owner of the response cannot be stored at the moment. Try again, or set \"store\" to false.").After(OwnerPause).Cause(err)
	}
}

// noteEnd has the keeper note the items of a response whose end did not come.
func (c *call) noteEnd() {
	if c.kept() && c.response.noted && !c.response.ended {
		c.response.ended = true
		_ = c.note() // it is logged
	}
}

func (c *call) note() error {
	r := c.response
	kept := c.keptNow()
	running, err := c.startRunning()
	if err != nil {
		return err
	}
	kept.Running = running
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.up), noteTime)
	defer cancel()
	err = r.keeper.Keep(ctx, kept)
	if err == nil && running != nil {
		c.handOver(running)
	}
	if err != nil {
		c.invoker.deps.Logger.ErrorContext(c.up, "the owner of a stored response could not be written; the response or its items cannot be used again",
			slog.String("hold_id", c.hold.ID()), slog.Any("error", err))
	}
	return err
}

// keptNow is what is known of the response now.
func (c *call) keptNow() Kept {
	r := c.response
	kept := Kept{ID: r.reader.ID, Model: c.model.ID, Target: c.route.Target, Items: r.reader.Items, Known: r.noted}
	if reported := c.meter.Reported(); r.reader.Ended() && reported.Complete() {
		kept.Tokens = reported.Input + reported.Output
	}
	return kept
}

// finish marks the answer as ended in order, unless the provider failed to make the response.
func (c *call) finish() {
	if c.response != nil && c.response.reader.Failed() {
		c.stage = answered
		return
	}
	c.stage = finished
}

// readEvent reads the data of an event of either kind of stream.
func (c *call) readEvent(data []byte) bool {
	if c.response == nil {
		return c.chunk.Read(data)
	}
	r := c.response
	if !r.reader.ReadEvent(data, &c.chunk) {
		return false
	}
	if r.gathers && r.reader.Response != nil {
		r.joined = bytes.Clone(r.reader.Response)
	}
	return true
}

// ends reports whether the last event was the last of its stream.
func (c *call) ends() bool {
	if c.req.Media != nil {
		return c.priced.ended
	}
	return c.response != nil && c.response.reader.Terminal
}

// measureResponse is measure for a response.
func (c *call) measureResponse(body []byte) error {
	r := &c.response.reader
	if !r.ReadWhole(body, &c.chunk) {
		if f := wire.ReadFailure(body); f.Message != "" {
			return &failedAnswer{c.refusalOf(f)}
		}
		return c.notAnAnswer()
	}
	c.meter.ProviderID, c.served = r.ID, c.servedModel(wire.ModelOf(body))
	c.readDetails(body)
	if c.chunk.HasUsage {
		c.meter.Report(c.chunk.Reported)
	}
	if !c.chunk.Reported.Complete() || !c.chunk.HasUsage { // the text is needed to count
		c.meter.Add(&c.chunk)
	}
	if c.req.Background && !r.Ended() && r.ID == "" { // nobody could ask for its end
		return c.notAnAnswer()
	}
	return c.noteResponse()
}
