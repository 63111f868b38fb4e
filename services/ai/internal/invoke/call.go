package invoke

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/ai/internal/form"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/meter"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// What Content-Type answers have, whatever the provider calls them.
const (
	typeJSON   = "application/json"
	typeEvents = "text/event-stream; charset=utf-8"
)

// stage is how far a call came; it decides what is owed.
type stage uint8

const (
	held     stage = iota // nothing was sent: nothing is owed
	sent                  // the provider has the request
	answered              // the provider began an answer
	finished              // the provider ended its answer
	refused               // the provider answered an error, or something that is not an answer: nothing is owed
)

// call is one call, from its hold to its settlement. It runs in a goroutine of its own, because it may outlive its
// caller.
type call struct {
	invoker *Invoker
	account string
	req     *wire.Request
	model   models.Model
	arrived time.Time // before its hold was made; zero for a call that another one began
	began   time.Time
	query   Query
	meter   *meter.Meter
	hold    *hold.Hold
	ticket  limit.Ticket
	input   int64                   // counted input tokens; 0 when not counted
	up      context.Context         //nolint:containedctx // the call's own; it has the values of the caller's
	cancel  context.CancelCauseFunc // of up
	attempt provider.Attempt        // the log line of its request to the provider, which tells what was used

	// They belong to the call's goroutine until done is closed.
	stage     stage
	named     bool          // the answer was asked which model it is from
	headed    bool          // the head was sent
	exceeded  bool          // the stream was cut because it has more than the bound
	told      bool          // the provider sent an error in place of the rest of a stream
	closing   bool          // close has been called
	leftEarly bool          // the caller had left before that
	hopeless  bool          // the answer is one that no other target may make again
	route     *models.Route // of the newest attempt; nil before the first
	status    int           // the provider's
	requestID string        // the provider's, from its headers
	served    string        // the model that the provider says it used
	firstByte time.Time     // when the caller got the first byte; zero before that
	chunk     wire.Chunk
	joiner    *form.Joiner // of a stream that the caller gets in one piece
	response  *responding  // of the Responses API; nil for other endpoints
	priced    *priced      // nil for a call that its text tokens describe
	early     []byte       // comments that came before the first event with data
	final     hold.Final
	seen      int64     // output tokens that other calls have passed on
	unsettled int64     // the most tokens of a response that is settled later
	moves     []string  // why the call left targets for others
	start     time.Time // when the request went to the provider
	shown     time.Time // when the first output of a stream came in; zero before that
	err       error
	panicked  any

	done  chan struct{} // closed when the call is settled
	gone  chan struct{} // closed when the caller has left
	whole atomic.Bool   // the answer comes in one piece
	// unseen tells that the caller has left an answer that cannot be counted, so that a checkpoint must be at the bound.
	unseen atomic.Bool

	mu      sync.Mutex
	sink    Sink // nil when the caller has left
	left    bool // the caller has
	reading bool // the answer must be read to its end although the caller has left
	slot    bool // it has a slot for that
	ended   bool
	timer   *time.Timer
}

func (i *Invoker) newCall(ctx context.Context, account string, req *wire.Request, m models.Model, r reservation, ticket limit.Ticket, sink Sink) *call {
	c := &call{
		invoker: i, account: account, req: req, model: m, began: i.deps.Now(), meter: i.meters.Get(i.deps.Counter, m.Vocabulary), hold: r.hold, ticket: ticket, input: r.input,
		done: make(chan struct{}), gone: make(chan struct{}), sink: sink,
	}
	c.up, c.cancel = context.WithCancelCause(context.WithoutCancel(c.attempt.Begin(ctx)))
	return c
}

// attend runs the call and returns when it has ended, or the caller has left.
func (c *call) attend(ctx context.Context, headers map[string]string) error {
	c.invoker.deps.Keeper.Go(func() { c.run(headers) })
	select {
	case <-c.done:
	case <-c.gone:
		return callerLeft(errLeft)
	case <-ctx.Done():
		c.leave()
		select {
		case <-c.gone:
			return errs.From(context.Cause(ctx))
		default: // it had ended before
			<-c.done
		}
	}
	if c.panicked != nil {
		panic(c.panicked)
	}
	return c.err
}

// run is the call's goroutine. A panic is the caller's again, who may be gone: then the log has it.
func (c *call) run(headers map[string]string) {
	defer close(c.done)
	defer c.rescue()
	defer c.end()
	defer c.rescue()
	c.err = c.exchange(headers)
}

func (c *call) rescue() {
	if p := recover(); p != nil {
		c.panicked = p
		c.invoker.deps.Logger.ErrorContext(c.up, "a call panicked", slog.String("panic", errs.PanicText(p)), slog.String("stack", string(debug.Stack())))
	}
}

// end settles the call and gives back what it holds.
func (c *call) end() {
	c.noteEnd()
	c.close()
	c.recordPassage()
	c.response.over(c.up)
	if c.resumes() { // the call that began the response has counted its tokens
		c.ticket.Done(0)
	} else {
		c.ticket.Done(c.final.Usage.Total() + c.unsettled)
	}
	c.attempt.Used(c.final.Usage.Total())
	c.attempt.End(c.up, c.invoker.deps.Logger)
	c.noteReasoning()
	c.detach()
	c.cancel(nil)
	c.invoker.meters.Put(c.meter)
}

