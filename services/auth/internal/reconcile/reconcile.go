// Package reconcile compares the directory with Clerk and repairs what webhooks never told.
package reconcile

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// Errors that an operator can do something about.
var (
	// ErrBusy says that this or another replica is at it.
	ErrBusy = errors.New("reconcile: already running")
	// ErrStranger says that Clerk knows nobody of those that the store has.
	ErrStranger = errors.New("reconcile: none of the stored users and organizations exist in this Clerk instance, so nothing was changed: " +
		"either CLERK_SECRET_KEY belongs to another instance, or all of them were deleted in Clerk; " +
		"then redeliver the user.deleted webhooks, or run `trivet users erase ID` for each")

	errLost = errors.New("reconcile: another replica has taken over")
)

const (
	// lease is how long a replica that says nothing is taken to be at it. It is longer than the longest pause with the call
	// after it.
	lease = 2 * time.Minute
	// renewEvery is how old the lease may be when something is begun that takes a while.
	renewEvery = lease / 8
	// settled is the age from which on what the store has must stand in Clerk's lists.
	settled = 5 * time.Minute
	// resumable is how old a run may be that is taken up again.
	resumable = 24 * time.Hour
	pageSize  = 500
	byID      = 100 // ids that Clerk takes in one call
)

// Store is what reconciling needs of auth's.
type Store interface {
	directory.Writer
	User(ctx context.Context, id string) (directory.User, error)
	UserIDs(ctx context.Context, after string, limit int) ([]string, error)
	Organization(ctx context.Context, id string) (directory.Organization, error)
	OrganizationIDs(ctx context.Context, after string, limit int) ([]string, error)
	Memberships(ctx context.Context, organizationID, userID string, after paging.Cursor, limit int) ([]directory.Membership, error)
	// MembershipState returns tombstones too; ErrNotFound for what was never known.
	MembershipState(ctx context.Context, organizationID, userID string) (directory.MembershipState, error)
	// LostMemberships are those whose organization or person is gone, or whose organization was never known although the
	// membership is from before unknownBefore.
	LostMemberships(ctx context.Context, after paging.Cursor, unknownBefore time.Time, limit int) ([]directory.Membership, error)
	// Roles are all living roles.
	Roles(ctx context.Context) ([]directory.Role, error)

	// PutListedMembership is PutMembership for one that says what the member may do at listedAt, however old its news.
	PutListedMembership(ctx context.Context, m directory.Membership, listedAt time.Time) (bool, error)
	// The Replace functions write, however old the news, if the row is still as it was read. Users, organizations and roles
	// that are gone stay gone.
	ReplaceUser(ctx context.Context, u, was directory.User) (bool, error)
	ReplaceOrganization(ctx context.Context, o, was directory.Organization) (bool, error)
	ReplaceRole(ctx context.Context, r, was directory.Role) (bool, error)
	ReplaceMembership(ctx context.Context, m directory.Membership, was directory.MembershipState, listedAt time.Time) (bool, error)

	// AcquireReconcile takes the job, unless somebody has it, or it was finished after doneBefore; the zero time means
	// that it does not matter. It returns what the last holder saved.
	AcquireReconcile(ctx context.Context, holder string, lease time.Duration, doneBefore time.Time) (progress []byte, ok bool, err error)
	// SaveReconcile keeps the progress and renews the lease; false means that it was lost.
	SaveReconcile(ctx context.Context, holder string, lease time.Duration, progress []byte) (held bool, err error)
	// RenewReconcile renews the lease alone.
	RenewReconcile(ctx context.Context, holder string, lease time.Duration) (held bool, err error)
	// OrphanReconcile takes the job away from whoever has it.
	OrphanReconcile(ctx context.Context) error
	// EndReconcile gives the job back. A finished one counts as done now, and its progress is forgotten.
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
	// Alone says that no other process works on this store, as on a SQLite file: the first run takes the job at once from a
	// process that died at it.
	Alone bool
}

// Reconciler compares and repairs.
type Reconciler struct {
	Options

	mu    sync.Mutex
	begun bool
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
	// Kind is "users", "organizations", "roles" or "memberships", in this order.
	Kind string
	Counts
	// Done is true on the last one of its kind.
	Done bool
}

// Report is told of progress; its error ends the run.
type Report func(Progress) error

// Run compares all that changed at or after since, or everything when it is the zero time; only then it removes what
// Clerk no longer has, and only then it counts as the scheduled run. A full run that was cut short is taken up again where
// it was. Errors: ErrBusy, ErrStranger, and those of the store, of Clerk and of report.
func (r *Reconciler) Run(ctx context.Context, since time.Time, report Report) error {
	return r.run(ctx, since, time.Time{}, report)
}

func (r *Reconciler) run(ctx context.Context, since, doneBefore time.Time, report Report) (err error) {
	w := &walk{Reconciler: r, holder: rand.Text(), report: report, renewed: r.Now()}
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
		err = errors.Join(err, r.Store.EndReconcile(ending, w.holder, err == nil && w.full()))
	}()
	for _, part := range []func(context.Context) error{w.prove, w.users, w.organizations, w.roles, w.memberships} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// acquire takes the job for a holder.
func (r *Reconciler) acquire(ctx context.Context, holder string, doneBefore time.Time) (progress []byte, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Alone && !r.begun {
		if err := r.Store.OrphanReconcile(ctx); err != nil {
			return nil, false, err
		}
		r.begun = true
	}
	return r.Store.AcquireReconcile(ctx, holder, lease, doneBefore)
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
	listRoles
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
	// proven is true once Clerk turned out to know somebody of those that the store has: nothing is removed before.
	proven bool
	// renewed is when the lease was last renewed, by our clock.
	renewed time.Time
}

// full tells a comparison of everything from one of what changed since some time.
func (w *walk) full() bool { return w.Since.IsZero() }

// stands tells whether what is stored as of t has had the time to appear in Clerk's lists. What claims to be of the future
// is no news either: it comes of a clock that was wrong.
func (w *walk) stands(t time.Time) bool { return w.Now().Sub(t).Abs() > settled }

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

// save keeps the progress of a full run and renews the lease. One of what changed lately is short, and leaves the progress
// of a full run that was cut short alone.
func (w *walk) save(ctx context.Context) error {
	if !w.full() {
		return w.renew(ctx)
	}
	raw, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	return w.held(w.Store.SaveReconcile(ctx, w.holder, lease, raw))
}

func (w *walk) renew(ctx context.Context) error {
	return w.held(w.Store.RenewReconcile(ctx, w.holder, lease))
}

// keep renews the lease if it is not fresh.
func (w *walk) keep(ctx context.Context) error {
	if w.Now().Sub(w.renewed) < renewEvery {
		return nil
	}
	return w.renew(ctx)
}

func (w *walk) held(held bool, err error) error {
	if err == nil && !held {
		err = errLost
	}
	w.renewed = w.Now()
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
		if err := w.keep(ctx); err != nil {
			return result, err
		}
		result, err = call()
		again, transient := errors.AsType[*directory.RetryError](err)
		if !transient || attempt == maxAttempts-1 || ctx.Err() != nil {
			break
		}
		pause := min(max(firstPause<<attempt, again.After), longPause)
		w.Logger.WarnContext(ctx, "reconciling waits for Clerk", slog.Duration("pause", pause), slog.Any("error", err))
		if err := errors.Join(w.renew(ctx), w.Sleep(ctx, pause)); err != nil {
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
