// Package reconcile compares the mirror with Stripe and repairs the effects of webhooks that never arrived.
package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// Errors that an operator can resolve.
var (
	// ErrBusy says that this replica or another is reconciling.
	ErrBusy = job.ErrBusy
	// ErrStranger says that Stripe has none of the stored customers.
	ErrStranger = errors.New("reconcile: Stripe has none of the stored customers, so nothing was changed: check that STRIPE_SECRET_KEY belongs to the right account")
	// ErrAway says that Stripe did not answer after several attempts.
	ErrAway = errors.New("reconcile: Stripe does not answer")
)

const (
	// jobName names the job in the database.
	jobName = "stripe reconcile"
	// lease is how long a replica keeps the job without renewing it.
	lease = 5 * time.Minute
	// resumable is the maximum age of a run that is resumed.
	resumable = 24 * time.Hour
	pageSize  = 100
	// strangers is how many stored customers the check of the key needs. Fewer may really have been deleted at Stripe.
	strangers = 10
)

// Store reads the mirrored objects.
type Store interface {
	// Objects reads objects of a kind in the order of their ids, after one id and without tombstones.
	Objects(ctx context.Context, kind mirror.Kind, after string, limit int) ([]mirror.Object, error)
}

// Source lists Stripe's objects and events.
type Source interface {
	mirror.Lister
	// Events reads a page of the events since a time, newest first, after the event with the given id if any. Errors:
	// mirror.ErrGone when Stripe no longer has that event, and those of List.
	Events(ctx context.Context, since time.Time, after string) (mirror.Page, error)
}

// Options configure a Reconciler.
type Options struct {
	// Database stores the job. Only one replica reconciles at a time.
	Database *database.DB
	Store    Store
	Source   Source
	// Mirror compares, fetches and writes.
	Mirror *mirror.Mirror
	// Sleep waits; nil means wait.For.
	Sleep  func(ctx context.Context, d time.Duration) error
	Now    func() time.Time
	Logger *slog.Logger
	// Alone says that no other process uses this database, as with a SQLite file. Then a run takes over the job of a dead process at
	// once.
	Alone bool
}

// Reconciler compares the mirror with Stripe and repairs it.
type Reconciler struct{ o Options }

// New makes a Reconciler.
func New(o Options) *Reconciler {
	if o.Sleep == nil {
		o.Sleep = wait.For
	}
	return &Reconciler{o}
}

// Counts sums up the results of a comparison.
type Counts struct {
	Same     int64 `json:"same"`
	Repaired int64 `json:"repaired"`
	Created  int64 `json:"created"`
	Removed  int64 `json:"removed"`
}

// Progress is the progress of one kind.
type Progress struct {
	Kind mirror.Kind
	Counts
	// Done marks the last report of the kind.
	Done bool
}

// Report receives progress; its error ends the run.
type Report func(Progress) error

// Run compares everything when since is zero. Otherwise it reads Stripe's events since then (Stripe keeps 30 days), fetches the
// objects that they are about, deleted ones included, and then compares the objects that were created since then. An interrupted
// run is resumed. Errors: ErrBusy, ErrStranger, ErrAway, mirror.ErrRefused, job.ErrLost, and those of the store and of report.
func (r *Reconciler) Run(ctx context.Context, since time.Time, report Report) error {
	return r.run(ctx, since, 0, report)
}

// run runs if the last full run ended longer ago than interval.
func (r *Reconciler) run(ctx context.Context, since time.Time, interval time.Duration, report Report) error {
	options := job.Options{
		Lease: lease, Interval: interval, Alone: r.o.Alone, Now: r.o.Now,
		// Only a full run counts as the scheduled run, because other runs do not find deleted objects.
		Aside: !since.IsZero(),
	}
	return job.Run(ctx, r.o.Database, jobName, options, func(ctx context.Context, holder *job.Holder) error {
		w := &walk{Options: r.o, holder: holder, report: report, fetched: map[mirror.Target]struct{}{}}
		w.resume(since)
		if err := w.all(ctx); err != nil || since.IsZero() {
			return err
		}
		w.saved.Since = nil
		return holder.Save(ctx, w.saved)
	})
}

