package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// numbered is somebody's membership in org_1 with Clerk's id; it began when it was last changed.
func numbered(id string, n int) directory.Membership {
	m := membership("org_1", "user_1", "admin", n)
	m.ID = id
	return m
}

// over is the end of a membership, told in full.
func over(m directory.Membership, n int) directory.MembershipDeleted {
	return directory.MembershipDeleted{ID: m.ID, OrganizationID: m.OrganizationID, UserID: m.UserID, CreateTime: m.CreateTime, At: at(n)}
}

func onlyID(id string) directory.MembershipDeleted { return directory.MembershipDeleted{ID: id} }

// endOfAnID: it alone tells whose membership is over.
func endOfAnID(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	changed, err := s.PutMembership(ctx, numbered("orgmem_1", 1))
	did(t, true, changed, err)
	same(t, numbered("orgmem_1", 1), memberState(t, s, "user_1").Membership)
	before, err := s.Revision(ctx)
	require.NoError(t, err)
	changed, err = s.EndMembership(ctx, onlyID("orgmem_1"))
	did(t, true, changed, err)
	require.True(t, memberState(t, s, "user_1").DeleteTime.Equal(at(1)))
	news, err := s.Since(ctx, before, 10)
	require.NoError(t, err)
	require.Len(t, news, 1, "the credentials are looked up again")
	changed, err = s.EndMembership(ctx, onlyID("orgmem_1"))
	did(t, false, changed, err)
	changed, err = s.PutMembership(ctx, numbered("orgmem_1", 9)) // whatever late news say
	did(t, false, changed, err)
	require.NotZero(t, memberState(t, s, "user_1").DeleteTime)
	changed, err = s.PutMembership(ctx, numbered("orgmem_2", 2))
	did(t, true, changed, err)
	changed, err = s.EndMembership(ctx, onlyID("orgmem_1"))
	did(t, false, changed, err)
	require.Zero(t, memberState(t, s, "user_1").DeleteTime)
}

// endOfAnIDFirst: the membership behind the id is not known yet.
func endOfAnIDFirst(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	changed, err := s.EndMembership(ctx, onlyID("orgmem_1"))
	did(t, false, changed, err)
	require.NoError(t, s.Introduce(ctx, directory.Introduction{UserID: "user_1", OrganizationID: "org_1", Role: "admin", At: at(1)}))
	_, err = s.PutMembership(ctx, numbered("orgmem_1", 2))
	require.NoError(t, err)
	st, err := s.Standing(ctx, "user_1", "org_1", "")
	require.NoError(t, err)
	require.Equal(t, directory.Deleted, st.Member, "what a token told ends too, once it is known whose end that was")
	changed, err = s.PutMembership(ctx, numbered("orgmem_1", 3))
	did(t, false, changed, err)
	changed, err = s.PutMembership(ctx, numbered("orgmem_2", 3))
	did(t, true, changed, err)
}

// joinedAgain before the end was told, which says when it was told and not when it was.
func joinedAgain(t *testing.T, open Open) {
	for name, known := range map[string]bool{"known": true, "unknown": false} {
		t.Run(name, func(t *testing.T) {
			s := open(t, nil)
			ctx := t.Context()
			one, two := numbered("orgmem_1", 1), numbered("orgmem_2", 49)
			if known {
				changed, err := s.PutMembership(ctx, one)
				did(t, true, changed, err)
			}
			changed, err := s.EndMembership(ctx, over(one, 50))
			did(t, true, changed, err)
			changed, err = s.PutMembership(ctx, two)
			did(t, true, changed, err)
			changed, err = s.EndMembership(ctx, over(one, 51))
			did(t, false, changed, err)
			changed, err = s.PutMembership(ctx, one)
			did(t, false, changed, err)
			same(t, directory.MembershipState{Membership: two}, memberState(t, s, "user_1"))
			changed, err = s.PutMembership(ctx, numbered("orgmem_0", 0)) // one from before
			did(t, false, changed, err)
			changed, err = s.EndMembership(ctx, over(two, 60))
			did(t, true, changed, err)
			require.True(t, memberState(t, s, "user_1").DeleteTime.Equal(at(60)))
		})
	}
}

