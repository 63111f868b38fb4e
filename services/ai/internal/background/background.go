// Package background settles the responses that providers make after the calls that began them have ended.
//
// A row of the store stands for each until billing has settled it. Every process asks the providers for those that are due. A process takes rows
// for the time of a lease, so that another one asks when it dies. Several may see the end of a response, such as a process that asks and a caller's
// request: billing keeps the first settlement of a hold, and the others change nothing.
package background

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

const (
	// askTimeout bounds one request to a provider.
	askTimeout = 30 * time.Second
	// seeTimeout bounds the wait of a stream for the store, and lastSeeTimeout that of a stream that is over. seePause is how long streams
	// leave the store alone after it has failed.
	seeTimeout     = 250 * time.Millisecond
	lastSeeTimeout = 5 * time.Second
	seePause       = 30 * time.Second
	// missingTime is how long a provider may not know a response before its owner may delete it: it may not have stored it yet.
	missingTime = 2 * time.Minute
	// lostTime is how long a provider may not know a response before it counts as lost; also, it must be as old as MaxAge. A key of another
	// project of the provider hides all responses, and the operator needs time to repair it: what is lost is not billed.
	lostTime = 30 * time.Minute
	// patience is how long after the maximum age the end of a response is still asked for, when its provider does not answer.
	patience = 24 * time.Hour
)

// Invoker is the part of *invoke.Invoker that the runner needs.
type Invoker interface {
	Fetch(ctx context.Context, o invoke.ObjectCall) (status int, body []byte, err error)
	Ending(ctx context.Context, r *stored.Running, body []byte) (invoke.Ending, error)
	Lost(ctx context.Context, r *stored.Running, reason error) (invoke.Ending, error)
	Extend(ctx context.Context, r *stored.Running) error
}

// Recorder counts the responses that were settled.
type Recorder interface {
	invoke.Recorder
	// Background counts a response that ran in the background by its last status.
	Background(ctx context.Context, status string)
}

