package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/tracing"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

const (
	// backoffLimit bounds the pause before a repetition at the same target.
	backoffLimit = 8 * time.Second
	// patience is the longest wait that a provider may ask for before a call is repeated.
	patience = 5 * time.Second
	// limitedTime is how long a provider is left alone that limits the rate and says nothing about when to return.
	limitedTime = time.Second
	// limitedMost bounds how long a provider is left alone, so that a wrong header cannot end its use.
	limitedMost = 10 * time.Minute
	// targetHeader names the target that answered.
	targetHeader = "x-trivet-target"
	// maxChoices bounds the targets of a model.
	maxChoices = 16
)

// next says where a call goes after an attempt.
type next uint8

const (
	final     next = iota // nowhere: the answer, or the error, is the caller's
	elsewhere             // to another target, but not to the same one again
	again                 // to another target, or to the same one after a pause
	otherKey              // to the same target with another key, at once
)

// walk is the way of one call along the targets of its model.
type walk struct {
	chain   *Chain
	q       *invoke.Query
	x       invoke.Exchange
	choices []*choice
	order   [maxChoices]uint8
	spent   [maxChoices]bool // not to be tried again
	tried   int              // attempts
	turned  int              // those that another key of the target followed; they do not count, so that other targets get their turn
	last    error
	asked   time.Duration // what the last provider asked to wait
	reached bool          // an attempt got as far as a server
	failed  *choice       // of the last attempt, which was not final
	why     string        // its outcome
	left    *choice       // the newest target whose attempt failed; before the first attempt, the newest that was not called
	leftFor string        // why
}

// Do implements invoke.Targets.
func (c *Chain) Do(ctx context.Context, q *invoke.Query, x invoke.Exchange) error {
	w := walk{chain: c, q: q, x: x, choices: c.choicesFor(q)}
	if len(w.choices) == 0 {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"No target serves %s any more.", subject(q.Model)).After(busyRetry).Cause(invoke.ErrNoTarget)
	}
	w.arrange()
	most := max(c.options.Tries, len(w.choices))
	for round := 0; ; round++ {
		if round > 0 && !w.pause(ctx, round) {
			return w.ended(ctx)
		}
		if done := w.round(ctx, most); done || w.counted() >= most || w.exhausted() {
			return w.outcome()
		}
	}
}

// choicesFor returns the targets that may serve a query. An object is asked for at the target that keeps it, whatever models
// the target serves now.
func (c *Chain) choicesFor(q *invoke.Query) []*choice {
	d := c.directory()
	if q.Model.ID == "" {
		if t := d.targets[q.Target]; t != nil {
			return []*choice{{target: t, route: &models.Route{Target: q.Target}, limited: make(limits, len(t.keys.groups))}}
		}
		return nil
	}
	all := d.choices[q.Model.ID]
	if q.Target == "" {
		return all
	}
	for i, one := range all {
		if one.account.Name == q.Target {
			return all[i : i+1]
		}
	}
	return nil
}

// arrange puts the targets in the order of their priorities; those of one priority at random, by their weights.
func (w *walk) arrange() {
	n := len(w.choices)
	for i := range n {
		w.order[i] = uint8(i)
	}
	if n == 1 {
		return
	}
	for i := range n {
		least, sum := w.at(i).route.Priority, 0
		for j := i; j < n; j++ {
			least = min(least, w.at(j).route.Priority)
		}
		for j := i; j < n; j++ {
			if w.at(j).route.Priority == least {
				sum += w.at(j).route.Weight
			}
		}
		left := int(w.chain.options.Random() * float64(sum))
		for j := i; j < n; j++ {
			if w.at(j).route.Priority != least {
				continue
			}
			if left -= w.at(j).route.Weight; left < 0 {
				w.order[i], w.order[j] = w.order[j], w.order[i]
				break
			}
		}
	}
}

func (w *walk) counted() int { return w.tried - w.turned }

func (w *walk) at(i int) *choice { return w.choices[w.order[i]] }

// round tries each target that is available and not spent. It reports true when the call is over.
func (w *walk) round(ctx context.Context, most int) (done bool) {
	attempted := false
	var soonest wait
	for i := range w.choices {
		c := w.at(i)
		for keys := c.keys.size(); w.counted() < most && !w.spent[w.order[i]]; keys-- {
			key, ok := w.available(c, false, &soonest)
			if !ok {
				break
			}
			attempted = true
			n := w.attempt(ctx, c, key)
			if n == final {
				return true
			}
			if n == otherKey && keys > 1 {
				w.turned++
				continue
			}
			w.spent[w.order[i]] = n == elsewhere
			break
		}
	}
	if attempted || w.last != nil {
		return !attempted // nothing is left that could be tried
	}
	w.left = nil
	for i := range w.choices { // keys that were rejected are better than nothing
		c := w.at(i)
		if key, ok := w.available(c, true, &soonest); ok {
			w.attempt(ctx, c, key)
			return true
		}
	}
	w.last = soonest.err(w.q.Model)
	return true
}

