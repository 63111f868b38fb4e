package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/members"
	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a Clerk and a store beside it.
type fixture struct {
	*authtest.Clerk
	t       testing.TB
	db      *database.DB
	store   *store.Store
	alone   bool
	source  directory.Lister // nil means the Clerk
	removed []string         // users that were erased
	pauses  []time.Duration
}

func each(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) { test(t, newFixture(t, db)) })
}

func newFixture(t testing.TB, db *database.DB) *fixture {
	t.Helper()
	require.NoError(t, database.Migrate(t.Context(), db, job.Migrations()))
	f := &fixture{Clerk: authtest.NewClerk(t), t: t, db: db}
	f.store = store.New(db, f.Now, nil)
	return f
}

func (f *fixture) reconciler() *reconcile.Reconciler {
	source := f.source
	if source == nil {
		source = f.Source
	}
	return reconcile.New(reconcile.Options{
		Database: f.db, Store: f.store, Source: source, Now: f.Now, Logger: slog.New(slog.DiscardHandler), Alone: f.alone,
		Remove: func(ctx context.Context, id string) error {
			f.removed = append(f.removed, id)
			_, err := f.store.DeleteUser(ctx, id, f.Now())
			return err
		},
		Sleep: func(ctx context.Context, d time.Duration) error { f.pauses = append(f.pauses, d); return ctx.Err() },
	})
}

// run reconciles and returns the last counts of each kind.
func (f *fixture) run(since time.Time) (map[string]reconcile.Counts, error) {
	found := map[string]reconcile.Counts{}
	done := map[string]bool{}
	err := f.reconciler().Run(f.t.Context(), since, func(p reconcile.Progress) error {
		require.False(f.t, done[p.Kind], "nothing comes after done")
		found[p.Kind], done[p.Kind] = p.Counts, p.Done
		return nil
	})
	if err == nil {
		require.Len(f.t, done, 4)
	}
	return found, err
}

func TestEmptyStoreIsFilledAndThenEqual(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada, bob := f.User("ada"), f.User("bob")
		org := f.Organization("Acme", ada)
		f.Join(org, bob, "org:member")
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{
			"users": {Created: 2}, "organizations": {Created: 1}, "roles": {Created: 2}, "memberships": {Created: 2},
		}, found)
		u, err := f.store.User(t.Context(), ada)
		require.NoError(t, err)
		require.Equal(t, "ada@example.test", u.PrimaryEmail)
		require.Equal(t, []string{"ada@example.test", "second-ada@example.test"}, u.Emails)
		members, err := f.store.Memberships(t.Context(), org, "", paging.Cursor{}, 10)
		require.NoError(t, err)
		require.Len(t, members, 2)

		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{"users": {Same: 2}, "organizations": {Same: 1}, "roles": {Same: 2}, "memberships": {Same: 2}}, found)
	})
}

func TestEveryKindOfDifference(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada, bob, cyd := f.User("ada"), f.User("bob"), f.User("cyd")
		org, other := f.Organization("Acme", ada), f.Organization("Other", ada)
		f.Join(org, bob, "org:member")
		f.Join(org, cyd, "org:member")
		_, err := f.run(time.Time{})
		require.NoError(t, err)

		f.Pass(time.Hour)
		f.Call(http.MethodPatch, "/users/"+ada, map[string]any{"first_name": "Augusta"})
		f.Call(http.MethodPost, "/users/"+bob+"/ban", nil)
		f.Call(http.MethodPatch, "/organizations/"+org, map[string]any{"name": "Acme Inc"})
		f.Call(http.MethodPatch, "/organizations/"+org+"/memberships/"+bob, map[string]any{"role": "org:admin"})
		f.Call(http.MethodDelete, "/organizations/"+org+"/memberships/"+cyd, nil)
		f.Call(http.MethodDelete, "/organizations/"+other, nil)
		f.Call(http.MethodDelete, "/users/"+cyd, nil)
		dan := f.User("dan")
		f.Join(org, dan, "org:member")

		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{
			"users": {Repaired: 2, Created: 1, Removed: 1}, "organizations": {Repaired: 1, Removed: 1},
			"roles": {Same: 2}, "memberships": {Same: 1, Repaired: 1, Created: 1}, // cyd's ended with cyd
		}, found)
		require.Equal(t, []string{cyd}, f.removed)
		st, err := f.store.Standing(t.Context(), bob, org, "")
		require.NoError(t, err)
		require.True(t, st.Banned)
		require.Equal(t, "admin", st.Role)
		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{"users": {Same: 3}, "organizations": {Same: 1}, "roles": {Same: 2}, "memberships": {Same: 3}}, found)
	})
}

