package inbox

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
)

// ErrLeaseLost is returned for a job whose lease ran out and went to another worker, or which was completed before. Nothing
// was written; the handler should return.
var ErrLeaseLost = errors.New("inbox: the lease on the event's subject was lost; another worker has taken over")

// Job is an attempt at an event, or at several of one subject.
type Job struct {
	// Record is the event, the newest of them, with its payload.
	Record
	// Earlier are the older events that are handled along with it (Handler.Coalesce), oldest first, without payloads.
	Earlier []Record
	// Key chooses the lane of Complete's write (see database.DB.Write): what the effect contends for, such as an account's
	// id. It is the subject unless the handler sets it.
	Key string

	w     *worker
	group *group
	timer *time.Timer // ends the attempt's context
	h     Handler

	mu        sync.Mutex
	completed bool
	unknown   bool // it is not known whether Complete was committed
	rest      rest // of the subject, after Complete
}

// Complete writes the effect and marks the job's events as done, in one transaction; a nil effect writes nothing. It
// returns after the durable commit, with which the lease ends: the subject's next event may be handled already. Then the
// handler should return; an error makes no difference any more.
//
// The effect may run more than once, as the function given to database.DB.Write may. Its error is returned, and nothing
// written. Other errors: ErrLeaseLost, and those of Write. After database.ErrCommitUnknown return the error: the inbox finds
// out what happened.
func (j *Job) Complete(ctx context.Context, effect func(ctx context.Context, tx database.Tx) error) error {
	_, err := j.complete(ctx, effect)
	return err
}

func (j *Job) complete(ctx context.Context, effect func(ctx context.Context, tx database.Tx) error) (rest, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.completed {
		return rest{}, ErrLeaseLost
	}
	in, g, now := j.w.in, j.group, j.w.in.now()
	var left rest
	err := in.db.Write(ctx, j.Key, func(ctx context.Context, tx database.Tx) (err error) {
		if err := in.hold(ctx, tx, g, g.token); err != nil {
			return err
		}
		payload, row := j.h.expiry(now)
		n, err := exec(ctx, tx, in.sql.done, g.source, g.subject, now.UnixMicro(), payload, row)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrLeaseLost
		}
		if effect != nil {
			if err := effect(ctx, tx); err != nil {
				return err
			}
		}
		left, err = in.passOn(ctx, tx, g, j.h, now, j.w.keepsOn())
		return err
	})
	j.completed, j.unknown, j.rest = err == nil, errors.Is(err, database.ErrCommitUnknown), left
	return left, err
}

// Extend gives the handler another Timeout from now. The lease needs no help: it lasts as long as the attempt.
// Errors: ErrLeaseLost, and those of database.DB.Write.
func (j *Job) Extend(ctx context.Context) error {
	err := j.w.in.extend(ctx, j.group)
	if err == nil && j.timer.Stop() {
		j.timer.Reset(j.h.Timeout)
	}
	return err
}

// hold locks the subject's row until the transaction ends, if one of the tokens is still its lease.
func (in *Inbox) hold(ctx context.Context, tx database.Tx, g *group, tokens ...int64) error {
	var token int64
	err := tx.QueryRowContext(ctx, in.sql.hold, g.source, g.subject).Scan(&token)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	for _, t := range tokens {
		if err == nil && t == token {
			return nil
		}
	}
	return ErrLeaseLost
}

// rest is what a subject has left when an attempt ends.
type rest struct {
	next  *group // leased already, for the same worker
	waits bool   // something that any worker may take, now or later
}

// passOn ends a lease whose events have ended. What comes next of the subject is leased to the same worker if it keeps on;
// else anybody may take it.
func (in *Inbox) passOn(ctx context.Context, tx database.Tx, g *group, h Handler, now time.Time, keepOn bool) (rest, error) {
	dropped, err := exec(ctx, tx, in.sql.drop, g.source, g.subject)
	if err != nil || dropped > 0 {
		return rest{}, err
	}
	if !keepOn {
		_, err := exec(ctx, tx, in.sql.lease, g.source, g.subject, 0, now.UnixMicro())
		return rest{waits: true}, err
	}
	next := &group{source: g.source, subject: g.subject, token: newToken()}
	until := now.Add(h.Lease).UnixMicro()
	if _, err := exec(ctx, tx, in.sql.lease, g.source, g.subject, next.token, until); err != nil {
		return rest{}, err
	}
	next.events, err = in.take(ctx, tx, g.source, g.subject, now, h.limit())
	return rest{next: next}, err
}
