// Package reconcile compares the mirror with Stripe and repairs what webhooks never told.
package reconcile

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// Errors that an operator can do something about.
var (
	// ErrBusy says that this or another replica is at it.
	ErrBusy = errors.New("reconcile: one is under way")
	// ErrStranger says that Stripe has none of the customers that the store has.
	ErrStranger = errors.New("reconcile: Stripe has none of the stored customers, so nothing was changed: does STRIPE_SECRET_KEY belong to another account?")
	// ErrAway says that Stripe did not answer, however often it was asked.
	ErrAway = errors.New("reconcile: Stripe does not answer")

	errLost = errors.New("reconcile: another replica has taken over")
)

const (
	// lease is how long a replica that says nothing is taken to be at it.
	lease = 5 * time.Minute
	// resumable is how old a run may be that is taken up again.
	resumable = 24 * time.Hour
	pageSize  = 100
	// strangers is how many stored customers there must be to tell another account by knowing none of them.
	strangers = 10
)

// Store is what reconciling needs of billing's.
type Store interface {
	// Objects reads living objects of a kind by their ids, after one.
	Objects(ctx context.Context, kind mirror.Kind, after string, limit int) ([]mirror.Object, error)

	// AcquireReconcile takes the job, unless somebody has it, or it was finished after doneBefore; the zero time means
	// that it does not matter. It returns what the last holder saved.
	AcquireReconcile(ctx context.Context, holder string, now time.Time, lease time.Duration, doneBefore time.Time) (progress []byte, ok bool, err error)
	// SaveReconcile keeps the progress and renews the lease; false means that it was lost.
	SaveReconcile(ctx context.Context, holder string, now time.Time, lease time.Duration, progress []byte) (held bool, err error)
	// OrphanReconcile takes the job away from whoever has it.
	OrphanReconcile(ctx context.Context, now time.Time) error
	// EndReconcile gives the job back. A finished one counts as done now, and its progress is forgotten.
	EndReconcile(ctx context.Context, holder string, now time.Time, finished bool) error
}

// Source is where the objects are, and what happened to them.
type Source interface {
	mirror.Lister
	// Events reads a page of what happened since then, newest first, after the event with that id, unless it is empty. Errors:
	// mirror.ErrGone when that event is no more, and those of List.
	Events(ctx context.Context, since time.Time, after string) (mirror.Page, error)
}

// Options are what a Reconciler is made of.
type Options struct {
	Store  Store
	Source Source
	// Mirror compares, fetches and writes.
	Mirror *mirror.Mirror
	// Sleep waits; nil means by the clock.
	Sleep  func(ctx context.Context, d time.Duration) error
	Now    func() time.Time
	Logger *slog.Logger
	// Alone says that no other process works on this store, as on a SQLite file: the first run takes the job at once from a
	// process that died at it.
	Alone bool
}

// Reconciler compares and repairs.
type Reconciler struct {
	Options

	mu    sync.Mutex
	begun bool // it has had the job
}

// New makes a Reconciler.
func New(o Options) *Reconciler {
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return &Reconciler{Options: o}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Counts are what a comparison found.
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

// Report is told of progress; its error ends the run.
type Report func(Progress) error

// Run compares everything, when since is the zero time. Else it goes through Stripe's events since then, of which Stripe keeps
// 30 days, and fetches what they were about, whenever that was made, what is no more included; then it compares what was made
// since then. A run that was cut short is taken up again where it was. Errors: ErrBusy, ErrStranger, ErrAway,
// mirror.ErrRefused, and those of the store and of report.
func (r *Reconciler) Run(ctx context.Context, since time.Time, report Report) error {
	return r.run(ctx, since, time.Time{}, report)
}

func (r *Reconciler) run(ctx context.Context, since, doneBefore time.Time, report Report) (err error) {
	w := &walk{Reconciler: r, holder: rand.Text(), report: report, fetched: map[mirror.Target]struct{}{}}
	saved, ok, err := r.acquire(ctx, w.holder, doneBefore)
	if err != nil {
		return err
	}
	if !ok {
		return ErrBusy
	}
	w.take(saved, since)
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, w.end(ending, err == nil))
	}()
	if err := w.prove(ctx); err != nil {
		return err
	}
	if !w.Since.IsZero() && !w.Told {
		if err := w.goThroughEvents(ctx); err != nil {
			return err
		}
	}
	kinds := mirror.Kinds()
	for _, kind := range kinds[:min(w.Kind, len(kinds))] { // what an earlier process was through with
		if err := report(Progress{Kind: kind, Counts: w.Counts[kind], Done: true}); err != nil {
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

// state is what outlives the process.
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

// progress is what is saved: of a full run, and of one of what changed lately, which must not get in each other's way.
type progress struct {
	Full  *state `json:"full,omitempty"`
	Since *state `json:"since,omitempty"`
}

// take goes on with what was saved, if it was for the same and not long ago.
func (w *walk) take(saved []byte, since time.Time) {
	if json.Unmarshal(saved, &w.saved) != nil {
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

// save keeps how far the walk is, and renews the lease.
func (w *walk) save(ctx context.Context) error {
	if w.Since.IsZero() {
		w.saved.Full = &w.state
	} else {
		w.saved.Since = &w.state
	}
	return w.keep(ctx)
}

func (w *walk) keep(ctx context.Context) error {
	raw, err := json.Marshal(w.saved)
	if err != nil {
		return err
	}
	held, err := w.Store.SaveReconcile(ctx, w.holder, w.Now(), lease, raw)
	if err == nil && !held {
		err = errLost
	}
	return err
}

// end gives the job back. Only a full run counts as the scheduled one: another does not look for what is gone.
func (w *walk) end(ctx context.Context, well bool) error {
	if well && !w.Since.IsZero() {
		w.saved.Since = nil
		if err := w.keep(ctx); err != nil {
			return err
		}
	}
	return w.Store.EndReconcile(ctx, w.holder, w.Now(), well && w.Since.IsZero())
}

// acquire takes the job.
func (r *Reconciler) acquire(ctx context.Context, holder string, doneBefore time.Time) (saved []byte, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Alone && !r.begun {
		if err := r.Store.OrphanReconcile(ctx, r.Now()); err != nil {
			return nil, false, err
		}
		r.begun = true
	}
	return r.Store.AcquireReconcile(ctx, holder, r.Now(), lease, doneBefore)
}

// prove looks for a customer that both sides know, before anything is written: with a key of another account all of ours
// would seem to be gone, and all of theirs be taken over. A few may really be gone, and no webhook have told.
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
