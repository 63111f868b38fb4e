package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/trivet-dev/trivet/platform/errs"
)

// maxInARow is how many jobs of one subject a worker does before other subjects get their turn.
const maxInARow = 64

var (
	errTimeout  = errors.New("the attempt exceeded its timeout")
	errStopping = errors.New("the process is stopping")
	errGone     = errors.New("every attempt ended with its process or its lease; none reported a result")
)

// worker handles one subject at a time.
type worker struct {
	in     *Inbox
	stop   context.Context // ended: begin no more attempts
	work   context.Context // of the handlers
	life   context.Context // of the writing of outcomes
	inARow int
}

// keepsOn reports whether the worker takes the subject's next event by itself.
func (w *worker) keepsOn() bool { return w.inARow < maxInARow && w.stop.Err() == nil }

// run handles what was leased, and what follows of the subject. It tells whether something waits there for another worker.
func (w *worker) run(g *group) (waits bool) {
	for g != nil {
		w.inARow++
		left := w.attempt(g)
		g, waits = left.next, left.waits
	}
	return waits
}

// attempt makes one attempt at a group's events and records how it ended.
func (w *worker) attempt(g *group) rest {
	h, _ := w.in.handler(g.source)
	last := len(g.events) - 1
	j := &Job{Record: g.events[last], Earlier: g.events[:last], Key: g.subject, w: w, group: g, h: h}
	begun, at := time.Now(), w.in.now()
	o := w.try(j)
	o.begun = at
	o = w.record(j, o)
	w.in.report(w.life, j, o, time.Since(begun))
	return o.rest
}

// try runs the handler, unless something speaks against it.
func (w *worker) try(j *Job) outcome {
	if w.stop.Err() != nil {
		return outcome{kind: released, err: errStopping}
	}
	for _, e := range j.group.events {
		if e.Attempts > j.h.MaxAttempts { // nobody was left to say so after the last one
			return outcome{kind: failed, err: errGone, deadFrom: j.h.MaxAttempts + 1, uncount: true}
		}
	}
	ctx, cancel := context.WithCancelCause(w.work)
	defer cancel(nil)
	if err := w.in.loadPayload(ctx, j); err != nil {
		return outcome{kind: released, err: err, pause: w.in.options.Backoff.Base}
	}
	j.timer = time.AfterFunc(j.h.Timeout, func() { cancel(errTimeout) })
	defer j.timer.Stop()
	pulse := w.in.beat(ctx, j.group, cancel)
	traced, span := j.traced(ctx)
	err := w.handle(traced, j)
	endSpan(span, err)
	pulse.stop()
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return w.judge(j, err)
}

// handle calls the handler; a panic is an error.
func (w *worker) handle(ctx context.Context, j *Job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the handler panicked: %s", errs.PanicText(v))
			w.in.log.LogAttrs(ctx, slog.LevelError, "handler panicked",
				append(about(j), slog.String("panic", errs.PanicText(v)), slog.String("stack", string(debug.Stack())))...)
		}
	}()
	return j.h.Handle(ctx, j)
}

// loadPayload reads the newest event's payload: only now, and not while other writes wait.
func (in *Inbox) loadPayload(ctx context.Context, j *Job) error {
	row := in.db.Reader().QueryRowContext(ctx, "SELECT payload, COALESCE(trace, '') FROM inbox_payload WHERE seq = $1", j.Sequence)
	err := row.Scan(&j.Payload, &j.trace)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // deleted by hand: the handler says what it misses
	}
	return err
}