// all reads the events, if a time was given, and then the lists of all kinds.
func (w *walk) all(ctx context.Context) error {
	if err := w.prove(ctx); err != nil {
		return err
	}
	if !w.Since.IsZero() && !w.Told {
		if err := w.goThroughEvents(ctx); err != nil {
			return err
		}
	}
	kinds := mirror.Kinds()
	at := max(slices.Index(kinds, w.Kind), 0)
	for _, kind := range kinds[:at] { // kinds that an earlier run has finished
		if err := w.report(Progress{Kind: kind, Counts: w.Counts[kind], Done: true}); err != nil {
			return err
		}
	}
	for _, kind := range kinds[at:] {
		if w.Kind != kind {
			w.state, w.resumed = state{Begun: w.Begun, Since: w.Since, Told: w.Told, Kinds: kinds, Kind: kind, Counts: w.Counts}, false
		}
		if err := w.walk(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

// state is the saved progress of a run.
type state struct {
	Begun time.Time `json:"begun"`
	Since time.Time `json:"since"`
	// Told is true when all events have been read.
	Told bool `json:"told,omitempty"`
	// Kinds are all kinds of the version that saved it. A version with other kinds starts over.
	Kinds []mirror.Kind `json:"kinds"`
	// Kind is the one that is being compared.
	Kind mirror.Kind `json:"kind"`
	// Listed is true when Stripe's list has been read and the store's list is being read.
	Listed bool `json:"listed"`
	// After is the last id in the list that is being read.
	After  string                 `json:"after"`
	Counts map[mirror.Kind]Counts `json:"counts"`
}

// progress is the saved state of the job. A full run and a run since a time have separate states.
type progress struct {
	Full  *state `json:"full,omitempty"`
	Since *state `json:"since,omitempty"`
}

// resume continues a saved run with the same time that is not too old.
func (w *walk) resume(since time.Time) {
	if !w.holder.Load(&w.saved) {
		w.saved = progress{}
	}
	s := w.saved.Full
	if !since.IsZero() {
		s = w.saved.Since
	}
	if s != nil && !s.Begun.IsZero() && s.Since.Equal(since) && w.Now().Sub(s.Begun) < resumable && s.Counts != nil && slices.Equal(s.Kinds, mirror.Kinds()) {
		w.state, w.resumed = *s, true
		return
	}
	w.state = state{Begun: w.Now().UTC(), Since: since.UTC(), Kinds: mirror.Kinds(), Kind: mirror.Kinds()[0], Counts: map[mirror.Kind]Counts{}}
}

// save stores the walk's progress and renews the lease.
func (w *walk) save(ctx context.Context) error {
	if w.Since.IsZero() {
		w.saved.Full = &w.state
	} else {
		w.saved.Since = &w.state
	}
	return w.holder.Save(ctx, w.saved)
}

// prove checks that Stripe has at least one of the stored customers, before anything is written. With the key of another account
// all stored objects would seem to be deleted, and that account's objects would be stored. With fewer than strangers customers
// there is no check, because so few may really have been deleted without a webhook.
func (w *walk) prove(ctx context.Context) error {
	ours, err := w.Store.Objects(ctx, mirror.Customer, "", pageSize)
	if err != nil || len(ours) < strangers {
		return err
	}
	for _, o := range ours {
		var there mirror.Object
		err := w.ask(ctx, func() (err error) {
			there, err = w.Mirror.Fetch(ctx, mirror.Customer, o.ID)
			return err
		})
		if err != nil {
			return err
		}
		if !there.Deleted {
			return nil
		}
	}
	return ErrStranger
}
