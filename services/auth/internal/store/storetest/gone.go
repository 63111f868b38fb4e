package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// listsWithoutTheGone: no list shows a membership that ended, whatever it is filtered by.
func listsWithoutTheGone(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for _, id := range []string{"user_1", "user_2"} {
		_, err := s.PutMembership(ctx, membership("org_1", id, "member", 1))
		require.NoError(t, err)
	}
	_, err := s.DeleteMembership(ctx, "org_1", "user_2", at(2))
	require.NoError(t, err)
	for filters, want := range map[[2]string]int{
		{"", ""}: 1, {"org_1", ""}: 1, {"", "user_1"}: 1, {"", "user_2"}: 0, {"org_1", "user_1"}: 1, {"org_1", "user_2"}: 0,
	} {
		list, err := s.Memberships(ctx, filters[0], filters[1], paging.Cursor{}, 10)
		require.NoError(t, err)
		require.Len(t, list, want, "%v", filters)
	}
}

// onlyMembersAreRevoked: the end of an organization concerns its members, not those who had left before.
func onlyMembersAreRevoked(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for _, id := range []string{"user_1", "user_2"} {
		_, err := s.PutMembership(ctx, membership("org_1", id, "member", 1))
		require.NoError(t, err)
	}
	_, err := s.DeleteMembership(ctx, "org_1", "user_2", at(2))
	require.NoError(t, err)
	before, err := s.Revision(ctx)
	require.NoError(t, err)
	_, err = s.DeleteOrganization(ctx, "org_1", at(3))
	require.NoError(t, err)
	news, err := s.Since(ctx, before, 10)
	require.NoError(t, err)
	require.Len(t, news, 1)
	require.Equal(t, "user_1", news[0].UserID)
	st, err := s.MembershipState(ctx, "org_1", "user_2")
	require.NoError(t, err)
	require.True(t, st.DeleteTime.Equal(at(2)), "when a membership ended stays")
}

// endedIsNotIdentified: late news with an id do not name a membership that ended without one.
func endedIsNotIdentified(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	require.NoError(t, s.Introduce(ctx, directory.Introduction{UserID: "user_1", OrganizationID: "org_1", Role: "member", At: at(5)}))
	_, err := s.DeleteMembership(ctx, "org_1", "user_1", at(6))
	require.NoError(t, err)
	late := membership("org_1", "user_1", "member", 4)
	late.ID = "orgmem_late"
	_, err = s.PutMembership(ctx, late)
	require.NoError(t, err)
	st, err := s.MembershipState(ctx, "org_1", "user_1")
	require.NoError(t, err)
	require.Empty(t, st.ID)
	require.False(t, st.DeleteTime.IsZero())
}
