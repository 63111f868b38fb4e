package sync_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/sandbox/webhook"
	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
	clerksync "github.com/trivet-dev/trivet/services/auth/internal/sync"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a Clerk with a mirror of it.
type fixture struct {
	*authtest.Clerk
	t      authtest.TB
	db     *database.DB
	inbox  *inbox.Inbox
	store  *store.Store
	syncer *clerksync.Syncer
	eraser *erasure.Eraser

	mu     sync.Mutex
	erased []string
	leases []time.Duration // under which they were erased
}

// newFixture uses a database that holds nothing of earlier copies.
func newFixture(t authtest.TB, db *database.DB) *fixture {
	return newFixtureWith(t, db, authtest.NewClerk(t), inbox.Options{})
}

func newFixtureWith(t authtest.TB, db *database.DB, instance *authtest.Clerk, options inbox.Options) *fixture {
	f := &fixture{Clerk: instance, t: t, db: db}
	require.NoError(t, database.MigrateAll(context.Background(), db, inbox.Migrations(), job.Migrations(), store.Migrations()))
	var err error
	f.inbox, err = inbox.New(db, options)
	require.NoError(t, err)
	f.store = store.New(db, f.Now, nil)
	f.syncer = clerksync.New(clerksync.Options{Inbox: f.inbox, Store: f.store, Now: f.Now, Applied: func(context.Context, string, string) {}})
	f.eraser = erasure.New(f.store, f.syncer.PutErasure, []erasure.Step{{Service: "auth", Erase: f.erase}}, f.Now, slog.New(slog.DiscardHandler))
	require.NoError(t, f.syncer.Handle(f.eraser))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.inbox.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return f
}

func (f *fixture) erase(ctx context.Context, userID string) error {
	var end int64
	row := f.db.Reader().QueryRowContext(ctx, "SELECT max(due_time) FROM inbox_subject WHERE source LIKE 'erasure%' AND token <> 0")
	if err := row.Scan(&end); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.erased, f.leases = append(f.erased, userID), append(f.leases, time.UnixMicro(end).Sub(f.Now().Truncate(time.Microsecond)))
	return nil
}

// deliver puts events as the receiver does, many at once, and waits until all have taken effect.
func (f *fixture) deliver(events []webhook.Event) {
	var all sync.WaitGroup
	errs := make(chan error, len(events))
	for _, e := range events {
		all.Go(func() {
			parsed, err := clerk.ParseEvent(e.Body)
			if err == nil {
				_, err = f.inbox.Put(context.Background(), inbox.Event{Source: clerksync.Clerk, ID: e.ID, Type: parsed.Type, Subject: parsed.Subject, Payload: parsed.Payload})
			}
			errs <- err
		})
	}
	all.Wait()
	for range events {
		require.NoError(f.t, <-errs)
	}
	f.drain()
}

func (f *fixture) drain() {
	require.Eventually(f.t, func() bool {
		counts, err := f.inbox.Counts(context.Background())
		waiting := slices.ContainsFunc(counts, func(count inbox.Count) bool { return count.Source != clerksync.LateErasure })
		return err == nil && !waiting
	}, 30*time.Second, time.Millisecond)
}

