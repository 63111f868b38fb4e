// Package sync keeps the directory equal to Clerk: it applies the events of the inbox, and erases users that Clerk deleted.
package sync

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
)

// The sources in the inbox.
const (
	// Clerk is the source of Clerk's webhooks.
	Clerk = clerk.Source
	// Erasure is the source of erasures that are queued.
	Erasure = "erasure"
	// LateErasure is the source of second erasures, for what calls write that were in progress during the first.
	LateErasure = "erasure-late"
)

// Options configure a Syncer.
type Options struct {
	Inbox *inbox.Inbox
	Store *store.Store
	// Applied counts events by type and outcome: "changed", "unchanged" or "none".
	Applied func(ctx context.Context, kind, outcome string)
	Now     func() time.Time
}

// Syncer applies events.
type Syncer struct{ Options }

// New makes a Syncer.
func New(o Options) *Syncer { return &Syncer{Options: o} }

// Handle registers the handlers of all sources.
func (s *Syncer) Handle(eraser *erasure.Eraser) error {
	return errors.Join(
		s.Inbox.Handle(Clerk, inbox.Handler{Handle: s.apply}),
		s.Inbox.Handle(Erasure, inbox.Handler{
			Handle:      func(ctx context.Context, job *inbox.Job) error { return s.erase(ctx, eraser, job) },
			MaxAttempts: forever,
			Workers:     erasers,
			Lease:       inbox.CallLease,
			Timeout:     eraseTimeout,
		}),
		s.Inbox.Handle(LateErasure, inbox.Handler{
			Handle:      func(ctx context.Context, job *inbox.Job) error { return s.eraseLate(ctx, eraser, job) },
			MaxAttempts: forever,
			Workers:     1,
			Lease:       inbox.CallLease,
			Timeout:     eraseTimeout,
		}),
	)
}

const (
	// forever is as many attempts as it takes until every service has confirmed; with the longest pauses they last a century.
	forever = 1_000_000
	// erasers is the number of concurrent erasures. It leaves workers for webhooks when another service hangs.
	erasers = 4
	// eraseTimeout is longer than all services together may take.
	eraseTimeout = 2 * time.Minute
	// lateAfter is the time after which every call has ended that began under a passport from before the erasure. A passport
	// lives for a minute; a hold ends with its lease or, while its call runs, with the provider's answer.
	lateAfter = 30 * time.Minute
)

// errTooEarly makes the inbox retry a late erasure later.
var errTooEarly = errors.New("calls from before the erasure may still be in progress")

// PutErasure queues a person's erasure in the transaction that begins it.
func (s *Syncer) PutErasure(ctx context.Context, tx database.Tx, userID string, at time.Time) error {
	_, err := s.Inbox.PutTx(ctx, tx, inbox.Event{
		Source: Erasure, ID: userID + "@" + strconv.FormatInt(at.UnixMicro(), 10), Type: "user.erase", Subject: userID,
	})
	return err
}

// apply commits the change that an event describes together with the mark that the event is done.
func (s *Syncer) apply(ctx context.Context, job *inbox.Job) error {
	change, err := clerk.ChangeOf(job.Payload, s.Now())
	if err != nil {
		if failed := s.forget(ctx, job); failed != nil {
			return failed
		}
		return inbox.Permanent(err)
	}
	if change == nil {
		s.Applied(ctx, job.Type, "none")
		return nil
	}
	job.Key = contended(change, job.Subject)
	var changed bool
	err = job.Complete(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		changed, err = s.write(ctx, s.Store.Within(tx), change, job.ID)
		return err
	})
	if err == nil {
		s.Applied(ctx, job.Type, map[bool]string{true: "changed", false: "unchanged"}[changed])
	}
	return err
}

// write applies a change. A user that Clerk deleted is erased everywhere. The payload of a later event about an erased user is
// cleared, too.
func (s *Syncer) write(ctx context.Context, w *store.Writing, change directory.Change, eventID string) (changed bool, err error) {
	if gone, ok := change.(directory.UserDeleted); ok {
		return true, w.BeginErasure(ctx, gone.ID, false, s.PutErasure)
	}
	changed, err = change.Apply(ctx, w)
	if user, ok := change.(directory.UserChanged); ok && err == nil && !changed {
		err = w.ForgetEvent(ctx, user.User.ID, Clerk, eventID)
	}
	return changed, err
}

// forget clears the payload of an event that will never be applied, if it is about a user who was erased.
func (s *Syncer) forget(ctx context.Context, job *inbox.Job) error {
	return s.Store.ForgetEvent(ctx, job.Subject, Clerk, job.ID)
}

// contended returns the key under which the store writes the same rows.
func contended(change directory.Change, subject string) string {
	switch c := change.(type) {
	case directory.MembershipChanged:
		return c.Membership.UserID
	case directory.MembershipDeleted:
		return cmp.Or(c.UserID, subject)
	default:
		return subject
	}
}

// erase asks the services that have not confirmed. The erasure stays open until all have. Then a late erasure is queued, for what
// calls write that are in progress now.
func (s *Syncer) erase(ctx context.Context, eraser *erasure.Eraser, job *inbox.Job) error {
	err := eraser.Carry(ctx, job.Subject)
	if errors.Is(err, erasure.ErrNotFound) {
		return inbox.Permanent(err)
	}
	if err != nil {
		return err
	}
	return job.Complete(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := s.Store.Within(tx).CompleteErasure(ctx, job.Subject, s.Now()); err != nil {
			return err
		}
		_, err := s.Inbox.PutTx(ctx, tx, inbox.Event{
			Source: LateErasure, ID: job.ID, Type: job.Type, Subject: job.Subject,
		})
		return err
	})
}

func (s *Syncer) eraseLate(ctx context.Context, eraser *erasure.Eraser, job *inbox.Job) error {
	if wait := job.PutTime.Add(lateAfter).Sub(s.Now()); wait > 0 {
		return inbox.RetryAfter(errTooEarly, wait)
	}
	if err := eraser.Repeat(ctx, job.Subject); err != nil {
		return err
	}
	return job.Complete(ctx, func(context.Context, database.Tx) error { return nil })
}