// available returns the key with which a target may be called now. Otherwise it notes in soonest why not.
func (w *walk) available(c *choice, anyway bool, soonest *wait) (pick, bool) {
	now := w.chain.options.Now()
	if d := c.pool.Wait(); d > 0 {
		why := "busy"
		if c.pool.State() == provider.Open {
			why = "open"
		}
		w.pass(c, why)
		soonest.note(d, false)
		return pick{}, false
	}
	key, until, ok := c.keys.take(c.limited, now, anyway)
	switch {
	case ok:
	case until.IsZero():
		w.pass(c, "rejected")
	default:
		w.pass(c, "rate_limited")
		soonest.note(until.Sub(now), true)
	}
	return key, ok
}

// pass notes a target that is not called. Once an attempt has failed, its failure is why the call moves.
func (w *walk) pass(c *choice, why string) {
	if w.failed == nil {
		w.left, w.leftFor = c, why
	}
}

// wait is how long no target of a model is available.
type wait struct {
	least   time.Duration
	noted   bool
	failing bool // some target fails, or has too many calls; else all limit the rate
}

func (s *wait) note(d time.Duration, limited bool) {
	if !s.noted || d < s.least {
		s.least = d
	}
	s.noted, s.failing = true, s.failing || !limited
}

// err is the error for a call that no target was available for.
func (s *wait) err(m models.Model) error {
	if s.noted && !s.failing {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED,
			"The provider limits the rate of calls of %s. Please try again later.", subject(m)).With("limit", "provider").After(atLeastOne(s.least))
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		"No target of %s is available. Please try again later.", subject(m)).After(atLeastOne(s.least)).Cause(invoke.ErrNoTarget)
}

// subject names what a request is for.
func subject(m models.Model) string {
	if m.ID == "" {
		return "this object"
	}
	return "the model " + m.ID
}

// attempt makes one attempt and notes what it came to.
func (w *walk) attempt(ctx context.Context, c *choice, key pick) next {
	if w.tried == 0 {
		c.budget.Called()
	} else {
		w.chain.options.Logger.WarnContext(ctx, "a target failed before its answer began; the call is tried again",
			slog.String("failed_target", w.failed.account.Name), slog.String("outcome", w.why), slog.String("target", c.account.Name),
			slog.String("model", w.q.Model.ID), slog.Int("attempt", w.tried+1))
		w.failed.pool.Retried(ctx, w.why)
	}
	if w.left != nil && w.left != c && w.failed != c {
		w.x.Moved(w.leftFor)
	}
	w.tried++
	w.asked, w.failed = 0, c
	var n next
	if n, w.why = w.once(ctx, c, key); n == final || w.x.Begun() || ctx.Err() != nil || w.gone() {
		return final
	}
	w.left, w.leftFor = c, w.why
	return n
}

func (w *walk) gone() bool {
	select {
	case <-w.x.Gone():
		return true
	default:
		return false
	}
}

func (w *walk) once(ctx context.Context, c *choice, key pick) (n next, why string) {
	ctx, span := tracing.Start(ctx, "attempt", tracing.Client)
	if span.On() {
		w.describe(span, c)
		defer func() { w.endSpan(span, why) }()
	}
	body := w.x.Body(c.route)
	if w.q.Thinks {
		ctx = provider.WithIdleTimeout(ctx, c.thinking)
	}
	answer, err := c.send(ctx, c.url(w.q), key, w.q, body, w.x.Gone())
	if err != nil {
		n, why = afterError(err)
		if w.q.Once && mayHaveArrived(err) {
			n = final
		}
		w.last = Failure(err)
		if unconnected(err) {
			w.last = Failure(errors.Join(errUnreachable, err))
		} else if !errors.Is(w.last, invoke.ErrNoTarget) {
			w.reached = true
		}
		return n, why
	}
	w.reached = true
	answer.Route, answer.Headers[targetHeader], answer.Span = c.route, c.account.Name, span
	if answer.refusal != nil {
		w.last = &invoke.RefusedError{Answer: &answer.Answer, Refusal: answer.refusal}
		return w.refused(ctx, c, key, answer.header, answer.Status, answer.refusal)
	}
	err = w.x.Take(&answer.Answer)
	w.last = err
	if err == nil {
		return final, ""
	}
	if refused, ok := errors.AsType[*invoke.RefusedError](err); ok {
		return w.refused(ctx, c, key, answer.header, refused.Refusal.Status, refused.Refusal)
	}
	switch errs.ReasonOf(err) {
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT:
		return w.unless(elsewhere), "timeout"
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR:
		return w.unless(again), "failed"
	default:
		return final, ""
	}
}

// unless is what follows an attempt whose request a provider has got: nothing, if no two may get it.
func (w *walk) unless(n next) next {
	if w.q.Once {
		return final
	}
	return n
}

// mayHaveArrived reports whether a provider may have got the request of an attempt without an answer.
func mayHaveArrived(err error) bool {
	_, busy := errors.AsType[*provider.BusyError](err)
	_, open := errors.AsType[*provider.OpenError](err)
	return !busy && !open && !unconnected(err)
}

