package storetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
)

func introduction(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	in := directory.Introduction{
		UserID: "user_1", Email: "Ada@example.test", FirstName: "Ada", OrganizationID: "org_1", OrganizationSlug: "acme",
		Role: "admin", Permissions: []string{"org:a:b"}, At: at(1),
	}
	require.NoError(t, s.Introduce(ctx, in))
	require.NoError(t, s.Introduce(ctx, in), "a repetition is not an error")
	u, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	same(t, directory.User{
		ID: "user_1", PrimaryEmail: "Ada@example.test", Emails: []string{"Ada@example.test"}, FirstName: "Ada",
		PublicMetadata: []byte("{}"), CreateTime: at(1), UpdateTime: at(1),
	}, u)
	found, err := s.Users(ctx, "ada@example.test", first, 10)
	require.NoError(t, err)
	require.Len(t, found, 1)
	o, err := s.Organization(ctx, "org_1")
	require.NoError(t, err)
	require.Equal(t, "acme", o.Slug)
	require.False(t, o.Synced)
	members, err := s.Memberships(ctx, "org_1", "user_1", first, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"org:a:b"}, members[0].Permissions)

	// Clerk's own word comes later and may be of an older date: the user was made long before this token.
	changed, err := s.PutUser(ctx, user("user_1", -1000))
	did(t, true, changed, err)
	changed, err = s.PutOrganization(ctx, organization("org_1", -1000))
	did(t, true, changed, err)
	u, err = s.User(ctx, "user_1")
	require.NoError(t, err)
	require.True(t, u.Synced)
	found, err = s.Users(ctx, "ada@example.test", first, 10)
	require.NoError(t, err)
	require.Empty(t, found)
}

func introductionIsModest(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	changed, err := s.PutUser(ctx, user("user_1", 5))
	did(t, true, changed, err)
	changed, err = s.PutOrganization(ctx, organization("org_1", 5))
	did(t, true, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "member", 5))
	did(t, true, changed, err)
	in := directory.Introduction{UserID: "user_1", Email: "x@example.test", OrganizationID: "org_1", OrganizationSlug: "x", Role: "admin"}
	in.At = at(4)
	require.NoError(t, s.Introduce(ctx, in))
	st, err := s.Standing(ctx, "user_1", "org_1", "")
	require.NoError(t, err)
	require.Equal(t, "member", st.Role, "a token from before the change says nothing new")
	in.At = at(6)
	require.NoError(t, s.Introduce(ctx, in))
	st, err = s.Standing(ctx, "user_1", "org_1", "")
	require.NoError(t, err)
	require.Equal(t, "admin", st.Role, "one from after it does")
	u, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	same(t, user("user_1", 5), u)
	found, err := s.Users(ctx, "x@example.test", first, 10)
	require.NoError(t, err)
	require.Empty(t, found)
}

func standing(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	st, err := s.Standing(ctx, "user_1", "org_1", "sess_1")
	require.NoError(t, err)
	same(t, directory.Standing{}, st)
	banned := user("user_1", 1)
	banned.Banned = true
	changed, err := s.PutUser(ctx, banned)
	did(t, true, changed, err)
	changed, err = s.PutOrganization(ctx, organization("org_1", 1))
	did(t, true, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 1))
	did(t, true, changed, err)
	st, err = s.Standing(ctx, "user_1", "org_1", "sess_1")
	require.NoError(t, err)
	same(t, directory.Standing{
		User: directory.Synced, Organization: directory.Synced, Member: directory.Synced, Banned: true,
		Email: "user_1@Example.test", Role: "admin", RoleTime: at(1), Permissions: []string{"org:billing:read", "org:billing:manage"},
	}, st)
	st, err = s.Standing(ctx, "user_1", "", "")
	require.NoError(t, err)
	require.Equal(t, directory.Unknown, st.Organization)
	require.Equal(t, directory.Unknown, st.Member)
}

// introducedRole: a token tells of another role before its event comes. The event then finds the role stored, so the token revokes.
func introducedRole(t *testing.T, open Open) {
	woken := 0
	s := open(t, func() { woken++ })
	ctx := t.Context()
	changed, err := s.PutMembership(ctx, membership("org_1", "user_1", "admin", 5))
	did(t, true, changed, err)
	in := directory.Introduction{UserID: "user_1", OrganizationID: "org_1", Role: "member", At: at(4)}
	require.NoError(t, s.Introduce(ctx, in), "a token from before says nothing new")
	in.OrganizationID, in.At = "org_2", at(7)
	require.NoError(t, s.Introduce(ctx, in), "nobody had a role there")
	in.OrganizationID, in.Role = "org_1", "admin"
	require.NoError(t, s.Introduce(ctx, in), "the same role")
	require.Zero(t, woken)
	in.Role, in.At = "member", at(8)
	require.NoError(t, s.Introduce(ctx, in))
	require.NoError(t, s.Introduce(ctx, in), "a repetition changes nothing")
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "member", 6))
	did(t, false, changed, err)
	news, err := s.Since(ctx, 0, 10)
	require.NoError(t, err)
	same(t, []revocation.Revocation{{Revision: 1, UserID: "user_1"}}, news)
	require.Equal(t, 1, woken)
}

// introducedOldName: a token from before a role was renamed does not give the member the old name back.
func introducedOldName(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	named := func(name string, n int) directory.Role {
		return directory.Role{ID: "role_1", Name: name, Permissions: []string{"org:" + name}, UpdateTime: at(n)}
	}
	for _, r := range []directory.Role{named("buyer", 1), named("vendor", 9)} {
		changed, err := s.PutRole(ctx, r)
		did(t, true, changed, err)
	}
	in := directory.Introduction{OrganizationID: "org_1", Role: "buyer", Permissions: []string{"org:token"}}
	for n, want := range map[int][2]string{8: {"vendor", "org:vendor"}, 9: {"vendor", "org:vendor"}, 10: {"buyer", "org:token"}} {
		in.UserID, in.At = fmt.Sprint("user_", n), at(n)
		changed, err := s.PutMembership(ctx, membership("org_1", in.UserID, "buyer", 2))
		did(t, true, changed, err)
		require.Equal(t, "vendor", memberState(t, s, in.UserID).Role)
		require.NoError(t, s.Introduce(ctx, in))
		m := memberState(t, s, in.UserID)
		require.Equal(t, want, [2]string{m.Role, m.Permissions[0]}, n)
		require.True(t, m.UpdateTime.Equal(at(n)))
	}
}