func TestMemberWhoLeftIsRemoved(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada, bob := f.User("ada"), f.User("bob")
		org := f.Organization("Acme", ada)
		f.Join(org, bob, "org:member")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		f.Call(http.MethodDelete, "/organizations/"+org+"/memberships/"+bob, nil)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Removed: 1}, found["memberships"])
		f.Pass(time.Hour)
		f.Join(org, bob, "org:member")
		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Created: 1}, found["memberships"], "and may join again")
	})
}

// TestLateNewsOfAMemberWhoLeft: the event of the end is lost, and an event from before it comes after the run that ended the membership.
func TestLateNewsOfAMemberWhoLeft(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada, bob := f.User("ada"), f.User("bob")
		org := f.Organization("Acme", ada)
		f.Join(org, bob, "org:member")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		f.Pass(time.Minute)
		f.Call(http.MethodPatch, "/organizations/"+org+"/memberships/"+bob, map[string]any{"role": "org:admin"})
		late, err := f.Source.Memberships(t.Context(), org, []string{bob}, 0, 10)
		require.NoError(t, err)
		require.Equal(t, "admin", late[0].Role)
		f.Call(http.MethodDelete, "/organizations/"+org+"/memberships/"+bob, nil)
		f.Pass(time.Hour)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Removed: 1}, found["memberships"])
		_, err = f.store.PutMembership(t.Context(), late[0])
		require.NoError(t, err)
		st, err := f.store.Standing(t.Context(), bob, org, "")
		require.NoError(t, err)
		require.Equal(t, directory.Deleted, st.Member)
		f.Join(org, bob, "org:member")
		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Created: 1}, found["memberships"], "and may join again")
	})
}

// TestATokenFromBeforeTheEnd: a token lives on after its user left the organization, and the event of the end is lost.
func TestATokenFromBeforeTheEnd(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada, bob, cyd := f.User("ada"), f.User("bob"), f.User("cyd")
		org := f.Organization("Acme", ada)
		f.Join(org, bob, "org:member")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		token := func(user string, at time.Time) directory.Standing {
			t.Helper()
			require.NoError(t, f.store.Introduce(t.Context(), directory.Introduction{UserID: user, OrganizationID: org, Role: "member", At: at}))
			st, err := f.store.Standing(t.Context(), user, org, "")
			require.NoError(t, err)
			return st
		}
		require.Equal(t, directory.Synced, token(cyd, f.Now()).Member, "known from a token only")
		f.Pass(time.Hour)
		issued := f.Now().Add(2 * time.Second) // Clerk's clock is ahead
		f.Call(http.MethodDelete, "/organizations/"+org+"/memberships/"+bob, nil)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Removed: 2}, found["memberships"])
		for _, user := range []string{bob, cyd} {
			st := token(user, issued)
			require.Equal(t, directory.Deleted, st.Member, "the token does not bring the membership back")
			require.False(t, st.MemberDeleted.Before(issued), "and is refused")
			require.Equal(t, directory.Synced, token(user, issued.Add(time.Minute)).Member, "a later token does")
		}
	})
}

// TestOrganizationDeletedWhileItsMembersAreCompared: the run ends well, and the membership waits for the organization's own end.
func TestOrganizationDeletedWhileItsMembersAreCompared(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada, bob := f.User("ada"), f.User("bob")
		org := f.Organization("Acme", ada)
		f.Join(org, bob, "org:member")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		f.Call(http.MethodDelete, "/organizations/"+org+"/memberships/"+bob, nil)
		gone := func(r *http.Request) int {
			if strings.HasSuffix(r.URL.Path, "/memberships") && r.URL.Query().Has("user_id") {
				return http.StatusNotFound
			}
			return 0
		}
		f.Fail.Store(&gone)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1}, found["memberships"])
		members, err := f.store.Memberships(t.Context(), org, "", paging.Cursor{}, 10)
		require.NoError(t, err)
		require.Len(t, members, 2)
	})
}

