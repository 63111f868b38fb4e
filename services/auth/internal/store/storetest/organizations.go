package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

func organizations(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	_, err := s.Organization(ctx, "org_1")
	require.ErrorIs(t, err, directory.ErrNotFound)
	want := organization("org_1", 5)
	changed, err := s.PutOrganization(ctx, want)
	did(t, true, changed, err)
	older := organization("org_1", 4)
	older.Name = "Old"
	changed, err = s.PutOrganization(ctx, older)
	did(t, false, changed, err)
	got, err := s.Organization(ctx, "org_1")
	require.NoError(t, err)
	same(t, want, got)
}

func deletedOrganization(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	changed, err := s.PutOrganization(ctx, organization("org_1", 1))
	did(t, true, changed, err)
	for _, id := range []string{"user_1", "user_2"} {
		changed, err = s.PutMembership(ctx, membership("org_1", id, "member", 1))
		did(t, true, changed, err)
	}
	before, err := s.Revision(ctx)
	require.NoError(t, err)
	changed, err = s.DeleteOrganization(ctx, "org_1", at(2))
	did(t, true, changed, err)
	changed, err = s.DeleteOrganization(ctx, "org_1", at(2))
	did(t, false, changed, err)
	changed, err = s.PutOrganization(ctx, organization("org_1", 9))
	did(t, false, changed, err)
	_, err = s.Organization(ctx, "org_1")
	require.ErrorIs(t, err, directory.ErrNotFound)
	all, err := s.Organizations(ctx, first, 10)
	require.NoError(t, err)
	require.Empty(t, all)
	members, err := s.Memberships(ctx, "org_1", "", first, 10)
	require.NoError(t, err)
	require.Empty(t, members)
	revoked, err := s.Since(ctx, before, 10)
	require.NoError(t, err)
	require.Len(t, revoked, 2, "of every member")
	st, err := s.Standing(ctx, "user_1", "org_1", "")
	require.NoError(t, err)
	require.Equal(t, directory.Deleted, st.Organization)
}

func memberships(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	var all []directory.Membership
	for _, org := range []string{"org_1", "org_2"} {
		for _, id := range []string{"user_1", "user_2", "user_3"} {
			m := membership(org, id, "member", len(all))
			changed, err := s.PutMembership(ctx, m)
			did(t, true, changed, err)
			all = append(all, m)
		}
	}
	for name, tc := range map[string]struct {
		org, user string
		want      []directory.Membership
	}{
		"all": {"", "", all}, "of an organization": {"org_2", "", all[3:]}, "of a user": {"", "user_2", []directory.Membership{all[1], all[4]}},
		"one": {"org_1", "user_3", all[2:3]}, "none": {"org_9", "user_3", nil}, "nobody's": {"", "user_9", nil},
	} {
		var got []directory.Membership
		var after paging.Cursor
		for {
			next, err := s.Memberships(ctx, tc.org, tc.user, after, 2)
			require.NoError(t, err, name)
			if len(next) == 0 {
				break
			}
			got = append(got, next...)
			last := next[len(next)-1]
			after = paging.Cursor{ID: last.OrganizationID, Second: last.UserID}
		}
		same(t, tc.want, got)
	}
}

func membershipComesAndGoes(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	changed, err := s.PutMembership(ctx, membership("org_1", "user_1", "member", 1))
	did(t, true, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 5))
	did(t, true, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "member", 4))
	did(t, false, changed, err)
	changed, err = s.DeleteMembership(ctx, "org_1", "user_1", at(3))
	did(t, false, changed, err)
	changed, err = s.DeleteMembership(ctx, "org_1", "user_1", at(6))
	did(t, true, changed, err)
	st, err := s.Standing(ctx, "user_1", "org_1", "")
	require.NoError(t, err)
	require.Equal(t, directory.Deleted, st.Member)
	require.True(t, st.MemberDeleted.Equal(at(6)))
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 6))
	did(t, false, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "member", 7)) // the person joined again
	did(t, true, changed, err)
	st, err = s.Standing(ctx, "user_1", "org_1", "")
	require.NoError(t, err)
	require.Equal(t, directory.Synced, st.Member)
	require.Equal(t, "member", st.Role)
	require.True(t, st.RoleTime.Equal(at(7)))
	changed, err = s.DeleteMembership(ctx, "org_1", "user_8", at(1)) // the end may come before the beginning
	did(t, true, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_8", "member", 1))
	did(t, false, changed, err)
}