func (f *fixture) reconcile() map[string]reconcile.Counts {
	f.Pass(time.Hour)
	found := map[string]reconcile.Counts{}
	r := reconcile.New(reconcile.Options{
		Database: f.db, Store: f.store, Source: f.Source, Remove: f.eraser.Removed, Now: f.Now, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(f.t, r.Run(context.Background(), time.Time{}, func(p reconcile.Progress) error {
		found[p.Kind] = p.Counts
		return nil
	}))
	f.drain()
	return found
}

// differences compares all that Clerk has with all that the store has.
func (f *fixture) differences() []string {
	ctx := context.Background()
	var found []string
	differ := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	users, err := f.Source.Users(ctx, 0, 500)
	require.NoError(f.t, err)
	local, err := f.store.Users(ctx, "", paging.Cursor{}, 5000)
	require.NoError(f.t, err)
	if len(users) != len(local) {
		differ("%d users instead of %d", len(local), len(users))
	}
	for _, u := range users {
		got, err := f.store.User(ctx, u.ID)
		if err != nil || !directory.SameUser(got, u) || !got.UpdateTime.Equal(u.UpdateTime) {
			differ("user %+v is stored as %+v (%v)", u, got, err)
		}
	}
	organizations, err := f.Source.Organizations(ctx, 0, 500)
	require.NoError(f.t, err)
	localOrganizations, err := f.store.Organizations(ctx, paging.Cursor{}, 500)
	require.NoError(f.t, err)
	if len(organizations) != len(localOrganizations) {
		differ("%d organizations instead of %d", len(localOrganizations), len(organizations))
	}
	memberships := 0
	for _, o := range organizations {
		got, err := f.store.Organization(ctx, o.ID)
		if err != nil || !directory.SameOrganization(got, o) {
			differ("organization %+v is stored as %+v (%v)", o, got, err)
		}
		members, err := f.Source.Memberships(ctx, o.ID, nil, 0, 500)
		require.NoError(f.t, err)
		memberships += len(members)
		for _, m := range members {
			got, err := f.store.MembershipState(ctx, m.OrganizationID, m.UserID)
			if err != nil || !got.DeleteTime.IsZero() || !directory.SameMembership(got.Membership, m) {
				differ("membership %+v is stored as %+v (%v)", m, got, err)
			}
		}
	}
	localMemberships, err := f.store.Memberships(ctx, "", "", paging.Cursor{}, 5000)
	require.NoError(f.t, err)
	if memberships != len(localMemberships) {
		differ("%d memberships instead of %d: %+v", len(localMemberships), memberships, localMemberships)
	}
	return found
}

// state is what there is at Clerk after some changes.
type state struct {
	users, orgs, permissions []string
	// roles are the keys of those that were made, by id; two more are always there.
	roles map[string]string
	fixed []string
}

// newState has one user who is known and stays; without a known user the sync takes Clerk for another instance.
func (f *fixture) newState() *state {
	f.User("anchor")
	f.deliver(f.Events())
	s := &state{roles: map[string]string{}}
	for n := range 3 {
		key := fmt.Sprintf("org:p%d:do", n)
		id, _ := f.Call(http.MethodPost, "/organization_permissions", map[string]any{"name": key, "key": key})["id"].(string)
		s.permissions = append(s.permissions, id)
	}
	roles, err := f.Source.Roles(context.Background(), 0, 10)
	require.NoError(f.t, err)
	for _, r := range roles {
		s.fixed = append(s.fixed, r.ID)
	}
	return s
}

// change does something at Clerk.
func (f *fixture) change(t *rapid.T, n int, s *state) {
	pick := func(list []string, of string) string { return rapid.SampledFrom(list).Draw(t, of) }
	action := rapid.IntRange(0, 19).Draw(t, "action")
	if len(s.users) == 0 {
		action = 0
	} else if len(s.orgs) == 0 && action > 5 {
		action = 5
	}
	switch action {
	case 0:
		s.users = append(s.users, f.User(fmt.Sprintf("user%d", n)))
	case 1, 2:
		f.Call(http.MethodPatch, "/users/"+pick(s.users, "user"), map[string]any{"first_name": fmt.Sprintf("Name %d", n)})
	case 3:
		f.Call(http.MethodPost, "/users/"+pick(s.users, "user")+"/"+rapid.SampledFrom([]string{"ban", "unban"}).Draw(t, "ban"), nil)
	case 4:
		id := pick(s.users, "user")
		s.users = without(s.users, id)
		f.Call(http.MethodDelete, "/users/"+id, nil)
	case 5:
		s.orgs = append(s.orgs, f.Organization(fmt.Sprintf("Org %d", n), pick(s.users, "owner")))
	case 6:
		f.Call(http.MethodPatch, "/organizations/"+pick(s.orgs, "org"), map[string]any{"name": fmt.Sprintf("Renamed %d", n)})
	case 7:
		if rapid.Bool().Draw(t, "end the organization") {
			id := pick(s.orgs, "org")
			s.orgs = without(s.orgs, id)
			f.Call(http.MethodDelete, "/organizations/"+id, nil)
		}
	case 8, 9, 10, 11, 12:
		f.role(t, s)
	default:
		made := slices.Sorted(maps.Values(s.roles))
		roles := append([]string{"org:admin", "org:member", ""}, slices.Repeat(made, 2)...)
		f.member(pick(s.orgs, "org"), pick(s.users, "member"), pick(roles, "role"))
	}
}

// role makes, changes, renames or deletes a role. The keys are few, so that one role takes what was another's.
func (f *fixture) role(t *rapid.T, s *state) {
	key := fmt.Sprintf("org:r%d", rapid.IntRange(0, 2).Draw(t, "key"))
	free := !slices.Contains(slices.Collect(maps.Values(s.roles)), key)
	permissions := rapid.SliceOfDistinct(rapid.SampledFrom(s.permissions), rapid.ID[string]).Draw(t, "permissions")
	ids := slices.Sorted(maps.Keys(s.roles))
	what := rapid.IntRange(0, 3).Draw(t, "role action")
	switch {
	case what == 0 || len(ids) == 0:
		if free {
			made := f.Call(http.MethodPost, "/organization_roles", map[string]any{"name": "Role", "key": key, "permissions": permissions})
			id, _ := made["id"].(string)
			s.roles[id] = key
		}
	case what == 1:
		id := rapid.SampledFrom(append(ids, s.fixed...)).Draw(t, "role")
		f.Call(http.MethodPatch, "/organization_roles/"+id, map[string]any{"permissions": permissions})
	case what == 2:
		if id := rapid.SampledFrom(ids).Draw(t, "role"); free {
			f.Call(http.MethodPatch, "/organization_roles/"+id, map[string]any{"key": key})
			s.roles[id] = key
		}
	default:
		if id := rapid.SampledFrom(ids).Draw(t, "role"); !f.used(s, s.roles[id]) {
			f.Call(http.MethodDelete, "/organization_roles/"+id, nil)
			delete(s.roles, id)
		}
	}
}

// used reports whether a role has members. Clerk does not delete such a role.
func (f *fixture) used(s *state, key string) bool {
	for _, org := range s.orgs {
		members, err := f.Source.Memberships(context.Background(), org, nil, 0, 500)
		require.NoError(f.t, err)
		if slices.ContainsFunc(members, func(m directory.Membership) bool { return "org:"+m.Role == key }) {
			return true
		}
	}
	return false
}

// member gives a role, or ends the membership when it is empty.
func (f *fixture) member(org, user, role string) {
	members, err := f.Source.Memberships(context.Background(), org, []string{user}, 0, 1)
	require.NoError(f.t, err)
	path := "/organizations/" + org + "/memberships"
	switch {
	case len(members) == 0 && role != "":
		f.Join(org, user, role)
	case len(members) > 0 && role != "":
		f.Call(http.MethodPatch, path+"/"+user, map[string]any{"role": role})
	case len(members) > 0:
		f.Call(http.MethodDelete, path+"/"+user, nil)
	}
}

func without(list []string, id string) []string {
	var rest []string
	for _, one := range list {
		if one != id {
			rest = append(rest, one)
		}
	}
	return rest
}

// garbled is a list of events in any order, with some of them twice or lost.
func garbled(t *rapid.T, events []webhook.Event, lose bool) []webhook.Event {
	var out []webhook.Event
	for _, e := range events {
		if e.Type == "organizationMembership.deleted" && rapid.Bool().Draw(t, "tells only the id") {
			e = bare(t, e)
		}
		switch rapid.IntRange(0, 9).Draw(t, "fate") {
		case 0, 1:
			out = append(out, e, e)
		case 2:
			if !lose {
				out = append(out, e)
			}
		default:
			out = append(out, e)
		}
	}
	seed := rapid.Uint64().Draw(t, "order")
	dice := rand.New(rand.NewPCG(seed, 1))
	dice.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// bare is a deletion with only the object's id, without a time.
func bare(t *rapid.T, e webhook.Event) webhook.Event {
	var full struct{ Data struct{ ID string } }
	require.NoError(t, json.Unmarshal(e.Body, &full))
	e.Body = fmt.Appendf(nil, `{"type":%q,"data":{"id":%q,"deleted":true}}`, e.Type, full.Data.ID)
	return e
}

// In whatever order events come, and however often, the copy equals Clerk in the end. When some are lost, one
// reconciliation makes it so. Each example has a database of its own, as each has a Clerk of its own.
func TestAnyOrderProperties(t *testing.T) {
	checks(t, 20)
	for name, lose := range map[string]bool{"none lost": false, "some lost": true} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				f := newFixture(rt, fresh(rt, t))
				s := f.newState()
				for n := range rapid.IntRange(1, 30).Draw(rt, "changes") {
					f.Pass(time.Duration(rapid.IntRange(1, 200_000).Draw(rt, "ms")) * time.Millisecond)
					f.change(rt, n, s)
				}
				events := garbled(rt, f.Events(), lose)
				for len(events) > 0 { // in a few goes, as workers apply while more comes
					n := min(len(events), 8)
					f.deliver(events[:n])
					events = events[n:]
				}
				if !lose {
					require.Empty(rt, f.differences(), "before reconciling")
				}
				first := f.reconcile()
				require.Empty(rt, f.differences())
				again := f.reconcile()
				for kind, counts := range again {
					require.Equal(rt, reconcile.Counts{Same: counts.Same}, counts, "%s: nothing is left to repair after %+v", kind, first)
				}
			})
		})
	}
}

