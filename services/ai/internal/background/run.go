package background

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

const (
	// lookEvery is how often due responses are looked for.
	lookEvery = time.Second
	// batch is how many of them a process takes, and asks for, at once.
	batch = 32
	// lease is how long a process keeps a response that it takes: longer than it takes to cancel it, to ask for it and to settle it.
	lease = 2 * time.Minute
	// maxPause is the longest time between two questions for a response.
	maxPause = 15 * time.Second
)

const (
	// extendEvery is how often the holds of all running responses are extended: several times in a lease of a hold.
	extendEvery = time.Minute
	// extendPage is how many responses are read at once for that, and extendAtOnce how many holds are extended at once.
	extendPage, extendAtOnce = 256, 8
)

// FirstAsk is how long after its start a response is asked for.
const FirstAsk = 2 * time.Second

const outcomeFailed = billingv1.Outcome_OUTCOME_UPSTREAM_FAILED

var (
	errMissing  = errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider does not know the response any more.")
	errSilent   = errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, "The provider did not end the response in time.")
	errNotEnded = errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "The provider has not cancelled the response yet. Please try again later.").After(FirstAsk)
)

// pause is how long the next question waits after so many.
func pause(polls int64) time.Duration {
	d := FirstAsk
	for range min(polls, 16) {
		if d += d / 2; d >= maxPause {
			return maxPause
		}
	}
	return d
}

// Run asks for the responses that are due and settles those that have ended, until ctx ends.
func (r *Runner) Run(ctx context.Context) {
	var keeping sync.WaitGroup
	defer keeping.Wait()
	keeping.Go(func() { r.keep(ctx) })
	for {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "running responses cannot be read; trying again later", slog.Any("error", err))
		}
		if wait.For(ctx, lookEvery) != nil {
			return
		}
	}
}

// keep extends the holds of all running responses, and deletes what processes that died have left, until ctx ends. Questions to a provider that hangs
// keep the others waiting, but not this.
func (r *Runner) keep(ctx context.Context) {
	for {
		if err := r.extendAll(ctx); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "the holds of running responses cannot be extended, because the responses cannot be read; trying again later", slog.Any("error", err))
		}
		if err := r.Store.Forget(ctx, r.Now()); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "the entries of responses that never began cannot be deleted; trying again later", slog.Any("error", err))
		}
		if wait.For(ctx, extendEvery) != nil {
			return
		}
	}
}

// extendAll extends the hold of each running response once.
func (r *Runner) extendAll(ctx context.Context) error {
	for after := ""; ctx.Err() == nil; {
		page, err := r.Store.AllRunning(ctx, after, extendPage)
		if err != nil || len(page) == 0 {
			return err
		}
		var group errgroup.Group
		group.SetLimit(extendAtOnce)
		for i := range page {
			group.Go(func() error { r.extend(ctx, &page[i]); return nil })
		}
		_ = group.Wait() // extend has no error to return
		after = page[len(page)-1].ID
	}
	return nil
}

// extend extends the hold of a running response.
func (r *Runner) extend(ctx context.Context, running *stored.Running) {
	if err := r.Invoker.Extend(ctx, running); err != nil && errs.ReasonOf(err) != errorsv1.ErrorReason_ERROR_REASON_CONFLICT { // settled, or swept
		r.Logger.DebugContext(ctx, "the hold of a running response was not extended", slog.String("hold_id", running.Hold), slog.Any("error", err))
	}
}

// look asks for all responses that are due.
func (r *Runner) look(ctx context.Context) error {
	for ctx.Err() == nil {
		backlog, err := r.Store.Backlog(ctx)
		if err != nil {
			return err
		}
		r.note(backlog)
		now := r.Now()
		if backlog.Running == 0 || backlog.Due.After(now) {
			return nil
		}
		due, err := r.Store.Claim(ctx, now, now.Add(lease), batch)
		if err != nil || len(due) == 0 {
			return err
		}
		var group errgroup.Group
		for i := range due {
			group.Go(func() error { r.poll(ctx, &due[i]); return nil })
		}
		_ = group.Wait() // poll has no error to return
	}
	return nil
}

func (r *Runner) note(b stored.Backlog) {
	r.running.Store(b.Running)
	r.oldest.Store(0)
	if !b.Oldest.IsZero() {
		r.oldest.Store(b.Oldest.UnixMicro())
	}
}

// poll asks for one response, and has it asked for again unless it is settled.
func (r *Runner) poll(ctx context.Context, running *stored.Running) {
	done, missing, err := r.check(ctx, running)
	if err != nil && ctx.Err() == nil && r.tell(running.Target, r.Now()) {
		r.Logger.Log(ctx, levelOf(err), "a running response could not be fetched or settled; trying again later",
			slog.String("response_id", running.ID), slog.String("target", running.Target), slog.String("hold_id", running.Hold), slog.Any("error", err))
	}
	if done && err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	next := pause(running.Polls)
	if errors.Is(err, hold.ErrRejected) {
		next = maxPause
	}
	if err := r.Store.Again(ctx, running.ID, r.Now().Add(next), missing); err != nil {
		r.Logger.WarnContext(ctx, "a running response is asked for again only after the lease of this process", slog.String("response_id", running.ID), slog.Any("error", err))
	}
}

// check reads a response and settles it if it has ended. missing is since when the provider does not know it.
func (r *Runner) check(ctx context.Context, running *stored.Running) (done bool, missingSince time.Time, err error) {
	var attempt provider.Attempt // the line of a response that has ended tells what it has used
	ctx = attempt.Begin(requestid.With(ctx, running.Request))
	defer attempt.End(ctx, r.Logger)
	r.extend(ctx, running)
	if r.tooOld(running) {
		if status, _, err := r.cancel(ctx, running); err == nil && status == http.StatusOK {
			r.Logger.WarnContext(ctx, "a response ran longer than TRIVET_BACKGROUND_MAX_AGE and was cancelled",
				slog.String("response_id", running.ID), slog.String("target", running.Target), slog.String("hold_id", running.Hold))
		}
	}
	status, body, err := r.ask(ctx, running)
	switch {
	case err == nil && status == http.StatusOK:
		if done, err = r.conclude(ctx, running, body); done || err == nil && !r.hopeless(running) {
			return done, time.Time{}, err
		}
	case err == nil && missing(status):
		since := running.Missing
		if since.IsZero() {
			since = r.Now()
			r.tellMissing(ctx, running)
		}
		if !r.tooOld(running) || r.Now().Sub(since) < lostTime {
			return false, since, nil
		}
		return true, since, r.lose(ctx, running, errMissing)
	case err == nil:
		err = fmt.Errorf("the provider answered with status %d", status)
	}
	if r.hopeless(running) {
		return true, time.Time{}, r.lose(ctx, running, errSilent)
	}
	return false, running.Missing, err
}

// hopeless reports whether the end of a response is not waited for any more.
func (r *Runner) hopeless(running *stored.Running) bool { return r.age(running) >= r.MaxAge+patience }
