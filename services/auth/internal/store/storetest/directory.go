package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

func same(t *testing.T, want, got any) {
	t.Helper()
	require.Empty(t, cmp.Diff(want, got))
}

func users(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	_, err := s.User(ctx, "user_1")
	require.ErrorIs(t, err, directory.ErrNotFound)
	want := user("user_1", 1)
	changed, err := s.PutUser(ctx, want)
	did(t, true, changed, err)
	got, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	same(t, want, got)

	bare := directory.User{ID: "user_2", Synced: true, CreateTime: at(2), UpdateTime: at(2)}
	changed, err = s.PutUser(ctx, bare)
	did(t, true, changed, err)
	got, err = s.User(ctx, "user_2")
	require.NoError(t, err)
	bare.PublicMetadata = []byte("{}")
	bare.Emails = []string{}
	same(t, bare, got)
}

func usersByEmail(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for n, id := range []string{"user_1", "user_2", "user_3"} {
		changed, err := s.PutUser(ctx, user(id, n))
		did(t, true, changed, err)
	}
	shared := user("user_3", 3)
	shared.Emails = append(shared.Emails, "ALSO-user_1@example.TEST") // Clerk moved it, and user_1's event is late
	changed, err := s.PutUser(ctx, shared)
	did(t, true, changed, err)
	for email, want := range map[string][]string{
		"user_1@example.test": {"user_1"}, " USER_1@EXAMPLE.TEST ": {"user_1"}, "also-user_2@example.test": {"user_2"},
		"also-user_1@example.test": {"user_3", "user_1"}, "nobody@example.test": nil, "user_1": nil, "%": nil,
	} {
		found, err := s.Users(ctx, email, first, 10)
		require.NoError(t, err)
		require.Equal(t, want, ids(found), email)
	}
	same := user("user_2", 3)
	same.Emails = []string{"also-user_2@EXAMPLE.test", "user_2@example.test", "User_2@example.test"} // in another case and order, and twice
	changed, err = s.PutUser(ctx, same)
	did(t, true, changed, err)
	for _, email := range same.Emails {
		found, err := s.Users(ctx, email, first, 10)
		require.NoError(t, err)
		require.Equal(t, []string{"user_2"}, ids(found), email)
	}
	moved := user("user_1", 4)
	moved.Emails = []string{"new@example.test"}
	changed, err = s.PutUser(ctx, moved)
	did(t, true, changed, err)
	found, err := s.Users(ctx, "user_1@example.test", first, 10)
	require.NoError(t, err)
	require.Empty(t, found, "an address that was taken away no longer finds the user")
}

func ids(users []directory.User) []string {
	var out []string
	for _, u := range users {
		out = append(out, u.ID)
	}
	return out
}

func olderUser(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	newer, older, equal := user("user_1", 5), user("user_1", 4), user("user_1", 5)
	older.FirstName, equal.FirstName = "Old", "Same"
	changed, err := s.PutUser(ctx, newer)
	did(t, true, changed, err)
	changed, err = s.PutUser(ctx, older)
	did(t, false, changed, err)
	got, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	require.Equal(t, "Ada", got.FirstName)
	changed, err = s.PutUser(ctx, equal)
	did(t, true, changed, err)
}

func deletedUser(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	changed, err := s.PutUser(ctx, user("user_1", 1))
	did(t, true, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 1))
	did(t, true, changed, err)
	changed, err = s.DeleteUser(ctx, "user_1", at(2))
	did(t, true, changed, err)
	changed, err = s.DeleteUser(ctx, "user_1", at(3))
	did(t, false, changed, err)
	changed, err = s.PutUser(ctx, user("user_1", 9)) // a late create must not bring the person back
	did(t, false, changed, err)
	require.NoError(t, s.Introduce(ctx, directory.Introduction{UserID: "user_1", Email: "user_1@example.test", At: at(9)}))

	_, err = s.User(ctx, "user_1")
	require.ErrorIs(t, err, directory.ErrNotFound)
	for _, email := range []string{"", "user_1@example.test"} {
		found, err := s.Users(ctx, email, first, 10)
		require.NoError(t, err)
		require.Empty(t, found)
	}
	members, err := s.Memberships(ctx, "", "user_1", first, 10)
	require.NoError(t, err)
	require.Empty(t, members)
	st, err := s.Standing(ctx, "user_1", "", "")
	require.NoError(t, err)
	require.Equal(t, directory.Deleted, st.User)
	require.Empty(t, st.Email, "a tombstone holds no personal data")

	changed, err = s.DeleteUser(ctx, "user_9", at(1)) // the deletion may come before the creation
	did(t, true, changed, err)
	changed, err = s.PutUser(ctx, user("user_9", 5))
	did(t, false, changed, err)
}

// lockEnds needs a clock that stands at at(100).
func lockEnds(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for id, tc := range map[string]struct {
		expire int
		want   bool
	}{"user_over": {100, false}, "user_on": {101, true}, "user_forever": {0, true}} {
		u := user(id, 1)
		u.Locked = true
		if tc.expire > 0 {
			u.LockExpireTime = at(tc.expire)
		}
		changed, err := s.PutUser(ctx, u)
		did(t, true, changed, err)
		got, err := s.User(ctx, id)
		require.NoError(t, err)
		require.Equal(t, tc.want, got.Locked, id)
	}
	revision, err := s.Revision(ctx)
	require.NoError(t, err)
	require.Zero(t, revision, "a lock forbids signing in and revokes nothing")
}

func pages(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	const n = 23
	var want []string
	for i := range n {
		u := user(fmt.Sprintf("user_%02d", i), i/3) // three of each time, so that the id decides too
		changed, err := s.PutUser(ctx, u)
		did(t, true, changed, err)
		changed, err = s.PutOrganization(ctx, organization(fmt.Sprintf("org_%02d", i), i/3))
		did(t, true, changed, err)
		want = append([]string{u.ID}, want...)
	}
	var got, gotOrganizations []string
	for after := first; ; {
		next, err := s.Users(ctx, "", after, 4)
		require.NoError(t, err)
		if len(next) == 0 {
			break
		}
		got = append(got, ids(next)...)
		after = paging.Cursor{Time: next[len(next)-1].CreateTime, ID: next[len(next)-1].ID}
	}
	for after := first; ; {
		next, err := s.Organizations(ctx, after, 4)
		require.NoError(t, err)
		if len(next) == 0 {
			break
		}
		for _, o := range next {
			gotOrganizations = append(gotOrganizations, "user"+o.ID[3:])
		}
		after = paging.Cursor{Time: next[len(next)-1].CreateTime, ID: next[len(next)-1].ID}
	}
	require.Equal(t, want, got)
	require.Equal(t, want, gotOrganizations)
}

func concurrent(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			if err := s.Introduce(ctx, directory.Introduction{UserID: "user_1", OrganizationID: "org_1", Role: "member", At: at(n)}); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := s.PutUser(ctx, user("user_1", n)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := s.PutMembership(ctx, membership("org_1", "user_1", []string{"member", "admin"}[n%2], n)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	u, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	require.True(t, u.UpdateTime.Equal(at(39)), "the newest news stands")
}