// checks shortens a property test that takes a minute: TRIVET_FAULTS=1 runs it at its full length, as -rapid.checks does.
func checks(t *testing.T, short int) {
	t.Helper()
	checked := flag.Lookup("rapid.checks")
	if os.Getenv("TRIVET_FAULTS") != "" || checked.Value.String() != checked.DefValue {
		return
	}
	require.NoError(t, checked.Value.Set(strconv.Itoa(short)))
	t.Cleanup(func() { require.NoError(t, checked.Value.Set(checked.DefValue)) })
}

// fresh is an empty database that ends with the example.
func fresh(rt *rapid.T, t *testing.T) *database.DB {
	rt.Helper()
	config := database.For("auth", sqliteAt(t.TempDir()))
	config.Synchronous = "NORMAL"
	db, err := database.Open(context.Background(), config)
	require.NoError(rt, err)
	rt.Cleanup(func() { require.NoError(rt, db.Close(context.Background())) })
	return db
}

// both runs a test on both databases.
func both(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	migrations := store.Migrations()
	databasetest.Each(t, migrations, func(t *testing.T, db *database.DB) {
		test(t, newFixture(t, db))
	})
}

func TestShuffledAndDoubled(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		ada, bob := f.User("ada"), f.User("bob")
		org := f.Organization("Acme", ada)
		for n := range 20 {
			f.Pass(time.Second)
			f.member(org, bob, []string{"org:admin", "org:member", ""}[n%3])
			f.Call(http.MethodPatch, "/users/"+ada, map[string]any{"last_name": fmt.Sprint(n)})
		}
		f.Call(http.MethodDelete, "/users/"+bob, nil)
		events := f.Events()
		events = append(events, events...)
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		f.deliver(events)
		require.Empty(t, f.differences())
		require.Equal(t, []string{bob}, f.erased, "once, however often the event came")
		e, err := f.store.Erasure(t.Context(), bob)
		require.NoError(t, err)
		require.False(t, e.CompleteTime.IsZero())
	})
}