// TestClerkWinsOverAWrongTombstone: what seems newer in the store is not right forever.
func TestClerkWinsOverAWrongTombstone(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		org := f.Organization("Acme", ada)
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		_, err = f.store.DeleteMembership(t.Context(), org, ada, f.Now().Add(time.Minute)) // of a clock that was ahead
		require.NoError(t, err)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1}, found["memberships"], "too fresh: Clerk's list may be behind")
		f.Pass(time.Hour)
		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, found["memberships"])
	})
}

// TestIDsOfMemberships come with Clerk's lists where the store knows none, and that repairs nothing.
func TestIDsOfMemberships(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		org := f.Organization("Acme", ada)
		listed, err := f.Source.Memberships(t.Context(), org, nil, 0, 10)
		require.NoError(t, err)
		require.NotEmpty(t, listed[0].ID)
		unknown := listed[0]
		unknown.ID = ""
		_, err = f.store.PutMembership(t.Context(), unknown)
		require.NoError(t, err)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1}, found["memberships"])
		got, err := f.store.MembershipState(t.Context(), org, ada)
		require.NoError(t, err)
		require.Equal(t, listed[0].ID, got.ID)
	})
}

// TestErasedHereAndAliveThere: an operator erased a user that Clerk still has.
func TestErasedHereAndAliveThere(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		f.Organization("Acme", ada)
		_, err := f.store.DeleteUser(t.Context(), ada, f.Now())
		require.NoError(t, err)
		f.Pass(time.Hour)
		for range 2 {
			_, err = f.run(time.Time{})
			require.NoError(t, err)
			_, err = f.store.User(t.Context(), ada)
			require.ErrorIs(t, err, directory.ErrNotFound)
		}
	})
}

func TestIntroducedUserIsCompletedOrRemoved(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		for _, id := range []string{ada, "user_never"} {
			require.NoError(t, f.store.Introduce(t.Context(), directory.Introduction{UserID: id, Email: "old@example.test", At: f.Now()}))
		}
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Repaired: 1, Removed: 1}, found["users"])
	})
}

func TestSince(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		known := f.User("known")
		require.NoError(t, f.store.Introduce(t.Context(), directory.Introduction{UserID: known, At: f.Now()}))
		f.User("old")
		f.Pass(time.Hour)
		since := f.Now()
		f.User("new")
		require.NoError(t, f.store.Introduce(t.Context(), directory.Introduction{UserID: "user_never", At: f.Now()}))
		found, err := f.run(since)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, found["users"], "older users are not compared, and none is removed")
	})
}

func TestRateLimitIsHeeded(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		left := int32(3)
		limit := func(*http.Request) int {
			if atomic.AddInt32(&left, -1) >= 0 {
				return http.StatusTooManyRequests
			}
			return 0
		}
		f.Fail.Store(&limit)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, found["users"])
		require.Equal(t, []time.Duration{7 * time.Second, 7 * time.Second, 7 * time.Second}, f.pauses)
	})
}

func TestDownClerkRemovesNobody(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		_, err = f.Fake.Faults().Add(fault.Fault{Kind: fault.Close})
		require.NoError(t, err)
		_, err = f.run(time.Time{})
		_, transient := errors.AsType[*directory.RetryError](err)
		require.True(t, transient, "%v", err)
		require.Empty(t, f.removed)
	})
}

// TestAnotherInstanceChangesNothing: with the key of another instance all users seem to be gone. Of 1 as of 250; and what
// the other instance has must not come in, as the next run would take it for a sign that the key is right.
func TestAnotherInstanceChangesNothing(t *testing.T) {
	for _, users := range []int{1, 250} {
		t.Run(fmt.Sprint(users), func(t *testing.T) {
			each(t, func(t *testing.T, f *fixture) {
				for n := range users {
					_, err := f.store.PutUser(t.Context(), directory.User{ID: fmt.Sprintf("user_%03d", n), CreateTime: f.Now(), UpdateTime: f.Now()})
					require.NoError(t, err)
				}
				_, err := f.store.PutOrganization(t.Context(), directory.Organization{ID: "org_ours", CreateTime: f.Now(), UpdateTime: f.Now()})
				require.NoError(t, err)
				stranger := f.User("stranger")
				f.Organization("Strange", stranger)
				for _, since := range []time.Time{{}, {}, f.Now().Add(-time.Hour)} {
					_, err := f.run(since)
					require.ErrorIs(t, err, reconcile.ErrStranger)
					require.ErrorContains(t, err, "trivet users erase")
					f.Pass(48 * time.Hour)
				}
				require.Empty(t, f.removed)
				_, err = f.store.User(t.Context(), stranger)
				require.ErrorIs(t, err, directory.ErrNotFound)
				_, err = f.store.Organization(t.Context(), "org_ours")
				require.NoError(t, err)
			})
		})
	}
}

