package storetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// everyField: newer news change all there is.
func everyField(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	changed, err := s.PutUser(ctx, user("user_1", 1))
	did(t, true, changed, err)
	want := directory.User{
		ID: "user_1", Synced: true, PrimaryEmail: "new@example.test", Emails: []string{"new@example.test"}, FirstName: "Eva",
		LastName: "New", ImageURL: "https://img.example.test/new", ExternalID: "new", PublicMetadata: []byte(`{"new":1}`),
		Banned: true, Locked: true, LockExpireTime: at(1000), CreateTime: at(-5), UpdateTime: at(2),
	}
	changed, err = s.PutUser(ctx, want)
	did(t, true, changed, err)
	got, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	same(t, want, got)

	changed, err = s.PutOrganization(ctx, organization("org_1", 1))
	did(t, true, changed, err)
	wantOrganization := directory.Organization{
		ID: "org_1", Synced: true, Name: "New", Slug: "new", ImageURL: "https://img.example.test/new",
		PublicMetadata: []byte(`{"new":1}`), CreateTime: at(-5), UpdateTime: at(2),
	}
	changed, err = s.PutOrganization(ctx, wantOrganization)
	did(t, true, changed, err)
	gotOrganization, err := s.Organization(ctx, "org_1")
	require.NoError(t, err)
	same(t, wantOrganization, gotOrganization)

	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "member", 1))
	did(t, true, changed, err)
	wantMembership := directory.Membership{
		OrganizationID: "org_1", UserID: "user_1", Role: "admin", Permissions: []string{"org:new:do"}, CreateTime: at(-5), UpdateTime: at(2),
	}
	changed, err = s.PutMembership(ctx, wantMembership)
	did(t, true, changed, err)
	same(t, wantMembership, memberState(t, s, "user_1").Membership)
}

// memberState is somebody's in org_1.
func memberState(t *testing.T, s Store, user string) directory.MembershipState {
	t.Helper()
	m, err := s.MembershipState(t.Context(), "org_1", user)
	require.NoError(t, err)
	return m
}

// equalTimes: Clerk counts in milliseconds, and two changes within one must both arrive.
func equalTimes(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for _, name := range []string{"one", "two"} {
		o := organization("org_1", 5)
		o.Name = name
		changed, err := s.PutOrganization(ctx, o)
		did(t, true, changed, err)
		got, err := s.Organization(ctx, "org_1")
		require.NoError(t, err)
		require.Equal(t, name, got.Name)

		changed, err = s.PutRole(ctx, directory.Role{ID: "role_1", Name: "buyer", Permissions: []string{"org:" + name}, UpdateTime: at(5)})
		did(t, true, changed, err)
		roles, err := s.Roles(ctx)
		require.NoError(t, err)
		same(t, []directory.Role{{ID: "role_1", Name: "buyer", Permissions: []string{"org:" + name}, UpdateTime: at(5)}}, roles)

		changed, err = s.PutMembership(ctx, membership("org_1", "user_1", name, 5))
		did(t, true, changed, err)
		require.Equal(t, name, memberState(t, s, "user_1").Role)
	}
	changed, err := s.DeleteMembership(ctx, "org_1", "user_1", at(5))
	did(t, true, changed, err)
	for _, again := range []int{5, 9, 7} { // it is over already
		changed, err = s.DeleteMembership(ctx, "org_1", "user_1", at(again))
		did(t, false, changed, err)
	}
	require.True(t, memberState(t, s, "user_1").DeleteTime.Equal(at(9)))
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 8)) // who joined between the two ends left too
	did(t, false, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 10))
	did(t, true, changed, err)
}

// endWithoutATime ends what is known, and must not keep away what came after that.
func endWithoutATime(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	changed, err := s.PutMembership(ctx, membership("org_1", "user_1", "admin", 5))
	did(t, true, changed, err)
	var never directory.MembershipDeleted
	changed, err = s.DeleteMembership(ctx, "org_1", "user_1", never.At)
	did(t, true, changed, err)
	changed, err = s.DeleteMembership(ctx, "org_1", "user_1", never.At)
	did(t, false, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 5))
	did(t, false, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "member", 6)) // long before the event was handled
	did(t, true, changed, err)

	changed, err = s.DeleteMembership(ctx, "org_1", "user_2", never.At) // its beginning may come late
	did(t, true, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_2", "admin", 5))
	did(t, false, changed, err)
}

