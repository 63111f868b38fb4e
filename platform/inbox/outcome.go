package inbox

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/wait"
)

// kind is how an attempt ended, also in metrics.
type kind string

const (
	completed kind = "done"
	failed    kind = "failed"   // counts: another attempt, or dead
	released  kind = "released" // does not count: the process stops, or could not ask the database
	lost      kind = "lost"     // another worker has the lease
)

// outcome is how an attempt ended, and what is to become of its events.
type outcome struct {
	kind     kind
	err      error
	pause    time.Duration // until the next attempt
	deadFrom int           // failed: events with that many attempts are dead
	uncount  bool          // failed: the other events do not count the attempt
	begun    time.Time     // by the inbox's clock

	tokens []int64 // of the lease, and of what followed it if a commit is in doubt

	// What is written.
	written bool
	died    int64
	rest    rest
}

// judge decides what the handler's answer means.
func (w *worker) judge(j *Job, err error) outcome {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.completed:
		return outcome{kind: completed, err: err, written: true, rest: j.rest}
	case j.unknown:
		return outcome{kind: released, err: err}.doubt(j.rest)
	case err == nil:
		return outcome{kind: completed}
	case errors.Is(err, ErrLeaseLost):
		return outcome{kind: lost, err: err, written: true}
	case isPermanent(err):
		return outcome{kind: failed, err: err}
	case w.work.Err() != nil:
		return outcome{kind: released, err: err}
	}
	return outcome{
		kind: failed, err: err, deadFrom: j.h.MaxAttempts,
		pause: w.in.options.pauseAfter(err, j.group.events[0].Attempts),
	}
}

// doubt is the outcome after a commit of which it isn't known whether it took place: if so, the lease has ended, or is
// that of what is next, which nobody works on.
func (o outcome) doubt(left rest) outcome {
	o.kind = released
	if left.next != nil {
		o.tokens = append(o.tokens, left.next.token)
	}
	return o
}

// recordFor is how long an outcome is tried to be written at least: the database may be away for longer than a lease, and
// the outcome still counts if nobody has taken the subject since.
const recordFor = time.Minute

// record writes an outcome, if need be again and again. What can't be written, the next worker finds out.
func (w *worker) record(j *Job, o outcome) outcome {
	o.tokens = append(o.tokens, j.group.token)
	end := time.Now().Add(max(j.h.Lease, recordFor))
	for pause := 50 * time.Millisecond; !o.written; pause = min(2*pause, time.Second) {
		var err error
		if o.kind == completed {
			o.rest, err = j.complete(w.life, nil)
		} else {
			err = w.in.finish(w.life, w, j.group, j.h, &o)
		}
		switch {
		case err == nil:
			o.written = true
			continue
		case errors.Is(err, ErrLeaseLost):
			return outcome{kind: lost, err: err}
		case errors.Is(err, database.ErrCommitUnknown):
			o = o.doubt(o.rest)
		}
		if !database.IsUnavailable(err) || !time.Now().Before(end) || wait.For(w.life, pause) != nil {
			return outcome{kind: lost, err: errors.Join(err, o.err)}
		}
	}
	return o
}

// finish gives the events of a lease back or up, and the subject on.
func (in *Inbox) finish(ctx context.Context, w *worker, g *group, h Handler, o *outcome) error {
	now := in.now()
	due := now.Add(o.pause)
	text, uncount := "", 1
	if o.kind == failed {
		text = clip(o.err.Error())
		if !o.uncount {
			uncount = 0
		}
	}
	return in.db.Write(ctx, g.subject, func(ctx context.Context, tx database.Tx) (err error) {
		o.died, o.rest = 0, rest{}
		if err := in.hold(ctx, tx, g, o.tokens...); err != nil {
			return err
		}
		if o.kind == failed {
			if err := in.recordFailure(ctx, tx, g, o.begun, now, text); err != nil {
				return err
			}
			if o.died, err = exec(ctx, tx, in.sql.dead, g.source, g.subject, text, now.UnixMicro(), o.deadFrom); err != nil {
				return err
			}
		}
		again, err := exec(ctx, tx, in.sql.again, g.source, g.subject, due.UnixMicro(), uncount, text)
		if err != nil {
			return err
		}
		if again > 0 {
			o.rest.waits = true
			_, err := exec(ctx, tx, in.sql.lease, g.source, g.subject, 0, due.UnixMicro())
			return err
		}
		o.rest, err = in.passOn(ctx, tx, g, h, now, w.keepsOn())
		return err
	})
}

// keptFailures bounds what is kept of an event's failures; they are thrown away when there are about twice as many.
const keptFailures = 25

// recordFailure keeps for operators how an attempt went.
func (in *Inbox) recordFailure(ctx context.Context, tx database.Tx, g *group, begun, now time.Time, text string) error {
	if _, err := exec(ctx, tx, in.sql.failed, g.source, g.subject, begun.UnixMicro(), now.UnixMicro(), text); err != nil {
		return err
	}
	for _, e := range g.events {
		if e.Attempts%keptFailures != 0 {
			continue
		}
		if _, err := exec(ctx, tx, in.sql.trim, e.Sequence, keptFailures); err != nil {
			return err
		}
	}
	return nil
}

// report logs and counts an attempt.
func (in *Inbox) report(ctx context.Context, j *Job, o outcome, took time.Duration) {
	in.metrics.attempt(ctx, j, o, took)
	attrs := about(j)
	if o.err != nil {
		attrs = append(attrs, slog.String("error", clip(o.err.Error())))
	}
	switch {
	case o.died > 0:
		in.log.LogAttrs(ctx, slog.LevelError, "event moved to dead letter; redrive it once the cause is fixed", attrs...)
	case o.kind == failed:
		in.log.LogAttrs(ctx, slog.LevelWarn, "attempt failed; it will be retried", append(attrs, slog.Duration("pause", o.pause))...)
	case o.kind == lost:
		in.log.LogAttrs(ctx, slog.LevelWarn, "lease lost; another worker has taken over", attrs...)
	case o.kind == completed && o.err != nil:
		in.log.LogAttrs(ctx, slog.LevelWarn, "the handler failed after it had completed the event", attrs...)
	default:
		in.log.LogAttrs(ctx, slog.LevelDebug, "attempt ended", append(attrs, slog.String("outcome", string(o.kind)))...)
	}
}

// about says which event a log line is about.
func about(j *Job) []slog.Attr {
	return []slog.Attr{
		slog.String("source", j.Source), slog.String("event_id", j.ID), slog.String("type", j.Type), slog.String("subject", j.Subject),
		slog.Int("attempt", j.Attempts), slog.Int("events", len(j.group.events)),
	}
}

// exec runs a statement and returns how many rows it changed.
func exec(ctx context.Context, tx database.Tx, query string, args ...any) (int64, error) {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