// TestAnotherInstanceOfOrganizationsAlone: people need not have been told yet.
func TestAnotherInstanceOfOrganizationsAlone(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		_, err := f.store.PutOrganization(t.Context(), directory.Organization{ID: "org_ours", CreateTime: f.Now(), UpdateTime: f.Now()})
		require.NoError(t, err)
		f.Organization("Strange", f.User("stranger"))
		f.Pass(time.Hour)
		_, err = f.run(time.Time{})
		require.ErrorIs(t, err, reconcile.ErrStranger)
		_, err = f.store.Organization(t.Context(), "org_ours")
		require.NoError(t, err)
	})
}

// TestTheLastUserIsNotErased: Clerk's list without anybody looks like another instance's. An erasure can't be undone.
func TestTheLastUserIsNotErased(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		f.Call(http.MethodDelete, "/users/"+ada, nil)
		f.Pass(time.Hour)
		_, err = f.run(time.Time{})
		require.ErrorIs(t, err, reconcile.ErrStranger)
		require.Empty(t, f.removed)
	})
}

// In a run that began with an empty store, no user is removed: nothing has shown that the key belongs to this instance.
func TestIntroducedDuringTheFirstRun(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		once := sync.Once{}
		signUp := func(*http.Request) int {
			once.Do(func() {
				require.NoError(t, f.store.Introduce(context.Background(), directory.Introduction{UserID: "user_new", At: f.Now()}))
			})
			return 0
		}
		f.Fail.Store(&signUp)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, found["users"])
		require.Empty(t, f.removed)
		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Removed: 1}, found["users"])
	})
}

// TestFutureIsReplaced: what claims to be of the future is not newer than Clerk's list forever.
func TestFutureIsReplaced(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		org := f.Organization("Acme", ada)
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		wrong := func(at time.Time) {
			u, err := f.store.User(t.Context(), ada)
			require.NoError(t, err)
			u.FirstName, u.Emails, u.UpdateTime = "Mallory", []string{"mallory@example.test"}, at
			changed, err := f.store.PutUser(t.Context(), u)
			require.NoError(t, err)
			require.True(t, changed)
			o, err := f.store.Organization(t.Context(), org)
			require.NoError(t, err)
			o.Name, o.UpdateTime = "Evil", at
			changed, err = f.store.PutOrganization(t.Context(), o)
			require.NoError(t, err)
			require.True(t, changed)
			roles, err := f.store.Roles(t.Context())
			require.NoError(t, err)
			for _, r := range roles {
				r.Permissions, r.UpdateTime = []string{"org:evil:do"}, at
				changed, err = f.store.PutRole(t.Context(), r)
				require.NoError(t, err)
				require.True(t, changed)
			}
		}
		repaired := map[string]reconcile.Counts{
			"users": {Repaired: 1}, "organizations": {Repaired: 1}, "roles": {Repaired: 2}, "memberships": {Same: 1},
		}
		equal := map[string]reconcile.Counts{
			"users": {Same: 1}, "organizations": {Same: 1}, "roles": {Same: 2}, "memberships": {Same: 1},
		}
		expect := func(want map[string]reconcile.Counts) {
			t.Helper()
			found, err := f.run(time.Time{})
			require.NoError(t, err)
			require.Equal(t, want, found)
		}
		wrong(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
		expect(repaired)
		expect(equal)
		found, err := f.store.Users(t.Context(), "mallory@example.test", paging.Cursor{}, 10)
		require.NoError(t, err)
		require.Empty(t, found)

		f.Pass(time.Hour)
		wrong(f.Now()) // as a webhook that Clerk's lists do not show yet
		expect(equal)
		u, err := f.store.User(t.Context(), ada)
		require.NoError(t, err)
		require.Equal(t, "Mallory", u.FirstName, "too fresh: Clerk's list may be behind")
		f.Pass(time.Hour)
		expect(repaired)
		expect(equal)
	})
}

