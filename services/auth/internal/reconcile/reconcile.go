// Package reconcile compares the directory with Clerk and repairs what webhooks never told.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// Errors that an operator can do something about.
var (
	// ErrBusy says that this replica or another is reconciling.
	ErrBusy = job.ErrBusy
	// ErrStranger says that Clerk has none of the stored users and organizations.
	ErrStranger = errors.New("reconcile: none of the stored users and organizations exist in this Clerk instance, so nothing was changed: " +
		"either CLERK_SECRET_KEY belongs to another instance, or all of them were deleted in Clerk; " +
		"then redeliver the user.deleted webhooks, or run `trivet users erase ID` for each")
)

const (
	// jobName names the job in the database.
	jobName = "clerk reconcile"
	// lease is how long a replica that renews nothing keeps the job. It is longer than the longest pause with the call after
	// it.
	lease = 2 * time.Minute
	// settled is the age from which on what the store has must be in Clerk's lists.
	settled = 5 * time.Minute
	// resumable is how old a run may be that is resumed.
	resumable = 24 * time.Hour
	pageSize  = 500
	byID      = 100 // ids that Clerk takes in one call
)

// Store is the part of auth's store that reconciling needs.
type Store interface {
	directory.Writer
	User(ctx context.Context, id string) (directory.User, error)
	UserIDs(ctx context.Context, after string, limit int) ([]string, error)
	Organization(ctx context.Context, id string) (directory.Organization, error)
	OrganizationIDs(ctx context.Context, after string, limit int) ([]string, error)
	Memberships(ctx context.Context, organizationID, userID string, after paging.Cursor, limit int) ([]directory.Membership, error)
	// Standing says how much is known of a user and an organization; the session is empty.
	Standing(ctx context.Context, userID, organizationID, sessionID string) (directory.Standing, error)
	// MembershipState returns tombstones too; ErrNotFound for what was never known.
	MembershipState(ctx context.Context, organizationID, userID string) (directory.MembershipState, error)
	// LostMemberships are those whose organization or user was deleted, or whose organization was never known although the
	// membership is from before unknownBefore.
	LostMemberships(ctx context.Context, after paging.Cursor, unknownBefore time.Time, limit int) ([]directory.Membership, error)
	// NoteDeletions has the deletions of at most limit organizations reported to billing that billing does not know, after one, in order. It returns them.
	NoteDeletions(ctx context.Context, after string, limit int) ([]string, error)
	// Roles are all living roles.
	Roles(ctx context.Context) ([]directory.Role, error)

	// PutListedMembership is PutMembership for one that says what the member may do at listedAt, however old its news.
	PutListedMembership(ctx context.Context, m directory.Membership, listedAt time.Time) (bool, error)
	// EndUnlistedMembership ends a membership that Clerk did not have at heard, if it is still as it was read. No token from before heard
	// brings it back; with the zero time each later token and event does.
	EndUnlistedMembership(ctx context.Context, m directory.Membership, heard time.Time) (bool, error)
	// The Replace functions write, however old the news, if the row is still as it was read. Users, organizations and roles
	// that were deleted stay deleted.
	ReplaceUser(ctx context.Context, u, was directory.User) (bool, error)
	ReplaceOrganization(ctx context.Context, o, was directory.Organization) (bool, error)
	ReplaceRole(ctx context.Context, r, was directory.Role) (bool, error)
	ReplaceMembership(ctx context.Context, m directory.Membership, was directory.MembershipState, listedAt time.Time) (bool, error)
}

// Options configure a Reconciler.
type Options struct {
	// Database keeps the job: only one replica reconciles at a time.
	Database *database.DB
	Store    Store
	Source   directory.Lister
	// Remove erases a user that Clerk no longer has.
	Remove func(ctx context.Context, userID string) error
	// Pause lies between two calls to Clerk, to leave others their share of its rate limit.
	Pause time.Duration
	// Sleep waits; nil means by the clock.
	Sleep  func(ctx context.Context, d time.Duration) error
	Now    func() time.Time
	Logger *slog.Logger
	// Alone says that no other process uses this database, as with a SQLite file: a run takes the job of a process that died
	// at once.
	Alone bool
}

// Reconciler compares the directory with Clerk and repairs it.
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
	// Kind is "users", "organizations", "roles" or "memberships", in this order.
	Kind string
	Counts
	// Done is true on the last one of its kind.
	Done bool
}

