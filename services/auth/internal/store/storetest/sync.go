package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
)

// membersOfTheGone: whoever is gone can't be a member, whatever a late event says.
func membersOfTheGone(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	_, err := s.DeleteUser(ctx, "user_gone", at(1))
	require.NoError(t, err)
	_, err = s.DeleteOrganization(ctx, "org_gone", at(1))
	require.NoError(t, err)
	for _, m := range []directory.Membership{membership("org_1", "user_gone", "admin", 9), membership("org_gone", "user_1", "admin", 9)} {
		changed, err := s.PutMembership(ctx, m)
		did(t, false, changed, err)
	}
	members, err := s.Memberships(ctx, "", "", first, 10)
	require.NoError(t, err)
	require.Empty(t, members)
}

func replacedMembership(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	_, err := s.MembershipState(ctx, "org_1", "user_1")
	require.ErrorIs(t, err, directory.ErrNotFound)
	_, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 5))
	require.NoError(t, err)
	_, err = s.DeleteMembership(ctx, "org_1", "user_1", at(9))
	require.NoError(t, err)
	was, err := s.MembershipState(ctx, "org_1", "user_1")
	require.NoError(t, err)
	require.True(t, was.DeleteTime.Equal(at(9)))

	truth := membership("org_1", "user_1", "member", 5)
	changed, err := s.PutMembership(ctx, truth)
	did(t, false, changed, err)
	before, err := s.Revision(ctx)
	require.NoError(t, err)
	changed, err = s.ReplaceMembership(ctx, truth, was, at(9))
	did(t, true, changed, err)
	after, err := s.Revision(ctx)
	require.NoError(t, err)
	require.Equal(t, before+1, after, "another role than the row's revokes what was handed out with that")
	changed, err = s.ReplaceMembership(ctx, membership("org_1", "user_1", "admin", 5), was, at(9))
	did(t, false, changed, err) // the row is no longer as it was read
	got, err := s.MembershipState(ctx, "org_1", "user_1")
	require.NoError(t, err)
	require.Zero(t, got.DeleteTime)
	require.Equal(t, "member", got.Role)

	same := membership("org_1", "user_1", "member", 6)
	changed, err = s.ReplaceMembership(ctx, same, got, at(9))
	did(t, true, changed, err)
	revision, err := s.Revision(ctx)
	require.NoError(t, err)
	require.Equal(t, after, revision, "the same role revokes nothing")
	got, err = s.MembershipState(ctx, "org_1", "user_1")
	require.NoError(t, err)
	changed, err = s.ReplaceMembership(ctx, membership("org_1", "user_1", "admin", 7), got, at(9))
	did(t, true, changed, err)
	revision, err = s.Revision(ctx)
	require.NoError(t, err)
	require.Equal(t, after+1, revision)
}

func roles(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for _, user := range []string{"user_1", "user_2"} {
		_, err := s.PutMembership(ctx, membership("org_1", user, map[string]string{"user_1": "admin", "user_2": "member"}[user], 1))
		require.NoError(t, err)
	}
	role := func(n int, permission string) directory.Role {
		return directory.Role{ID: "role_1", Name: "admin", Permissions: []string{permission}, UpdateTime: at(n)}
	}
	changed, err := s.PutRole(ctx, role(5, "org:a:new"))
	did(t, true, changed, err)
	changed, err = s.PutRole(ctx, role(4, "org:a:old"))
	did(t, false, changed, err)
	m, err := s.MembershipState(ctx, "org_1", "user_1")
	require.NoError(t, err)
	require.Equal(t, []string{"org:a:new"}, m.Permissions)
	m, err = s.MembershipState(ctx, "org_1", "user_2")
	require.NoError(t, err)
	require.Len(t, m.Permissions, 2, "another role's")

	changed, err = s.DeleteRole(ctx, "role_1", at(6))
	did(t, true, changed, err)
	changed, err = s.PutRole(ctx, role(9, "org:a:back"))
	did(t, false, changed, err)
}

func revokedSession(t *testing.T, open Open) {
	woken := 0
	s := open(t, func() { woken++ })
	require.NoError(t, s.RevokeSession(t.Context(), "sess_1"))
	require.Equal(t, 1, woken)
	st, err := s.Standing(t.Context(), "user_1", "", "sess_1")
	require.NoError(t, err)
	require.True(t, st.SessionRevoked)
}

func erasures(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	_, err := s.Erasure(ctx, "user_1")
	require.ErrorIs(t, err, erasure.ErrNotFound)
	_, err = s.PutUser(ctx, user("user_1", 1))
	require.NoError(t, err)
	personal := key("key_1", "user_1", 1)
	personal.OrganizationID = ""
	require.NoError(t, s.AddKey(ctx, personal, []byte("hash_1"), maxKeys))
	require.NoError(t, s.AddKey(ctx, key("key_2", "org_1", 0), []byte("hash_2"), maxKeys))

	puts := 0
	put := func(_ context.Context, _ database.Tx, userID string, when time.Time) error {
		require.Equal(t, "user_1", userID)
		require.True(t, when.Equal(Now()))
		puts++
		return nil
	}
	for _, again := range []bool{false, false, true} { // an open one is never begun anew
		require.NoError(t, s.BeginErasure(ctx, "user_1", again, put))
		require.Equal(t, 1, puts)
	}
	_, err = s.User(ctx, "user_1")
	require.ErrorIs(t, err, directory.ErrNotFound)
	k, err := s.KeyByHash(ctx, []byte("hash_1"))
	require.NoError(t, err)
	require.Empty(t, k.Name)
	require.False(t, k.RevokeTime.IsZero())
	shared, err := s.KeyByHash(ctx, []byte("hash_2"))
	require.NoError(t, err)
	require.Empty(t, shared.Name, "the person wrote it")
	require.True(t, shared.RevokeTime.IsZero(), "it belongs to the organization: an admin may take it over")
	keys, err := s.KeysOfUser(ctx, "user_1")
	require.NoError(t, err)
	same(t, []apikey.Key{k, shared}, keys)

	for range 2 {
		require.NoError(t, s.ConfirmErasure(ctx, "user_1", "billing", at(101)))
	}
	require.NoError(t, s.ConfirmErasure(ctx, "user_1", "ai", at(102)))
	want := erasure.Erasure{UserID: "user_1", RequestTime: Now(), ConfirmedBy: []string{"ai", "billing"}}
	got, err := s.Erasure(ctx, "user_1")
	require.NoError(t, err)
	same(t, want, got)
	list, err := s.Erasures(ctx, first, 10)
	require.NoError(t, err)
	same(t, []erasure.Erasure{want}, list)
}

func idLists(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for _, id := range []string{"b", "a", "c"} {
		_, err := s.PutUser(ctx, user(id, 1))
		require.NoError(t, err)
		_, err = s.PutOrganization(ctx, organization(id, 1))
		require.NoError(t, err)
	}
	_, err := s.DeleteUser(ctx, "c", at(2))
	require.NoError(t, err)
	_, err = s.DeleteOrganization(ctx, "a", at(2))
	require.NoError(t, err)
	users, err := s.UserIDs(ctx, "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, users)
	users, err = s.UserIDs(ctx, "a", 1)
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, users)
	organizations, err := s.OrganizationIDs(ctx, "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"b", "c"}, organizations)
}
