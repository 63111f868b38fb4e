package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
	"github.com/trivet-dev/trivet/services/auth/internal/sandboxtest"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Clerk and a store beside it.
type world struct {
	*sandboxtest.Instance
	t     testing.TB
	store *store.Store
	gone  []string // users that were removed
	naps  []time.Duration
}

func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	migrations, err := store.Migrations()
	require.NoError(t, err)
	databasetest.Each(t, migrations, func(t *testing.T, db *database.DB) { test(t, newWorld(t, db)) })
}

func newWorld(t testing.TB, db *database.DB) *world {
	t.Helper()
	w := &world{Instance: sandboxtest.New(t), t: t}
	w.store = store.New(db, w.Now, nil)
	return w
}

func (w *world) reconciler() *reconcile.Reconciler {
	return reconcile.New(reconcile.Options{
		Store: w.store, Source: w.Source, Now: w.Now, Logger: slog.New(slog.DiscardHandler),
		Remove: func(ctx context.Context, id string) error {
			w.gone = append(w.gone, id)
			_, err := w.store.DeleteUser(ctx, id, w.Now())
			return err
		},
		Sleep: func(ctx context.Context, d time.Duration) error { w.naps = append(w.naps, d); return ctx.Err() },
	})
}

// run reconciles and returns the last counts of each kind.
func (w *world) run(since time.Time) (map[string]reconcile.Counts, error) {
	found := map[string]reconcile.Counts{}
	done := map[string]bool{}
	err := w.reconciler().Run(w.t.Context(), since, func(p reconcile.Progress) error {
		require.False(w.t, done[p.Kind], "nothing comes after done")
		found[p.Kind], done[p.Kind] = p.Counts, p.Done
		return nil
	})
	if err == nil {
		require.Len(w.t, done, 3)
	}
	return found, err
}

func TestEmptyStoreIsFilledAndThenEqual(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, bob := w.User("ada"), w.User("bob")
		org := w.Organization("Acme", ada)
		w.Join(org, bob, "org:member")
		found, err := w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{
			"users": {Created: 2}, "organizations": {Created: 1}, "memberships": {Created: 2},
		}, found)
		u, err := w.store.User(t.Context(), ada)
		require.NoError(t, err)
		require.Equal(t, "ada@example.test", u.PrimaryEmail)
		require.Equal(t, []string{"ada@example.test", "second-ada@example.test"}, u.Emails)
		members, err := w.store.Memberships(t.Context(), org, "", page.Cursor{}, 10)
		require.NoError(t, err)
		require.Len(t, members, 2)

		found, err = w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{"users": {Same: 2}, "organizations": {Same: 1}, "memberships": {Same: 2}}, found)
	})
}

func TestEveryKindOfDifference(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, bob, cyd := w.User("ada"), w.User("bob"), w.User("cyd")
		org, other := w.Organization("Acme", ada), w.Organization("Other", ada)
		w.Join(org, bob, "org:member")
		w.Join(org, cyd, "org:member")
		_, err := w.run(time.Time{})
		require.NoError(t, err)

		w.Pass(time.Hour)
		w.Call(http.MethodPatch, "/users/"+ada, map[string]any{"first_name": "Augusta"})
		w.Call(http.MethodPost, "/users/"+bob+"/ban", nil)
		w.Call(http.MethodPatch, "/organizations/"+org, map[string]any{"name": "Acme Inc"})
		w.Call(http.MethodPatch, "/organizations/"+org+"/memberships/"+bob, map[string]any{"role": "org:admin"})
		w.Call(http.MethodDelete, "/organizations/"+org+"/memberships/"+cyd, nil)
		w.Call(http.MethodDelete, "/organizations/"+other, nil)
		w.Call(http.MethodDelete, "/users/"+cyd, nil)
		dan := w.User("dan")
		w.Join(org, dan, "org:member")

		found, err := w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{
			"users": {Repaired: 2, Created: 1, Removed: 1}, "organizations": {Repaired: 1, Removed: 1},
			"memberships": {Same: 1, Repaired: 1, Created: 1}, // cyd's ended with cyd
		}, found)
		require.Equal(t, []string{cyd}, w.gone)
		st, err := w.store.Standing(t.Context(), bob, org, "")
		require.NoError(t, err)
		require.True(t, st.Banned)
		require.Equal(t, "admin", st.Role)
		found, err = w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, map[string]reconcile.Counts{"users": {Same: 3}, "organizations": {Same: 1}, "memberships": {Same: 3}}, found)
	})
}

func TestMemberWhoLeftIsRemoved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, bob := w.User("ada"), w.User("bob")
		org := w.Organization("Acme", ada)
		w.Join(org, bob, "org:member")
		_, err := w.run(time.Time{})
		require.NoError(t, err)
		w.Call(http.MethodDelete, "/organizations/"+org+"/memberships/"+bob, nil)
		found, err := w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Removed: 1}, found["memberships"])
		w.Pass(time.Hour)
		w.Join(org, bob, "org:member")
		found, err = w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Created: 1}, found["memberships"], "and may join again")
	})
}

// TestClerkWinsOverAWrongTombstone: what seems newer in the store is not for ever right.
func TestClerkWinsOverAWrongTombstone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.User("ada")
		org := w.Organization("Acme", ada)
		_, err := w.run(time.Time{})
		require.NoError(t, err)
		_, err = w.store.DeleteMembership(t.Context(), org, ada, w.Now().Add(time.Minute)) // of a clock that was ahead
		require.NoError(t, err)
		found, err := w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1}, found["memberships"], "too fresh: Clerk's list may be behind")
		w.Pass(time.Hour)
		found, err = w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, found["memberships"])
	})
}