// TestAnErasureIsRepeated when the calls have ended that were in progress when it began: their records come after it.
func TestAnErasureIsRepeated(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		instance := authtest.NewClerk(t)
		f := newFixtureWith(t, db, instance, inbox.Options{Now: instance.Now})
		ada := f.User("ada")
		f.Call(http.MethodDelete, "/users/"+ada, nil)
		f.deliver(f.Events())
		times := func() int {
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(f.erased)
		}
		require.Equal(t, 1, times())
		complete, err := f.store.Erasure(t.Context(), ada)
		require.NoError(t, err)
		require.False(t, complete.CompleteTime.IsZero(), "it is complete without waiting for the calls")
		f.Pass(29 * time.Minute)
		f.drain()
		require.Equal(t, 1, times())
		f.Pass(2 * time.Minute)
		require.Eventually(t, func() bool { return times() == 2 }, 30*time.Second, time.Millisecond)
		require.Equal(t, 15*time.Second, f.leases[0], "a process that freezes for some seconds must not have others erase again")
		require.Eventually(t, func() bool {
			counts, err := f.inbox.Counts(t.Context())
			return err == nil && len(counts) == 0
		}, 30*time.Second, time.Millisecond)
		again, err := f.store.Erasure(t.Context(), ada)
		require.NoError(t, err)
		require.Equal(t, complete, again, "the record stays")
	})
}