// exchange sends the request along the targets of the model and passes on what the last of them answers.
func (c *call) exchange(headers map[string]string) error {
	c.watch()
	c.query = Query{Method: http.MethodPost, Path: pathOf(c.req.Endpoint), Headers: headers, Model: c.model, Thinks: c.thinks() || c.streamsMedia(), ContentType: c.req.ContentType(), Once: c.req.Background}
	if c.response != nil {
		c.query.Target = c.response.target
		if c.response.query != nil {
			c.query = *c.response.query
		}
	}
	err := c.invoker.deps.Targets.Do(c.up, &c.query, c)
	if errors.Is(err, ErrGone) {
		c.stage = held
	}
	if cause := context.Cause(c.up); cause != nil && err != nil { // Trivet ended it
		return callerLeft(cause)
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return c.refuse(refused.Answer, refused.Refusal)
	}
	return err
}

func pathOf(endpoint aiv1.Endpoint) string {
	switch endpoint {
	case wire.Embeddings:
		return "embeddings"
	case wire.Completions:
		return "completions"
	case wire.Moderations:
		return "moderations"
	case wire.Responses:
		return "responses"
	case wire.ResponsesCompact:
		return "responses/compact"
	case wire.ResponsesInputTokens:
		return "responses/input_tokens"
	case wire.ImagesGenerations:
		return "images/generations"
	case wire.ImagesEdits:
		return "images/edits"
	case wire.Speech:
		return "audio/speech"
	case wire.Transcriptions:
		return "audio/transcriptions"
	case wire.Translations:
		return "audio/translations"
	default:
		return "chat/completions"
	}
}

// Body implements Exchange. A request for media whose caller has left is not sent any more, because its body is dropped.
func (c *call) Body(route *models.Route) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.req.Media != nil && c.left {
		c.stage = held
		c.cancel(errLeft)
		return nil
	}
	if c.route != nil { // another target has failed
		c.meter.Reset()
		c.status, c.requestID, c.named, c.served, c.joiner, c.early = 0, "", false, "", nil, nil
		c.shown, c.told = time.Time{}, false
		c.whole.Store(false)
		c.response.reset()
		c.priced.reset()
	}
	c.route, c.stage, c.start = route, sent, c.invoker.deps.Now()
	return c.bodyFor(route)
}

// Begun implements Exchange.
func (c *call) Begun() bool { return c.headed || c.hopeless }

// Gone implements Exchange.
func (c *call) Gone() <-chan struct{} { return c.gone }

// Take implements Exchange.
func (c *call) Take(answer *Answer) error {
	c.status, c.requestID = answer.Status, answer.RequestID
	defer func() { _ = answer.Body.Close() }()
	if answer.Span.On() {
		defer c.describe(answer)
	}
	c.translateBack(answer)
	c.whole.Store(!answer.Streamed)
	var err error
	switch {
	case answer.Status < http.StatusOK || answer.Status >= http.StatusMultipleChoices:
		c.stage = refused
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider returned an unexpected status (%d).", answer.Status)
	case c.req.Media != nil:
		err = c.takeMedia(answer)
	case c.req.Stream:
		err = c.streamed(answer)
	default:
		err = c.inOnePiece(answer)
	}
	if failed, ok := errors.AsType[*failedAnswer](err); ok {
		return &RefusedError{Answer: answer, Refusal: failed.refusal}
	}
	return err
}

// watch has checkpoints written of what the call has used, by which the hold is settled if the process dies. An answer
// that is read for its cost alone counts in full, as it does when the process stops: a death must not make it cheaper.
func (c *call) watch() {
	if c.req.Media != nil {
		c.watchMedia()
		return
	}
	guess, bound := c.guessInput(), c.bound()
	if len(c.req.Hosted) == 0 { // what tools find is input, too
		bound.Input = guess
	}
	c.hold.Watch(func() tokens.Usage {
		if c.unseen.Load() {
			return bound
		}
		return tokens.Usage{Input: guess, Output: c.meter.Guess()}
	})
}

// limit is the bound of the output to send upstream; 0 when the model's own is as low.
func (c *call) limit() int64 {
	if n := c.hold.OutputTokens(); n < c.model.MaxOutputTokens {
		return n
	}
	return 0
}

// refuse passes on an error that the provider answered.
func (c *call) refuse(answer *Answer, r *Refusal) error {
	c.stage, c.status = refused, answer.Status
	c.attempt.Refused(r.Code)
	if r.Ours { // the log says what to do
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "Configuration error. Please contact support.")
	}
	if c.status < http.StatusBadRequest { // an error in a good answer
		c.status = r.Status
	}
	c.err = reasonOf(r.Status)
	answer.Headers["content-type"] = typeJSON
	c.pass(Head{Status: r.Status, Headers: answer.Headers}, r.Body)
	c.err = nil
	return nil
}

// reasonOf is the reason that stands in the record of a call whose provider answered an error.
func reasonOf(status int) error {
	reason := errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_REJECTED
	switch {
	case status == http.StatusTooManyRequests:
		reason = errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED
	case status >= http.StatusInternalServerError:
		reason = errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR
	}
	return errs.New(reason, "The provider answered with status %d.", status)
}

// failed returns the error for a call that ended early.
func (c *call) failed(err error) error {
	if cause := context.Cause(c.up); cause != nil { // Trivet ended it
		return callerLeft(cause)
	}
	if own, ok := errors.AsType[*errs.Error](err); ok {
		return own
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider could not be reached, or broke off its answer.").Cause(err)
}