// Report receives progress; its error ends the run.
type Report func(Progress) error

// Run compares all that changed at or after since, or everything when it is the zero time. Only a full run removes what
// Clerk no longer has, counts as the scheduled run, and is resumed when it was cut short. Errors: ErrBusy, ErrStranger,
// job.ErrLost, and those of the store, of Clerk and of report.
func (r *Reconciler) Run(ctx context.Context, since time.Time, report Report) error {
	return r.run(ctx, since, 0, report)
}

// run runs if the last full run ended longer ago than interval.
func (r *Reconciler) run(ctx context.Context, since time.Time, interval time.Duration, report Report) error {
	options := job.Options{Lease: lease, Interval: interval, Alone: r.o.Alone, Now: r.o.Now, Aside: !since.IsZero()}
	return job.Run(ctx, r.o.Database, jobName, options, func(ctx context.Context, holder *job.Holder) error {
		w := &walk{Options: r.o, holder: holder, report: report}
		w.resume(since)
		for _, part := range []func(context.Context) error{w.deletions, w.prove, w.users, w.organizations, w.roles, w.memberships} {
			if err := part(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// state is the saved progress of a full run.
type state struct {
	Begun time.Time `json:"begun"`
	Since time.Time `json:"since"`
	Stage stage     `json:"stage"`
	// Offset is in the provider's list, After in ours.
	Offset int               `json:"offset"`
	After  string            `json:"after"`
	Counts map[string]Counts `json:"counts"`
}

// stage is a part of a run; the parts follow one another in this order.
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
	Options
	state
	holder *job.Holder
	report Report
	// seen are fingerprints of the ids that Clerk listed in this process.
	seen   map[uint64]struct{}
	called bool
	// proven is true once Clerk has returned a stored user or organization. Nothing is removed before.
	proven bool
	// missing is the last organization that Clerk was asked for and does not have.
	missing string
}

// full reports whether the run compares everything, instead of what changed since some time.
func (w *walk) full() bool { return w.Since.IsZero() }

// stands reports whether what is stored as of t has had the time to appear in Clerk's lists. What claims to be of the future
// does not count either: a wrong clock wrote it.
func (w *walk) stands(t time.Time) bool { return w.Now().Sub(t).Abs() > settled }

// resume continues a saved full run that is not too old. A run since some time starts from the beginning.
func (w *walk) resume(since time.Time) {
	var s state
	if since.IsZero() && w.holder.Load(&s) && !s.Begun.IsZero() && w.Now().Sub(s.Begun) < resumable && s.Counts != nil {
		w.state = s
		return
	}
	w.state = state{Begun: w.Now().UTC(), Since: since.UTC(), Counts: map[string]Counts{}}
}

// step saves and reports the progress.
func (w *walk) step(ctx context.Context, kind string, counts Counts, done bool) error {
	w.Counts[kind] = counts
	if err := w.save(ctx); err != nil {
		return err
	}
	return w.report(Progress{Kind: kind, Counts: counts, Done: done})
}

// save stores the progress of a full run and renews the lease. A run since some time is short, and leaves the progress of a
// full run that was cut short alone.
func (w *walk) save(ctx context.Context) error {
	if !w.full() {
		return w.holder.Keep(ctx)
	}
	return w.holder.Save(ctx, w.state)
}

// enter begins a stage, unless the run has reached it already.
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

// ask calls Clerk, and again after the pause that it asks for.
func ask[T any](ctx context.Context, w *walk, call func() (T, error)) (result T, err error) {
	for attempt := range maxAttempts {
		if w.called && w.Pause > 0 {
			if err := w.Sleep(ctx, w.Pause); err != nil {
				return result, err
			}
		}
		w.called = true
		if err := w.holder.Keep(ctx); err != nil {
			return result, err
		}
		result, err = call()
		again, transient := errors.AsType[*directory.RetryError](err)
		if !transient || attempt == maxAttempts-1 || ctx.Err() != nil {
			break
		}
		pause := min(max(firstPause<<attempt, again.After), longPause)
		w.Logger.WarnContext(ctx, "reconciling waits for Clerk", slog.Duration("pause", pause), slog.Any("error", err))
		if err := errors.Join(w.holder.Keep(ctx), w.Sleep(ctx, pause)); err != nil {
			return result, err
		}
	}
	return result, err
}

// repair is the result of comparing one object.
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