// twoMemberships, of which the first is over: the second is what stays, in every order, however the end is told.
func twoMemberships(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for name, end := range map[string]directory.MembershipDeleted{
		"full": over(numbered("one", 1), 20), "only the id": onlyID("one"), "id and time": {ID: "one", At: at(20)},
		"no time of joining": {ID: "one", OrganizationID: "org_1", UserID: "user_1", At: at(9)},
	} {
		for _, order := range permutations([]int{0, 1, 2, 3}) {
			user := fmt.Sprint(name, order)
			of := func(m directory.Membership) directory.Membership {
				m.ID, m.UserID = m.ID+user, user
				return m
			}
			one, two, later, end := of(numbered("one", 1)), of(numbered("two", 10)), of(numbered("two", 10)), end
			later.Role, later.UpdateTime = "member", at(11)
			if end.ID += user; end.UserID != "" {
				end.UserID = user
			}
			news := []func() (bool, error){
				func() (bool, error) { return s.PutMembership(ctx, one) },
				func() (bool, error) { return s.EndMembership(ctx, end) },
				func() (bool, error) { return s.PutMembership(ctx, two) },
				func() (bool, error) { return s.PutMembership(ctx, later) },
			}
			for _, n := range order {
				_, err := news[n]()
				require.NoError(t, err)
			}
			require.Equal(t, "member", memberState(t, s, user).Role, user)
			same(t, directory.MembershipState{Membership: later}, memberState(t, s, user))
		}
	}
}

func permutations(of []int) [][]int {
	if len(of) < 2 {
		return [][]int{of}
	}
	var all [][]int
	for i, first := range of {
		for _, rest := range permutations(slices.Delete(slices.Clone(of), i, i+1)) {
			all = append(all, append([]int{first}, rest...))
		}
	}
	return all
}

// introducedIDs: a token tells of no id. Clerk does, with what may be older.
func introducedIDs(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	token := func(n int) {
		t.Helper()
		require.NoError(t, s.Introduce(ctx, directory.Introduction{UserID: "user_1", OrganizationID: "org_1", Role: "owner", At: at(n)}))
	}
	token(5)
	require.Empty(t, memberState(t, s, "user_1").ID)
	changed, err := s.PutMembership(ctx, numbered("orgmem_1", 1))
	did(t, false, changed, err)
	m := memberState(t, s, "user_1")
	require.Equal(t, "orgmem_1", m.ID)
	require.Equal(t, "owner", m.Role, "the token is newer")
	require.True(t, m.CreateTime.Equal(at(1)))

	changed, err = s.EndMembership(ctx, over(numbered("orgmem_1", 1), 4)) // the token is from after that
	did(t, false, changed, err)
	m = memberState(t, s, "user_1")
	require.Zero(t, m.DeleteTime)
	require.Empty(t, m.ID, "it is of another")
	changed, err = s.PutMembership(ctx, numbered("orgmem_2", 5))
	did(t, true, changed, err)
	changed, err = s.EndMembership(ctx, onlyID("orgmem_2"))
	did(t, true, changed, err)
	token(6)
	m = memberState(t, s, "user_1")
	require.Zero(t, m.DeleteTime)
	require.Empty(t, m.ID)
	changed, err = s.EndMembership(ctx, onlyID("orgmem_2"))
	did(t, false, changed, err)
	changed, err = s.PutMembership(ctx, membership("org_1", "user_1", "admin", 7)) // without an id, as before there were any
	did(t, true, changed, err)
}

// listedAfterItsEnd: lists may be somewhat behind, but not for long.
func listedAfterItsEnd(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	m := numbered("orgmem_1", 1)
	_, err := s.EndMembership(ctx, onlyID("orgmem_1")) // it is at(100)
	require.NoError(t, err)
	changed, err := s.PutListedMembership(ctx, m, at(100))
	did(t, false, changed, err)
	_, err = s.MembershipState(ctx, "org_1", "user_1")
	require.ErrorIs(t, err, directory.ErrNotFound)
	changed, err = s.PutListedMembership(ctx, m, at(101))
	did(t, true, changed, err)
	require.Equal(t, "orgmem_1", memberState(t, s, "user_1").ID)

	changed, err = s.EndMembership(ctx, onlyID("orgmem_1"))
	did(t, true, changed, err)
	was := memberState(t, s, "user_1")
	changed, err = s.ReplaceMembership(ctx, m, was, at(100))
	did(t, false, changed, err)
	changed, err = s.ReplaceMembership(ctx, m, was, at(101))
	did(t, true, changed, err)
	same(t, directory.MembershipState{Membership: m}, memberState(t, s, "user_1"))
}