// afterError is what follows an attempt without an answer.
func afterError(err error) (next, string) {
	var busy *provider.BusyError
	var open *provider.OpenError
	var timed net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return final, ""
	case errors.As(err, &busy):
		return elsewhere, "busy"
	case errors.As(err, &open):
		return elsewhere, "open"
	case unconnected(err):
		return again, "failed"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		return elsewhere, "timeout" // the caller has waited long already
	default:
		return again, "failed"
	}
}

// errUnreachable is the cause of the error of an attempt that got no connection.
var errUnreachable = errors.New("no connection to the target")

// unconnected reports whether an attempt got no connection, so that no server has seen the request.
func unconnected(err error) bool {
	network, ok := errors.AsType[*net.OpError](err)
	return ok && (network.Op == "dial" || network.Op == "proxyconnect")
}

// refused is what follows an error that a provider answered. header is the answer's, and status what the error stands
// for.
func (w *walk) refused(ctx context.Context, c *choice, key pick, header http.Header, status int, r *invoke.Refusal) (next, string) {
	now := w.chain.options.Now()
	switch {
	case r.Ours:
		w.tellOperator(ctx, c, status, r)
		if c.keys.reject(key, now) {
			return otherKey, "rejected"
		}
		return elsewhere, "rejected"
	case status == http.StatusTooManyRequests:
		return w.limitedUntil(c, key, header, now), "rate_limited"
	case status < http.StatusInternalServerError && r.Status >= http.StatusInternalServerError: // a firewall's page
		return elsewhere, "client_error"
	case status == http.StatusNotFound: // the model is in the price list, so the target lacks it
		return elsewhere, "client_error"
	case status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		if header.Get("X-Should-Retry") == "false" {
			return elsewhere, "server_error"
		}
		w.asked = provider.RetryAfter(header, now)
		return again, "server_error"
	default:
		return final, ""
	}
}

// limitedUntil leaves a target alone that limits the rate, for as long as it asks.
func (w *walk) limitedUntil(c *choice, key pick, header http.Header, now time.Time) next {
	delay, known := provider.RateLimitReset(header, now)
	switch {
	case delay > 0:
	case known: // no limit is used up: the provider means this request
		return elsewhere
	default:
		delay = limitedTime
	}
	delay = min(delay, limitedMost)
	w.tellWait(delay)
	c.limited[key.group].Store(now.Add(delay).UnixNano())
	if len(c.keys.groups) > 1 {
		if _, _, ok := c.keys.take(c.limited, now, false); ok {
			return otherKey
		}
	}
	w.asked = delay
	return again
}

// tellWait tells the caller when to try again, if the provider does not.
func (w *walk) tellWait(delay time.Duration) {
	refused, ok := errors.AsType[*invoke.RefusedError](w.last)
	if !ok || refused.Answer.Headers["retry-after"] != "" {
		return
	}
	refused.Answer.Headers["retry-after"] = strconv.FormatInt(int64(atLeastOne(delay)/time.Second), 10)
}

// tellOperator reports a refusal of Trivet's own account, which no caller can change. The provider's message stays out of the log: it may
// repeat the request.
func (w *walk) tellOperator(ctx context.Context, c *choice, status int, r *invoke.Refusal) {
	text := "the provider refuses Trivet's own account: check the keys of the target in MODELS_FILE and the account's billing"
	if c.account.Name == models.DefaultTarget {
		text = "the provider refuses Trivet's own account: check OPENAI_API_KEY, OPENAI_ORG_ID and the account's billing"
	}
	w.chain.options.Logger.ErrorContext(ctx, text, slog.String("target", c.account.Name),
		slog.Int("status", status), slog.String("code", provider.LogCode(r.Code)))
}

// exhausted reports whether every target is spent.
func (w *walk) exhausted() bool {
	for i := range w.choices {
		if !w.spent[i] {
			return false
		}
	}
	return true
}

// pause waits before the targets are tried once more. It reports false when that is not worth it.
func (w *walk) pause(ctx context.Context, round int) bool {
	delay := max(w.asked, provider.Backoff(round, w.chain.options.Backoff, backoffLimit, w.chain.options.Random))
	if w.asked > patience || !w.budget() {
		return false
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-w.x.Gone():
		return false
	}
}

// budget takes a retry from the budget of the first target that may be tried again.
func (w *walk) budget() bool {
	for i := range w.choices {
		if !w.spent[w.order[i]] {
			return w.at(i).budget.Spend()
		}
	}
	return false
}

// outcome is the error of a call whose last attempt is over. One whose targets refused every connection found no target.
func (w *walk) outcome() error {
	if w.last == nil || w.reached || errors.Is(w.last, invoke.ErrNoTarget) || !errors.Is(w.last, errUnreachable) {
		return w.last
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		"No target of the model %s can be reached. Please try again later.", w.q.Model.ID).After(busyRetry).Cause(errors.Join(w.last, invoke.ErrNoTarget))
}

// ended is the error of a call that is not tried again.
func (w *walk) ended(ctx context.Context) error {
	if ctx.Err() != nil || w.gone() {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The caller left.").Cause(errors.Join(invoke.ErrGone, context.Cause(ctx)))
	}
	return w.outcome()
}