// TestMembersOfALostOrganization end, whichever way they came to outlive it.
func TestMembersOfALostOrganization(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		org := f.Organization("Acme", ada)
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		_, err = f.store.PutMembership(t.Context(), directory.Membership{
			OrganizationID: "org_never", UserID: ada, Role: "admin", CreateTime: f.Now(), UpdateTime: f.Now(),
		})
		require.NoError(t, err)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1}, found["memberships"], "too fresh: its organization may come")
		f.Pass(time.Hour)
		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Removed: 1}, found["memberships"])

		_, err = f.store.DeleteOrganization(t.Context(), org, f.Now())
		require.NoError(t, err)
		f.bringBack(org, ada)
		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Removed: 1}, found["memberships"])
		st, err := f.store.Standing(t.Context(), ada, org, "")
		require.NoError(t, err)
		require.Equal(t, directory.Deleted, st.Member)
	})
}

// short is a Clerk whose next lists of roles and of organizations miss all that they have.
type short struct {
	directory.Lister
	roles, organizations int
}

func (s *short) Roles(ctx context.Context, offset, limit int) ([]directory.Role, error) {
	if s.roles--; s.roles >= 0 {
		return nil, nil
	}
	return s.Lister.Roles(ctx, offset, limit)
}

func (s *short) Organizations(ctx context.Context, offset, limit int) ([]directory.Organization, error) {
	if s.organizations--; s.organizations >= 0 {
		return nil, nil
	}
	return s.Lister.Organizations(ctx, offset, limit)
}

// TestAListThatMissesWhatExists: Clerk is asked again before a role or a membership ends.
func TestAListThatMissesWhatExists(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		org := f.Organization("Acme", ada)
		f.source = &short{Lister: f.Source, organizations: 1}
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{"users": {Created: 1}, "organizations": {}, "roles": {Created: 2}, "memberships": {}}, found)
		list, err := f.Source.Memberships(t.Context(), org, nil, 0, 10)
		require.NoError(t, err)
		_, err = f.store.PutMembership(t.Context(), list[0])
		require.NoError(t, err)
		f.Pass(time.Hour)
		f.source = &short{Lister: f.Source, organizations: 1, roles: 1}
		found, err = f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1}, found["memberships"])
		require.Zero(t, found["roles"].Removed)
		roles, err := f.store.Roles(t.Context())
		require.NoError(t, err)
		require.Len(t, roles, 2)
		_, err = f.store.Organization(t.Context(), org)
		require.NoError(t, err, "the organization that the lists missed is stored")
	})
}

// bringBack makes an ended membership live, as a race once could.
func (f *fixture) bringBack(org, user string) {
	f.t.Helper()
	require.NoError(f.t, f.db.Write(f.t.Context(), user, func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE membership SET delete_time = NULL, role = 'admin' WHERE organization_id = $1 AND user_id = $2", org, user)
		return err
	}))
}