// TestLostWebhooks is the drill of the issue: of what happens to a thousand objects one webhook in ten is lost. It reports
// what one reconciliation found, and how many calls that took of Clerk's Backend API.
func TestLostWebhooks(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		const people, organizations, each = 500, 50, 11
		var users, orgs []string
		for n := range people {
			f.Pass(time.Second)
			users = append(users, f.User(fmt.Sprintf("u%d", n)))
		}
		for n := range organizations {
			f.Pass(time.Second)
			orgs = append(orgs, f.Organization(fmt.Sprintf("Org %d", n), users[n]))
			for k := range each - 1 {
				f.Pass(time.Second)
				f.Join(orgs[n], users[(n*7+k+60)%people], "org:member")
			}
		}
		for n, id := range users {
			f.Pass(time.Second)
			switch n % 10 {
			case 0:
				f.Call(http.MethodPatch, "/users/"+id, map[string]any{"first_name": "changed"})
			case 1:
				f.Call(http.MethodDelete, "/users/"+id, nil)
			}
		}
		for n, id := range orgs {
			f.Pass(time.Second)
			switch n % 10 {
			case 0:
				f.Call(http.MethodPatch, "/organizations/"+id, map[string]any{"name": "changed"})
			case 1:
				f.Call(http.MethodDelete, "/organizations/"+id, nil)
			case 2:
				f.member(id, users[(n*7+60)%people], "org:admin")
			}
		}
		var kept []webhook.Event
		told := f.Events()
		for n, e := range told {
			if n%10 != 3 {
				kept = append(kept, e)
			}
		}
		f.deliver(kept)
		before := f.differences()
		require.NotEmpty(t, before)
		report := func(what string) map[string]reconcile.Counts {
			f.Calls.Store(0)
			found := f.reconcile()
			calls, objects := f.Calls.Load(), int64(0)
			for _, counts := range found {
				objects += counts.Same + counts.Repaired + counts.Created + counts.Removed
			}
			t.Logf("%s run: %d calls for %d objects, %.0f per 1,000: %+v", what, calls, objects, float64(calls)*1000/float64(objects), found)
			require.Empty(t, f.differences(), "0 differences after the %s reconciliation", what)
			return found
		}
		t.Logf("%d of %d webhooks lost: %d differences", len(told)-len(kept), len(told), len(before))
		report("repairing")
		for kind, counts := range report("following") {
			require.Equal(t, reconcile.Counts{Same: counts.Same}, counts, kind)
		}
	})
}

func TestRoleChange(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		ada, bob := f.User("ada"), f.User("bob")
		org := f.Organization("Acme", ada)
		events := f.Events()
		f.deliver(events)
		at := f.Now().Add(time.Minute).UnixMilli()
		role := func(id string, ms int64, permission string) webhook.Event {
			return webhook.Event{ID: id, Body: fmt.Appendf(nil,
				`{"type":"role.updated","data":{"id":"role_1","key":"org:admin","permissions":[{"key":%q}],"created_at":1,"updated_at":%d}}`, permission, ms)}
		}
		f.deliver([]webhook.Event{role("msg_r1", at, "org:new:do")})
		f.deliver([]webhook.Event{role("msg_r0", at-1, "org:old:do")})
		m, err := f.store.MembershipState(t.Context(), org, ada)
		require.NoError(t, err)
		require.Equal(t, []string{"org:new:do"}, m.Permissions, "the newest state of the role")

		f.Join(org, bob, "org:admin") // its event says what the role was before
		f.deliver(f.Events())
		m, err = f.store.MembershipState(t.Context(), org, bob)
		require.NoError(t, err)
		require.Equal(t, []string{"org:new:do"}, m.Permissions)
	})
}

