// Package reconcile compares the directory with Clerk and repairs what webhooks never told.
package reconcile

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
)

// Errors that an operator can do something about.
var (
	// ErrBusy says that this or another replica is at it.
	ErrBusy = errors.New("reconcile: one is under way")
	// ErrStranger says that Clerk knows nobody of those that the store has.
	ErrStranger = errors.New("reconcile: Clerk knows none of the stored users, so nothing was removed: does CLERK_SECRET_KEY belong to another instance?")

	errLost = errors.New("reconcile: another replica has taken over")
)

const (
	// lease is how long a replica that says nothing is taken to be at it.
	lease = 5 * time.Minute
	// settled is the age from which on what the store has must stand in Clerk's lists.
	settled = 5 * time.Minute
	// resumable is how old a run may be that is taken up again.
	resumable = 24 * time.Hour
	pageSize  = 500
	byID      = 100 // ids that Clerk takes in one call
	// strangers is how many users may be removed in a run that has met nobody known.
	strangers = 10
)

// Store is what reconciling needs of auth's.
type Store interface {
	directory.Writer
	User(ctx context.Context, id string) (directory.User, error)
	UserIDs(ctx context.Context, after string, limit int) ([]string, error)
	Organization(ctx context.Context, id string) (directory.Organization, error)
	OrganizationIDs(ctx context.Context, after string, limit int) ([]string, error)
	Memberships(ctx context.Context, organizationID, userID string, after page.Cursor, limit int) ([]directory.Membership, error)
	// MembershipState returns tombstones too; ErrNotFound for what was never known.
	MembershipState(ctx context.Context, organizationID, userID string) (directory.MembershipState, error)
	// ReplaceMembership writes, however old the news, if the row is still as it was read.
	ReplaceMembership(ctx context.Context, m directory.Membership, was directory.MembershipState) (bool, error)

	// AcquireReconcile takes the job, unless somebody has it, or it was finished after doneBefore; the zero time means
	// that it does not matter. It returns what the last holder saved.
	AcquireReconcile(ctx context.Context, holder string, lease time.Duration, doneBefore time.Time) (progress []byte, ok bool, err error)
	// SaveReconcile keeps the progress and renews the lease; false means that it was lost.
	SaveReconcile(ctx context.Context, holder string, lease time.Duration, progress []byte) (held bool, err error)
	// EndReconcile gives the job back.
	EndReconcile(ctx context.Context, holder string, finished bool) error
}

// Options are what a Reconciler is made of.
type Options struct {
	Store  Store
	Source directory.Lister
	// Remove erases a user whom Clerk no longer has.
	Remove func(ctx context.Context, userID string) error
	// Pause lies between two calls to Clerk, to leave others their share of its rate limit.
	Pause time.Duration
	// Sleep waits; nil means by the clock.
	Sleep  func(ctx context.Context, d time.Duration) error
	Now    func() time.Time
	Logger *slog.Logger
}

// Reconciler compares and repairs.
type Reconciler struct{ Options }

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
	// Kind is "users", "organizations" or "memberships".
	Kind string
	Counts
	// Done is true on the last one of its kind.
	Done bool
}

// Report is told of progress; its error ends the run.
type Report func(Progress) error

// Run compares all that changed at or after since, or everything when it is the zero time; only then it removes what
// Clerk no longer has. A run that was cut short is taken up again where it was. Errors: ErrBusy, ErrStranger, and those
// of the store, of Clerk and of report.
func (r *Reconciler) Run(ctx context.Context, since time.Time, report Report) error {
	return r.run(ctx, since, time.Time{}, report)
}

func (r *Reconciler) run(ctx context.Context, since, doneBefore time.Time, report Report) (err error) {
	w := &walk{Reconciler: r, holder: rand.Text(), report: report}
	saved, ok, err := r.Store.AcquireReconcile(ctx, w.holder, lease, doneBefore)
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
		err = errors.Join(err, r.Store.EndReconcile(ending, w.holder, err == nil))
	}()
	for _, kind := range []func(context.Context) error{w.users, w.organizations, w.memberships} {
		if err := kind(ctx); err != nil {
			return err
		}
	}
	return nil
}

// state is what outlives the process.
type state struct {
	Begun time.Time `json:"begun"`
	Since time.Time `json:"since"`
	Stage stage     `json:"stage"`
	// Offset is in the provider's list, After in ours.
	Offset int               `json:"offset"`
	After  string            `json:"after"`
	Counts map[string]Counts `json:"counts"`
}

// stage is what is being done; stages follow one another in their order.
type stage int

const (
	listUsers stage = iota
	removeUsers
	listOrganizations
	removeOrganizations
	listMemberships
	finished
)

// walk is one run.
type walk struct {
	*Reconciler
	state
	holder string
	report Report
	// seen are fingerprints of the ids that Clerk listed in this process.
	seen   map[uint64]struct{}
	called bool
}

// take goes on with what was saved, if it was for the same and not long ago.
func (w *walk) take(saved []byte, since time.Time) {
	var s state
	err := json.Unmarshal(saved, &s)
	if err == nil && !s.Begun.IsZero() && s.Since.Equal(since) && w.Now().Sub(s.Begun) < resumable && s.Counts != nil {
		w.state = s
		return
	}
	w.state = state{Begun: w.Now().UTC(), Since: since.UTC(), Counts: map[string]Counts{}}
}

// step saves and tells where the walk is.
func (w *walk) step(ctx context.Context, kind string, counts Counts, done bool) error {
	w.Counts[kind] = counts
	if err := w.save(ctx); err != nil {
		return err
	}
	return w.report(Progress{Kind: kind, Counts: counts, Done: done})
}

func (w *walk) save(ctx context.Context) error {
	raw, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	held, err := w.Store.SaveReconcile(ctx, w.holder, lease, raw)
	if err == nil && !held {
		err = errLost
	}
	return err
}

// enter begins a stage, unless the walk is already in it.
func (w *walk) enter(s stage) {
	if w.Stage < s {
		w.Stage, w.Offset, w.After = s, 0, ""
	}
}

const (
	maxAttempts = 8
	firstPause  = time.Second
	longPause   = time.Minute
)

// ask calls Clerk, with the pauses that it wants.
func ask[T any](ctx context.Context, w *walk, call func() (T, error)) (result T, err error) {
	for attempt := range maxAttempts {
		if w.called && w.Pause > 0 {
			if err := w.Sleep(ctx, w.Pause); err != nil {
				return result, err
			}
		}
		w.called = true
		result, err = call()
		again, transient := errors.AsType[*directory.RetryError](err)
		if !transient || attempt == maxAttempts-1 || ctx.Err() != nil {
			break
		}
		pause := min(max(firstPause<<attempt, again.After), longPause)
		w.Logger.WarnContext(ctx, "reconciling waits for Clerk", slog.Duration("pause", pause), slog.Any("error", err))
		if err := errors.Join(w.save(ctx), w.Sleep(ctx, pause)); err != nil {
			return result, err
		}
	}
	return result, err
}

// repair is what a comparison of one object came to.
type repair int

const (
	same repair = iota
	repaired
	created
	removed
)

func (c *Counts) add(r repair) {
	switch r {
	case same:
		c.Same++
	case repaired:
		c.Repaired++
	case created:
		c.Created++
	case removed:
		c.Removed++
	}
}

func failed(what, id string, err error) error {
	return fmt.Errorf("reconcile %s %s: %w", what, id, err)
}