// memberAndRole: whichever is newer tells what the member may do; of one age the role, which may have changed last.
func memberAndRole(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	_, err := s.PutRole(ctx, directory.Role{ID: "role_1", Name: "admin", Permissions: []string{"org:role:do"}, UpdateTime: at(5)})
	require.NoError(t, err)
	own := membership("org_1", "user_1", "admin", 1).Permissions
	for user, tc := range map[string]struct {
		at   int
		want []string
	}{"user_older": {4, []string{"org:role:do"}}, "user_equal": {5, []string{"org:role:do"}}, "user_newer": {6, own}} {
		_, err = s.PutMembership(ctx, membership("org_1", user, "admin", tc.at))
		require.NoError(t, err)
		require.Equal(t, tc.want, memberState(t, s, user).Permissions, user)
	}
	// The same when the role comes last.
	_, err = s.PutRole(ctx, directory.Role{ID: "role_1", Name: "admin", Permissions: []string{"org:late:do"}, UpdateTime: at(5)})
	require.NoError(t, err)
	require.Equal(t, []string{"org:late:do"}, memberState(t, s, "user_older").Permissions)
	require.Equal(t, []string{"org:late:do"}, memberState(t, s, "user_equal").Permissions)
	require.Equal(t, own, memberState(t, s, "user_newer").Permissions)
}

// namesOfRoles: a name is that role's which took it last before the member got it.
func namesOfRoles(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for _, r := range []directory.Role{
		{ID: "role_b", Name: "buyer", Permissions: []string{"org:first:do"}, UpdateTime: at(10)},
		{ID: "role_b", Name: "vendor", Permissions: []string{"org:first:do"}, UpdateTime: at(20)},
		{ID: "role_a", Name: "buyer", Permissions: []string{"org:second:do"}, UpdateTime: at(30)},
	} {
		changed, err := s.PutRole(ctx, r)
		did(t, true, changed, err)
	}
	for n, want := range map[int]struct{ role, permission string }{ // by the second at which the member got it
		5: {"vendor", "org:first:do"}, 10: {"vendor", "org:first:do"}, 15: {"vendor", "org:first:do"},
		30: {"buyer", "org:second:do"},
	} {
		id := fmt.Sprint("user_", n)
		_, err := s.PutMembership(ctx, membership("org_1", id, "buyer", n))
		require.NoError(t, err)
		m := memberState(t, s, id)
		require.Equal(t, want.role, m.Role, n)
		require.Equal(t, []string{want.permission}, m.Permissions, n)
	}
}