// TestLostRoleEvents: what a role allows changes without an event about its members.
func TestLostRoleEvents(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada, bob := f.User("ada"), f.User("bob")
		org := f.Organization("Acme", ada)
		permission := func(key string) string {
			id, _ := f.Call(http.MethodPost, "/organization_permissions", map[string]any{"name": key, "key": key})["id"].(string)
			return id
		}
		one, two := permission("org:a:one"), permission("org:a:two")
		role, _ := f.Call(http.MethodPost, "/organization_roles",
			map[string]any{"name": "Buyer", "key": "org:buyer", "permissions": []string{one}})["id"].(string)
		f.Join(org, bob, "org:buyer")
		has := func(name string, permissions ...string) {
			t.Helper()
			for range 2 {
				f.Pass(time.Hour)
				_, err := f.run(time.Time{})
				require.NoError(t, err)
				m, err := f.store.MembershipState(t.Context(), org, bob)
				require.NoError(t, err)
				require.Equal(t, name, m.Role)
				require.Equal(t, permissions, m.Permissions)
			}
			found, err := f.run(time.Time{})
			require.NoError(t, err)
			require.Equal(t, reconcile.Counts{Same: found["roles"].Same}, found["roles"])
			require.Equal(t, reconcile.Counts{Same: 2}, found["memberships"])
		}
		has("buyer", "org:a:one")
		f.Pass(time.Hour)
		f.Call(http.MethodPatch, "/organization_roles/"+role, map[string]any{"permissions": []string{one, two}})
		has("buyer", "org:a:one", "org:a:two")
		f.Call(http.MethodPatch, "/organization_roles/"+role, map[string]any{"key": "org:purchaser"})
		has("purchaser", "org:a:one", "org:a:two")

		refused := func(r *http.Request) int {
			if strings.HasSuffix(r.URL.Path, "/organization_roles") {
				return http.StatusForbidden
			}
			return 0
		}
		f.Fail.Store(&refused) // an instance that does not list its roles: the members tell
		f.Pass(time.Hour)
		f.Call(http.MethodPatch, "/organization_roles/"+role, map[string]any{"permissions": []string{two}})
		has("purchaser", "org:a:two")
		f.Fail.Store(nil)

		f.Call(http.MethodPatch, "/organizations/"+org+"/memberships/"+bob, map[string]any{"role": "org:member"})
		f.Call(http.MethodDelete, "/organization_roles/"+role, nil)
		f.Pass(time.Hour)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 2, Removed: 1}, found["roles"])
		require.Equal(t, reconcile.Counts{Same: 1, Repaired: 1}, found["memberships"])
	})
}

// TestRoleChangedMeanwhile: an event that comes while a list is compared is newer than the list.
func TestRoleChangedMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		org := f.Organization("Acme", ada)
		f.Pass(time.Hour)
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		list, err := f.Source.Memberships(t.Context(), org, nil, 0, 10)
		require.NoError(t, err)
		roles, err := f.store.Roles(t.Context())
		require.NoError(t, err)
		listedAt := f.Now()
		f.Pass(time.Second)
		for _, r := range roles {
			r.Permissions, r.UpdateTime = []string{"org:new:do"}, f.Now()
			_, err := f.store.PutRole(t.Context(), r)
			require.NoError(t, err)
		}
		_, err = f.store.PutListedMembership(t.Context(), list[0], listedAt)
		require.NoError(t, err)
		m, err := f.store.MembershipState(t.Context(), org, ada)
		require.NoError(t, err)
		require.Equal(t, []string{"org:new:do"}, m.Permissions)
	})
}

func TestOnlyOneAtATime(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		err := f.reconciler().Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			_, err := f.run(time.Time{})
			require.ErrorIs(t, err, reconcile.ErrBusy)
			return nil
		})
		require.NoError(t, err)
		f.reconciler().Due(t.Context(), time.Hour)
		calls := f.Calls.Load()
		f.reconciler().Due(t.Context(), time.Hour)
		require.Equal(t, calls, f.Calls.Load(), "one was done within the hour")
		f.Pass(2 * time.Hour)
		f.reconciler().Due(t.Context(), time.Hour)
		require.Greater(t, f.Calls.Load(), calls)
	})
}

// TestSinceIsNotTheScheduledRun: only a full run removes, so only a full one counts.
func TestSinceIsNotTheScheduledRun(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		f.Pass(2 * time.Hour)
		_, err = f.run(f.Now().Add(-time.Hour))
		require.NoError(t, err)
		calls := f.Calls.Load()
		f.reconciler().Due(t.Context(), time.Hour)
		require.Greater(t, f.Calls.Load(), calls, "the last full one is two hours old")
	})
}

// TestSinceLeavesTheProgress of a full run that was cut short.
func TestSinceLeavesTheProgress(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		owner := f.User("owner")
		for n := range 3 {
			f.Organization(fmt.Sprintf("Org %d", n), owner)
		}
		cut := errors.New("the caller left")
		err := f.reconciler().Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Kind == "memberships" {
				return cut
			}
			return nil
		})
		require.ErrorIs(t, err, cut)
		_, err = f.run(f.Now().Add(-time.Hour))
		require.NoError(t, err)
		err = f.reconciler().Run(t.Context(), f.Now().Add(-time.Hour), func(reconcile.Progress) error { return cut })
		require.ErrorIs(t, err, cut)
		found, err := f.runPart()
		require.NoError(t, err)
		require.NotContains(t, found, "users", "it continues with the memberships")
		require.Equal(t, reconcile.Counts{Same: 2, Created: 1}, found["memberships"])
	})
}