// TestErasedHereAndAliveThere: an operator erased somebody whom Clerk still has.
func TestErasedHereAndAliveThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.User("ada")
		w.Organization("Acme", ada)
		_, err := w.store.DeleteUser(t.Context(), ada, w.Now())
		require.NoError(t, err)
		w.Pass(time.Hour)
		for range 2 {
			_, err = w.run(time.Time{})
			require.NoError(t, err)
			_, err = w.store.User(t.Context(), ada)
			require.ErrorIs(t, err, directory.ErrNotFound)
		}
	})
}

func TestIntroducedUserIsCompletedOrRemoved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.User("ada")
		for _, id := range []string{ada, "user_never"} {
			require.NoError(t, w.store.Introduce(t.Context(), directory.Introduction{UserID: id, Email: "old@example.test", At: w.Now()}))
		}
		found, err := w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Repaired: 1, Removed: 1}, found["users"])
	})
}

func TestSince(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.User("old")
		w.Pass(time.Hour)
		since := w.Now()
		w.User("new")
		require.NoError(t, w.store.Introduce(t.Context(), directory.Introduction{UserID: "user_never", At: w.Now()}))
		found, err := w.run(since)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, found["users"], "older ones are left, and nobody is removed")
	})
}

func TestRateLimitIsHeeded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.User("ada")
		left := int32(3)
		limit := func(*http.Request) int {
			if atomic.AddInt32(&left, -1) >= 0 {
				return http.StatusTooManyRequests
			}
			return 0
		}
		w.Fail.Store(&limit)
		found, err := w.run(time.Time{})
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, found["users"])
		require.Equal(t, []time.Duration{7 * time.Second, 7 * time.Second, 7 * time.Second}, w.naps)
	})
}

func TestDownClerkRemovesNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.User("ada")
		_, err := w.run(time.Time{})
		require.NoError(t, err)
		_, err = w.Fake.Faults().Add(fault.Fault{Kind: fault.Close})
		require.NoError(t, err)
		_, err = w.run(time.Time{})
		_, transient := errors.AsType[*directory.RetryError](err)
		require.True(t, transient, "%v", err)
		require.Empty(t, w.gone)
	})
}

// TestAnotherInstanceRemovesNobody who counts: with the key of another instance all users seem to be gone.
func TestAnotherInstanceRemovesNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for n := range 50 {
			_, err := w.store.PutUser(t.Context(), directory.User{ID: fmt.Sprintf("user_%02d", n), CreateTime: w.Now(), UpdateTime: w.Now()})
			require.NoError(t, err)
		}
		w.User("stranger")
		_, err := w.run(time.Time{})
		require.ErrorIs(t, err, reconcile.ErrStranger)
		require.LessOrEqual(t, len(w.gone), 10)
	})
}

func TestOnlyOneAtATime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.User("ada")
		err := w.reconciler().Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			_, err := w.run(time.Time{})
			require.ErrorIs(t, err, reconcile.ErrBusy)
			return nil
		})
		require.NoError(t, err)
		w.reconciler().Due(t.Context(), time.Hour)
		calls := w.Calls.Load()
		w.reconciler().Due(t.Context(), time.Hour)
		require.Equal(t, calls, w.Calls.Load(), "one was done within the hour")
		w.Pass(2 * time.Hour)
		w.reconciler().Due(t.Context(), time.Hour)
		require.Greater(t, w.Calls.Load(), calls)
	})
}

// TestResumes goes on where it was cut short.
func TestResumes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		owner := w.User("owner")
		for n := range 5 {
			w.Organization(fmt.Sprintf("Org %d", n), owner)
		}
		cut := errors.New("the caller left")
		members := 0
		err := w.reconciler().Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Kind == "memberships" {
				if members++; members == 3 {
					return cut
				}
			}
			return nil
		})
		require.ErrorIs(t, err, cut)
		before := w.Calls.Load()
		found, err := w.runPart()
		require.NoError(t, err)
		require.Equal(t, int64(2), w.Calls.Load()-before, "the two organizations that were left")
		require.Equal(t, map[string]reconcile.Counts{"memberships": {Created: 5}}, found)
	})
}

// runPart is a run that was begun by another.
func (w *world) runPart() (map[string]reconcile.Counts, error) {
	found := map[string]reconcile.Counts{}
	return found, w.reconciler().Run(w.t.Context(), time.Time{}, func(p reconcile.Progress) error {
		found[p.Kind] = p.Counts
		return nil
	})
}

// TestCallsPerThousand says what a comparison costs.
func TestCallsPerThousand(t *testing.T) {
	migrations, err := store.Migrations()
	require.NoError(t, err)
	w := newWorld(t, databasetest.SQLite(t, migrations))
	owner := w.User("owner")
	org := w.Organization("Acme", owner)
	w.Call(http.MethodPatch, "/organizations/"+org, map[string]any{"max_allowed_memberships": 0})
	for n := range 999 {
		w.User(fmt.Sprintf("u%d", n))
	}
	_, err = w.run(time.Time{})
	require.NoError(t, err)
	require.LessOrEqual(t, w.Calls.Load(), int64(8), "users (with a count each), organizations and members of 1,000 users in one organization")
	w.Calls.Store(0)
	found, err := w.run(time.Time{})
	require.NoError(t, err)
	require.Equal(t, reconcile.Counts{Same: 1000}, found["users"])
	t.Logf("%d calls for 1,000 users and one organization", w.Calls.Load())
}
