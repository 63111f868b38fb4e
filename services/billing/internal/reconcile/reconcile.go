// Package reconcile compares the mirror with Stripe and repairs what webhooks never told.
package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// Errors that an operator can do something about.
var (
	// ErrBusy says that this replica or another is reconciling.
	ErrBusy = job.ErrBusy
	// ErrStranger says that Stripe has none of the stored customers.
	ErrStranger = errors.New("reconcile: Stripe has none of the stored customers, so nothing was changed: check that STRIPE_SECRET_KEY belongs to the right account")
	// ErrAway says that Stripe did not answer, however often it was asked.
	ErrAway = errors.New("reconcile: Stripe does not answer")
)

const (
	// jobName names the job in the database.
	jobName = "stripe reconcile"
	// lease is how long a replica that renews nothing keeps the job.
	lease = 5 * time.Minute
	// resumable is how old a run may be that is resumed.
	resumable = 24 * time.Hour
	pageSize  = 100
	// strangers is how many stored customers it takes to tell another account by the fact that Stripe knows none of them.
	strangers = 10
)

// Store reads the mirrored objects.
type Store interface {
	// Objects reads living objects of a kind by their ids, after one.
	Objects(ctx context.Context, kind mirror.Kind, after string, limit int) ([]mirror.Object, error)
}

// Source lists Stripe's objects and events.
type Source interface {
	mirror.Lister
	// Events reads a page of the events since then, newest first, after the event with that id, unless it is empty. Errors:
	// mirror.ErrGone when Stripe no longer has that event, and those of List.
	Events(ctx context.Context, since time.Time, after string) (mirror.Page, error)
}

// Options configure a Reconciler.
type Options struct {
	// Database keeps the job: only one replica reconciles at a time.
	Database *database.DB
	Store    Store
	Source   Source
	// Mirror compares, fetches and writes.
	Mirror *mirror.Mirror
	// Sleep waits; nil means by the clock.
	Sleep  func(ctx context.Context, d time.Duration) error
	Now    func() time.Time
	Logger *slog.Logger
	// Alone says that no other process uses this database, as with a SQLite file: a run takes the job of a process that died at once.
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

// Counts sum up what a comparison found.
type Counts struct {
	Same     int64 `json:"same"`
	Repaired int64 `json:"repaired"`
	Created  int64 `json:"created"`
	Removed  int64 `json:"removed"`
}

// Progress is how far one kind is.
type Progress struct {
	Kind mirror.Kind
	Counts
	// Done is true on the last one of its kind.
	Done bool
}

// Report receives progress; its error ends the run.
type Report func(Progress) error

// Run compares everything, when since is the zero time. Otherwise it goes through Stripe's events since then, of which Stripe keeps
// 30 days, and fetches the objects that they are about, also those that are gone; then it compares what was made since then. A run that
// was cut short is resumed. Errors: ErrBusy, ErrStranger, ErrAway, mirror.ErrRefused, job.ErrLost, and those of the store and of report.
func (r *Reconciler) Run(ctx context.Context, since time.Time, report Report) error {
	return r.run(ctx, since, 0, report)
}

// run runs if the last full run ended longer ago than interval.
func (r *Reconciler) run(ctx context.Context, since time.Time, interval time.Duration, report Report) error {
	options := job.Options{
		Lease: lease, Interval: interval, Alone: r.o.Alone, Now: r.o.Now,
		// Only a full run counts as the scheduled one: another does not look for what is gone.
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

// all goes through the events, if a time was given, and then through the lists of all kinds.
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
	for _, kind := range kinds[:min(w.Kind, len(kinds))] { // those that an earlier run has finished
		if err := w.report(Progress{Kind: kind, Counts: w.Counts[kind], Done: true}); err != nil {
			return err
		}
	}
	for w.Kind < len(kinds) {
		if err := w.walk(ctx, kinds[w.Kind]); err != nil {
			return err
		}
		w.resumed = false
		w.state = state{Begun: w.Begun, Since: w.Since, Told: w.Told, Kind: w.Kind + 1, Counts: w.Counts}
	}
	return nil
}

// state is the saved progress of a run.
type state struct {
	Begun time.Time `json:"begun"`
	Since time.Time `json:"since"`
	// Told is true when the events since then are through.
	Told bool `json:"told,omitempty"`
	// Kind is the place of the kind that is being compared.
	Kind int `json:"kind"`
	// Listed is true when Stripe's list is through, and ours is being looked through.
	Listed bool `json:"listed"`
	// After is the last id, in the list that is being looked through.
	After  string                 `json:"after"`
	Counts map[mirror.Kind]Counts `json:"counts"`
}

// progress is what the job saves: the states of a full run and of one since a time, so that neither loses the other's.
type progress struct {
	Full  *state `json:"full,omitempty"`
	Since *state `json:"since,omitempty"`
}

// resume continues a saved run that had the same time and is not too old.
func (w *walk) resume(since time.Time) {
	if !w.holder.Load(&w.saved) {
		w.saved = progress{}
	}
	s := w.saved.Full
	if !since.IsZero() {
		s = w.saved.Since
	}
	if s != nil && !s.Begun.IsZero() && s.Since.Equal(since) && w.Now().Sub(s.Begun) < resumable && s.Counts != nil {
		w.state, w.resumed = *s, true
		return
	}
	w.state = state{Begun: w.Now().UTC(), Since: since.UTC(), Counts: map[mirror.Kind]Counts{}}
}

// save stores how far the walk is, and renews the lease.
func (w *walk) save(ctx context.Context) error {
	if w.Since.IsZero() {
		w.saved.Full = &w.state
	} else {
		w.saved.Since = &w.state
	}
	return w.holder.Save(ctx, w.saved)
}

// prove looks for a stored customer that Stripe has, before anything is written. With a key of another account all stored objects would
// seem to be deleted, and all of that account's objects would be stored. A few customers may really be deleted without a webhook.
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