// hold runs the job as another process does that hangs until release is called.
func (f *fixture) hold(process string) (release func()) {
	f.t.Helper()
	held, end, done := make(chan error, 1), make(chan struct{}), make(chan error, 1)
	released := errors.New("released")
	go func() {
		options := job.Options{Process: process, Lease: 2 * time.Minute, Now: f.Now}
		err := job.Run(context.WithoutCancel(f.t.Context()), f.db, "clerk reconcile", options, func(context.Context, *job.Holder) error {
			held <- nil
			<-end
			return released
		})
		held <- err
		done <- err
	}()
	require.NoError(f.t, <-held)
	return func() {
		close(end)
		require.ErrorIs(f.t, <-done, released)
	}
}

func TestTheJobOfADeadProcessIsTakenOver(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		release := f.hold("dead")
		defer release()
		_, err := f.run(time.Time{})
		require.ErrorIs(t, err, reconcile.ErrBusy)
		f.alone = true
		r := f.reconciler()
		require.NoError(t, r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			require.ErrorIs(t, r.Run(t.Context(), time.Time{}, nil), reconcile.ErrBusy, "this process lives")
			return nil
		}))
	})
}

func TestALeaseLastsTwoMinutes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		release := f.hold("hangs")
		defer release()
		f.Pass(2*time.Minute - time.Second)
		_, err := f.run(time.Time{})
		require.ErrorIs(t, err, reconcile.ErrBusy)
		f.Pass(time.Second)
		_, err = f.run(time.Time{})
		require.NoError(t, err)
	})
}

// A replica that was silent beyond its lease, and whose job another has taken, stops without another call to Clerk.
func TestReplicaWithoutTheJobStops(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		var calls int64
		err := f.reconciler().Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			if calls == 0 {
				f.Pass(2*time.Minute + time.Second)
				_, err := f.run(time.Time{})
				require.NoError(t, err)
				calls = f.Calls.Load()
			}
			return nil
		})
		require.ErrorIs(t, err, job.ErrLost)
		require.Equal(t, calls, f.Calls.Load())
	})
}

// No other replica takes the job while Clerk is slow or many objects are read one by one.
func TestTheLeaseIsRenewed(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		for n := range 40 {
			require.NoError(t, f.store.Introduce(t.Context(), directory.Introduction{UserID: fmt.Sprintf("user_%02d", n), At: f.Now()}))
		}
		asked := 0
		slow := func(*http.Request) int {
			f.Pass(40 * time.Second)
			err := job.Run(context.WithoutCancel(t.Context()), f.db, "clerk reconcile", job.Options{Process: "other", Now: f.Now},
				func(context.Context, *job.Holder) error { return nil })
			require.ErrorIs(t, err, job.ErrBusy)
			if asked++; asked%3 == 0 {
				return http.StatusTooManyRequests
			}
			return 0
		}
		f.Fail.Store(&slow)
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Removed: 40}, found["users"])
		require.Greater(t, asked, 40)
	})
}

// TestCutShortWhileRemoving: the next run asks again for all that were not asked for.
func TestCutShortWhileRemoving(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.User("ada")
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		for n := range 10 {
			require.NoError(t, f.store.Introduce(t.Context(), directory.Introduction{UserID: fmt.Sprintf("user_%02d", n), At: f.Now()}))
		}
		down := func(r *http.Request) int {
			if strings.HasSuffix(r.URL.Path, "/users/user_05") {
				return http.StatusServiceUnavailable
			}
			return 0
		}
		f.Fail.Store(&down)
		_, err = f.run(time.Time{})
		require.Error(t, err)
		require.Len(t, f.removed, 5)
		f.Fail.Store(nil)
		_, err = f.runPart()
		require.NoError(t, err)
		require.Len(t, f.removed, 10)
	})
}