// Options holds what a Runner works with; all are needed.
type Options struct {
	Invoker Invoker
	Store   stored.Background
	// Keep notes the items and the tokens of a response that has ended.
	Keep     func(ctx context.Context, r *stored.Running, kept invoke.Kept) error
	Recorder Recorder
	// MaxAge is how long a response may run; then it is cancelled.
	MaxAge time.Duration
	Logger *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Runner settles responses. It is safe for concurrent use.
type Runner struct {
	Options

	running atomic.Int64
	oldest  atomic.Int64 // when it began, in microseconds since 1970; 0 for none
	unseen  atomic.Int64 // until when streams note nothing, in microseconds since 1970
	troubles
}

// New returns a runner.
func New(o Options) *Runner { return &Runner{Options: o} }

// Running returns how many responses run, as Run saw last.
func (r *Runner) Running() int64 { return r.running.Load() }

// OldestAge returns how old the oldest of them is; 0 without one.
func (r *Runner) OldestAge() time.Duration {
	began := r.oldest.Load()
	if began == 0 {
		return 0
	}
	return max(r.Now().Sub(time.UnixMicro(began)), 0)
}

// See implements invoke.Runner. A store that hangs must not stop streams.
func (r *Runner) See(ctx context.Context, id string, tokens int64, last bool) bool {
	timeout := seeTimeout
	if last {
		timeout = lastSeeTimeout
	} else if r.Now().UnixMicro() < r.unseen.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	err := r.Store.See(ctx, id, tokens)
	if err != nil {
		r.unseen.Store(r.Now().Add(seePause).UnixMicro())
		r.Logger.WarnContext(ctx, "the tokens that a caller has received of a running response could not be stored", slog.String("response_id", id), slog.Any("error", err))
	}
	return err == nil
}

// Settle implements invoke.Runner. A response that could not be settled is asked for again.
func (r *Runner) Settle(ctx context.Context, running *stored.Running, h *hold.Hold, final hold.Final) hold.Receipt {
	receipt, err := r.settle(ctx, running, h, final, statusOf(final))
	if err != nil {
		r.Logger.Log(ctx, levelOf(err), "a response that ran in the background could not be settled; trying again later",
			slog.String("hold_id", running.Hold), slog.Any("error", err))
	}
	return receipt
}

// settle settles a response and forgets it.
func (r *Runner) settle(ctx context.Context, running *stored.Running, h *hold.Hold, final hold.Final, status string) (hold.Receipt, error) {
	receipt, err := h.Try(final)
	if err != nil {
		return receipt, err
	}
	first, err := r.Store.Settled(context.WithoutCancel(ctx), running.ID)
	if first {
		r.Recorder.Call(ctx, running.Model, final)
		r.Recorder.Background(ctx, status)
	}
	return receipt, err
}

// statusOf is the status of a response whose stream was read to its end.
func statusOf(final hold.Final) string {
	switch final.Outcome.String() {
	case "OUTCOME_COMPLETED":
		return "completed"
	case "OUTCOME_CALLER_LEFT":
		return "cancelled"
	default:
		return "failed"
	}
}

// Observe settles a response whose end a caller is about to see in the provider's answer. What fails is left to Run.
func (r *Runner) Observe(ctx context.Context, running *stored.Running, status int, body []byte) {
	if status != http.StatusOK {
		return
	}
	if _, err := r.conclude(ctx, running, body); err != nil {
		r.Logger.Log(ctx, levelOf(err), "a response that ran in the background could not be settled; trying again later",
			slog.String("hold_id", running.Hold), slog.Any("error", err))
	}
}

// conclude settles a response whose answer says that it has ended, and reports whether it has.
func (r *Runner) conclude(ctx context.Context, running *stored.Running, body []byte) (ended bool, err error) {
	e, err := r.Invoker.Ending(ctx, running, body)
	if err != nil || !e.Ended {
		return false, err
	}
	if r.tooOld(running) && e.Status == "cancelled" { // by Trivet
		e.Final.Outcome, e.Final.ErrorCode = outcomeFailed, errs.Code(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT)
	}
	if err := r.Keep(ctx, running, e.Kept); err != nil {
		return true, err
	}
	_, err = r.settle(ctx, running, e.Hold, e.Final, e.Status)
	return true, err
}

// lose settles a response whose end nobody will see.
func (r *Runner) lose(ctx context.Context, running *stored.Running, reason error) error {
	e, err := r.Invoker.Lost(ctx, running, reason)
	if err != nil {
		return err
	}
	r.Logger.ErrorContext(ctx, "a response that ran in the background is lost; what its callers have received is billed",
		slog.String("response_id", running.ID), slog.String("target", running.Target), slog.String("hold_id", running.Hold), slog.Any("reason", reason))
	_, err = r.settle(ctx, running, e.Hold, e.Final, e.Status)
	return err
}

// End cancels a response, settles it, and returns once that is done, so that it can be deleted. A response that is settled is not an error.
func (r *Runner) End(ctx context.Context, id string) error {
	var attempt provider.Attempt
	ctx = attempt.Begin(ctx)
	defer attempt.End(ctx, r.Logger)
	running, err := r.Store.Running(ctx, id)
	if errors.Is(err, stored.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = r.Invoker.Extend(ctx, &running) // it may be settled
	status, body, err := r.cancel(ctx, &running)
	switch {
	case err != nil:
		return err
	case missing(status):
		return r.loseMissing(ctx, &running)
	case status != http.StatusOK: // it has ended
		if status, body, err = r.ask(ctx, &running); err != nil {
			return err
		}
	}
	e, err := r.Invoker.Ending(ctx, &running, body)
	switch {
	case missing(status):
		return r.loseMissing(ctx, &running)
	case err != nil:
		return err
	case status != http.StatusOK || !e.Ended:
		return errNotEnded
	}
	_, err = r.settle(ctx, &running, e.Hold, e.Final, e.Status)
	return err
}

// loseMissing settles a response that is to be deleted and that its provider does not know, unless the provider may still find it. Run notes since when it is
// missing. Another caller may have settled and deleted it in the meantime.
func (r *Runner) loseMissing(ctx context.Context, running *stored.Running) error {
	if _, err := r.Store.Running(ctx, running.ID); errors.Is(err, stored.ErrNotFound) {
		return nil
	}
	if running.Missing.IsZero() || r.Now().Sub(running.Missing) < missingTime {
		return errNotEnded
	}
	return r.lose(ctx, running, errMissing)
}

func (r *Runner) cancel(ctx context.Context, running *stored.Running) (status int, body []byte, err error) {
	return r.fetch(ctx, running, http.MethodPost, "/cancel")
}

func (r *Runner) ask(ctx context.Context, running *stored.Running) (status int, body []byte, err error) {
	return r.fetch(ctx, running, http.MethodGet, "")
}

func (r *Runner) fetch(ctx context.Context, running *stored.Running, method, suffix string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return r.Invoker.Fetch(ctx, invoke.ObjectCall{Method: method, Path: "responses/" + running.ID + suffix, Target: running.Target})
}

func missing(status int) bool { return status == http.StatusNotFound || status == http.StatusGone }

func (r *Runner) age(running *stored.Running) time.Duration { return r.Now().Sub(running.Created) }

func (r *Runner) tooOld(running *stored.Running) bool { return r.age(running) >= r.MaxAge }