func renamedRole(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	role := func(id, name string, n int) directory.Role {
		return directory.Role{ID: id, Name: name, Permissions: []string{"org:" + name}, UpdateTime: at(n)}
	}
	changed, err := s.PutMembership(ctx, membership("org_1", "user_1", "buyer", 2))
	did(t, true, changed, err)
	changed, err = s.PutRole(ctx, role("role_1", "vendor", 9))
	did(t, true, changed, err)
	require.Equal(t, "buyer", memberState(t, s, "user_1").Role, "whose name that was is not known")
	changed, err = s.PutRole(ctx, role("role_1", "buyer", 1)) // old news, which tells it
	did(t, false, changed, err)
	m := memberState(t, s, "user_1")
	require.Equal(t, "vendor", m.Role)
	require.Equal(t, []string{"org:vendor"}, m.Permissions)

	changed, err = s.PutRole(ctx, role("role_2", "buyer", 10))
	did(t, true, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_2", "buyer", 11))
	did(t, true, changed, err)
	changed, err = s.PutRole(ctx, role("role_1", "seller", 12))
	did(t, true, changed, err)
	require.Equal(t, "seller", memberState(t, s, "user_1").Role)
	require.Equal(t, "buyer", memberState(t, s, "user_2").Role, "another role's by then")
	require.Equal(t, []string{"org:seller"}, memberState(t, s, "user_1").Permissions)
}

func listedMembership(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	own := membership("org_1", "user_1", "admin", 1)
	for n, tc := range []struct {
		role int
		want []string
	}{{50, own.Permissions}, {51, []string{"org:role:do"}}, {100_000, own.Permissions}} { // listed at at(50), and it is at(100)
		_, err := s.PutRole(ctx, directory.Role{ID: "role_1", Name: "admin", Permissions: []string{"org:role:do"}, UpdateTime: at(tc.role)})
		require.NoError(t, err)
		_, err = s.PutListedMembership(ctx, own, at(50))
		require.NoError(t, err)
		require.Equal(t, tc.want, memberState(t, s, "user_1").Permissions, n)
	}
}

func lostMemberships(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	_, err := s.PutOrganization(ctx, organization("org_1", 1))
	require.NoError(t, err)
	_, err = s.PutUser(ctx, user("user_1", 1))
	require.NoError(t, err)
	var want []directory.Membership
	for _, m := range []directory.Membership{
		membership("org_1", "user_1", "admin", 5), membership("org_1", "user_unknown", "admin", 5),
		membership("org_new", "user_1", "admin", 7), membership("org_old", "user_1", "admin", 5), membership("org_old", "user_2", "admin", 6),
	} {
		_, err := s.PutMembership(ctx, m)
		require.NoError(t, err)
		if m.OrganizationID == "org_old" {
			want = append(want, m)
		}
	}
	got, err := s.LostMemberships(ctx, first, at(7), 10)
	require.NoError(t, err)
	same(t, want, got)
	got, err = s.LostMemberships(ctx, paging.Cursor{ID: "org_old", Second: "user_1"}, at(7), 10)
	require.NoError(t, err)
	same(t, want[1:], got)
}

// replacedObjects are written however old the news, if they are as they were read.
func replacedObjects(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	future := user("user_1", 1_000_000)
	future.FirstName = "Mallory"
	_, err := s.PutUser(ctx, future)
	require.NoError(t, err)
	banned := user("user_1", 5)
	banned.Banned = true
	changed, err := s.PutUser(ctx, banned)
	did(t, false, changed, err)
	changed, err = s.ReplaceUser(ctx, banned, user("user_1", 4)) // the row is another than was read
	did(t, false, changed, err)
	changed, err = s.ReplaceUser(ctx, banned, future)
	did(t, true, changed, err)
	got, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	same(t, banned, got)
	news, err := s.Since(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, news, 1, "who is shut out loses the credentials")

	farOrganization := organization("org_1", 1_000_000)
	farOrganization.Name = "Evil"
	_, err = s.PutOrganization(ctx, farOrganization)
	require.NoError(t, err)
	changed, err = s.ReplaceOrganization(ctx, organization("org_1", 5), organization("org_1", 4))
	did(t, false, changed, err)
	changed, err = s.ReplaceOrganization(ctx, organization("org_1", 5), farOrganization)
	did(t, true, changed, err)
	o, err := s.Organization(ctx, "org_1")
	require.NoError(t, err)
	same(t, organization("org_1", 5), o)

	farRole := directory.Role{ID: "role_1", Name: "evil", Permissions: []string{"org:evil:do"}, UpdateTime: at(1_000_000)}
	role := directory.Role{ID: "role_1", Name: "admin", Permissions: []string{"org:good:do"}, UpdateTime: at(5)}
	_, err = s.PutMembership(ctx, membership("org_1", "user_1", "evil", 1))
	require.NoError(t, err)
	_, err = s.PutRole(ctx, farRole)
	require.NoError(t, err)
	changed, err = s.ReplaceRole(ctx, role, role)
	did(t, false, changed, err)
	changed, err = s.ReplaceRole(ctx, role, farRole)
	did(t, true, changed, err)
	m := memberState(t, s, "user_1")
	require.Equal(t, "admin", m.Role)
	require.Equal(t, role.Permissions, m.Permissions)
	_, err = s.PutMembership(ctx, membership("org_1", "user_2", "evil", 1))
	require.NoError(t, err)
	require.Equal(t, "evil", memberState(t, s, "user_2").Role, "a name that never was")

	for _, gone := range []func() (bool, error){
		func() (bool, error) { return s.DeleteUser(ctx, "user_1", at(9)) },
		func() (bool, error) { return s.DeleteOrganization(ctx, "org_1", at(9)) },
		func() (bool, error) { return s.DeleteRole(ctx, "role_1", at(9)) },
	} {
		changed, err = gone()
		did(t, true, changed, err)
	}
	changed, err = s.ReplaceUser(ctx, user("user_1", 10), user("user_1", 9))
	did(t, false, changed, err)
	changed, err = s.ReplaceOrganization(ctx, organization("org_1", 10), organization("org_1", 9))
	did(t, false, changed, err)
	role.UpdateTime = at(9)
	changed, err = s.ReplaceRole(ctx, role, role)
	did(t, false, changed, err)
}