// A run resumes where the last one was cut short.
func TestResumes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		owner := f.User("owner")
		for n := range 5 {
			f.Organization(fmt.Sprintf("Org %d", n), owner)
		}
		cut := errors.New("the caller left")
		members := 0
		err := f.reconciler().Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Kind == "memberships" {
				if members++; members == 3 {
					return cut
				}
			}
			return nil
		})
		require.ErrorIs(t, err, cut)
		before := f.Calls.Load()
		found, err := f.runPart()
		require.NoError(t, err)
		require.Equal(t, int64(3), f.Calls.Load()-before, "the two organizations that were left, after one call to see that the key is right")
		require.Equal(t, map[string]reconcile.Counts{"memberships": {Created: 5}}, found)
	})
}

// runPart is a run that another process started.
func (f *fixture) runPart() (map[string]reconcile.Counts, error) {
	found := map[string]reconcile.Counts{}
	return found, f.reconciler().Run(f.t.Context(), time.Time{}, func(p reconcile.Progress) error {
		found[p.Kind] = p.Counts
		return nil
	})
}

// TestEarlierDeletionsAreNoted: a full run has billing know organizations that were deleted before deletions were reported, any number of them, also while
// Clerk is down.
func TestEarlierDeletionsAreNoted(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for n := range 101 {
			id := fmt.Sprintf("org_%03d", n)
			_, err := f.store.DeleteOrganization(t.Context(), id, f.Now())
			require.NoError(t, err)
			require.NoError(t, f.store.EndReport(t.Context(), members.Report{OrganizationID: id, Changes: []string{"deleted"}}))
		}
		noted := func() int {
			ids, err := f.store.ChangedOrganizations(t.Context(), "", 1000)
			require.NoError(t, err)
			return len(ids)
		}
		_, err := f.run(f.Now().Add(-time.Hour))
		require.NoError(t, err)
		require.Zero(t, noted(), "a run since some time compares nothing older")
		down := func(*http.Request) int { return http.StatusServiceUnavailable }
		f.Fail.Store(&down)
		_, err = f.run(time.Time{})
		require.Error(t, err)
		require.Equal(t, 101, noted())
	})
}

// TestCallsPerThousand says what a comparison costs.
func TestCallsPerThousand(t *testing.T) {
	migrations := store.Migrations()
	f := newFixture(t, databasetest.SQLite(t, migrations))
	owner := f.User("owner")
	org := f.Organization("Acme", owner)
	f.Call(http.MethodPatch, "/organizations/"+org, map[string]any{"max_allowed_memberships": 0})
	for n := range 999 {
		f.User(fmt.Sprintf("u%d", n))
	}
	_, err := f.run(time.Time{})
	require.NoError(t, err)
	require.LessOrEqual(t, f.Calls.Load(), int64(9), "users (with a count each), organizations, roles and members of 1,000 users in one organization")
	f.Calls.Store(0)
	found, err := f.run(time.Time{})
	require.NoError(t, err)
	require.Equal(t, reconcile.Counts{Same: 1000}, found["users"])
	t.Logf("%d calls for 1,000 users and one organization", f.Calls.Load())
}

// TestOrganizationsTurnedOff: an instance without the feature refuses to list what it can't have. People are compared all
// the same, and what was there before stays.
func TestOrganizationsTurnedOff(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		org := f.Organization("Acme", ada)
		_, err := f.run(time.Time{})
		require.NoError(t, err)
		for _, path := range []string{"/v1/organizations*", "/v1/organization_roles*"} {
			_, err = f.Fake.Faults().Add(fault.Fault{
				Kind: fault.Status, Status: http.StatusForbidden, Path: path,
				Body: `{"errors":[{"code":"organization_not_enabled_in_instance","message":"access denied"}]}`,
			})
			require.NoError(t, err)
		}
		f.Pass(time.Hour)
		f.Call(http.MethodPatch, "/users/"+ada, map[string]any{"first_name": "Augusta"})
		found, err := f.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{"users": {Repaired: 1}, "organizations": {}, "roles": {}, "memberships": {}}, found)
		_, err = f.store.Organization(t.Context(), org)
		require.NoError(t, err)
		members, err := f.store.Memberships(t.Context(), org, "", paging.Cursor{}, 10)
		require.NoError(t, err)
		require.Len(t, members, 1)
	})
}