// TestRenamedRole takes its members along, also those whose event comes late and calls it by its old name.
func TestRenamedRole(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		ada, bob, cyd := f.User("ada"), f.User("bob"), f.User("cyd")
		org := f.Organization("Acme", ada)
		made := f.Call(http.MethodPost, "/organization_roles", map[string]any{"name": "Buyer", "key": "org:buyer"})
		f.Join(org, bob, "org:buyer")
		f.deliver(f.Events())
		f.Pass(time.Minute)
		f.Join(org, cyd, "org:buyer")
		late := f.Events()
		f.Pass(time.Minute)
		f.Call(http.MethodPatch, fmt.Sprintf("/organization_roles/%s", made["id"]), map[string]any{"key": "org:purchaser"})
		f.Pass(time.Minute)
		f.deliver(f.Events())
		m, err := f.store.MembershipState(t.Context(), org, bob)
		require.NoError(t, err)
		require.Equal(t, "purchaser", m.Role)
		f.deliver(late)
		require.Empty(t, f.differences())
		f.reconcile()
		require.Equal(t, reconcile.Counts{Same: 3}, f.reconcile()["memberships"])
	})
}

// TestLateNewsOfAnErasedPerson leave no personal data in the inbox, whether they can be applied or not.
func TestLateNewsOfAnErasedPerson(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		ada, bob := f.User("ada"), f.User("bob")
		f.Call(http.MethodPatch, "/users/"+ada, map[string]any{"first_name": "Augusta"})
		late := f.Events()
		f.Call(http.MethodDelete, "/users/"+ada, nil)
		f.deliver(f.Events())
		f.deliver(late)
		broken := fmt.Appendf(nil, `{"type":"user.updated","data":{"id":%q,"first_name":"Augusta"}}`, ada)
		_, err := f.inbox.Put(t.Context(), inbox.Event{Source: clerksync.Clerk, ID: "msg_broken", Type: "user.updated", Subject: ada, Payload: broken})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			r, err := f.inbox.Get(t.Context(), clerksync.Clerk, "msg_broken")
			return err == nil && r.State == inbox.Dead
		}, 30*time.Second, time.Millisecond)
		kept := map[string]string{}
		rows, err := f.db.Reader().QueryContext(t.Context(),
			`SELECT e.subject, p.payload FROM inbox_event e JOIN inbox_payload p ON p.seq = e.seq WHERE e.type IN ('user.created', 'user.updated')`)
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		for rows.Next() {
			var subject, payload string
			require.NoError(t, rows.Scan(&subject, &payload))
			kept[subject] += payload
		}
		require.NoError(t, rows.Err())
		require.Equal(t, "{}{}{}", kept[ada])
		require.Contains(t, kept[bob], "bob@example.test", "others stay")
	})
}

// TestFutureEvent: an event that claims to be of the year 9999 is undone by the next reconciliation.
func TestFutureEvent(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		ada := f.User("ada")
		f.deliver(f.Events())
		f.deliver([]webhook.Event{{ID: "msg_f", Body: fmt.Appendf(nil,
			`{"type":"user.updated","data":{"id":%q,"first_name":"Mallory","created_at":1,"updated_at":253402300799999}}`, ada)}})
		require.NotEmpty(t, f.differences())
		f.reconcile()
		require.Empty(t, f.differences())
	})
}

func TestPoisonedEventDies(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		_, err := f.inbox.Put(t.Context(), inbox.Event{Source: clerksync.Clerk, ID: "msg_1", Type: "user.created", Subject: "user_1", Payload: []byte(`{"type":"user.created","data":{"id":"user_1"}}`)})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			r, err := f.inbox.Get(t.Context(), clerksync.Clerk, "msg_1")
			return err == nil && r.State == inbox.Dead && r.Attempts == 1
		}, 30*time.Second, time.Millisecond)
		ada := f.User("ada")
		f.Call(http.MethodPatch, "/users/"+ada, map[string]any{"first_name": "Ada"})
		for _, e := range f.Events() {
			parsed, err := clerk.ParseEvent(e.Body)
			require.NoError(t, err)
			_, err = f.inbox.Put(t.Context(), inbox.Event{Source: clerksync.Clerk, ID: e.ID, Type: parsed.Type, Subject: parsed.Subject, Payload: parsed.Payload})
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool { u, err := f.store.User(t.Context(), ada); return err == nil && u.FirstName == "Ada" },
			30*time.Second, time.Millisecond, "other subjects continue")
	})
}
