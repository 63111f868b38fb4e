package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
)

// addTree adds keys by name, each with its parent.
func addTree(t *testing.T, s Store, parents [][2]string) {
	t.Helper()
	for n, pair := range parents {
		k := key(pair[0], "org_1", n)
		k.ParentID = pair[1]
		require.NoError(t, s.AddKey(t.Context(), k, []byte(pair[0]), maxKeys))
	}
}

func keyIDs(keys []apikey.Key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.ID
	}
	return out
}

func apiKeyTree(t *testing.T, open Open) {
	woken := 0
	s := open(t, func() { woken++ })
	ctx := t.Context()
	addTree(t, s, [][2]string{{"top", ""}, {"child", "top"}, {"other", "top"}, {"grandchild", "child"}, {"stranger", ""}})
	for id, want := range map[string][]string{"top": {}, "child": {"top"}, "grandchild": {"child", "top"}, "nobody": {}} {
		above, err := s.Ancestors(ctx, id)
		require.NoError(t, err)
		require.Equal(t, want, keyIDs(above), id)
	}
	require.NoError(t, s.RevokeKey(ctx, "org_1", "other", at(1)))
	require.NoError(t, s.RevokeKey(ctx, "org_1", "top", at(2)))
	require.NoError(t, s.RevokeKey(ctx, "org_1", "top", at(3)), "a repetition is not an error")
	require.Equal(t, 2, woken)
	for id, want := range map[string]time.Time{"top": at(2), "child": at(2), "grandchild": at(2), "other": at(1), "stranger": {}} {
		k, err := s.KeyByID(ctx, "org_1", id)
		require.NoError(t, err)
		require.True(t, k.RevokeTime.Equal(want), "%s: %s", id, k.RevokeTime)
	}
	news, err := s.Since(ctx, 0, 10)
	require.NoError(t, err)
	told := map[string]bool{}
	for _, r := range news {
		require.False(t, told[r.APIKeyID], "each key once")
		told[r.APIKeyID] = true
	}
	require.Equal(t, map[string]bool{"top": true, "child": true, "grandchild": true, "other": true}, told, "replicas hear of every key")
}

// apiKeyOfAnEndedParent needs a clock that stands at at(100).
func apiKeyOfAnEndedParent(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	addTree(t, s, [][2]string{{"revoked", ""}, {"child", "revoked"}, {"good", ""}})
	over := key("over", "org_1", 1)
	over.ExpireTime = at(100)
	require.NoError(t, s.AddKey(ctx, over, []byte("over"), maxKeys))
	last := key("last", "org_1", 1)
	last.ExpireTime = at(101)
	require.NoError(t, s.AddKey(ctx, last, []byte("last"), maxKeys))
	require.NoError(t, s.RevokeKey(ctx, "org_1", "revoked", at(2)))
	for parent, want := range map[string]error{
		"revoked": apikey.ErrParentEnded, "child": apikey.ErrParentEnded, "over": apikey.ErrParentEnded,
		"nobody": apikey.ErrNotFound, "good": nil, "last": nil,
	} {
		k := key("of-"+parent, "org_1", 5)
		k.ParentID = parent
		require.ErrorIs(t, s.AddKey(ctx, k, []byte("of-"+parent), maxKeys), want, parent)
	}
	foreign := key("foreign", "org_2", 5)
	foreign.ParentID = "good"
	require.ErrorIs(t, s.AddKey(ctx, foreign, []byte("foreign"), maxKeys), apikey.ErrNotFound, "a parent in another account")
	for n := range 3 {
		expired := key("expired-"+string(rune('a'+n)), "org_3", 1)
		expired.ExpireTime = at(100)
		require.NoError(t, s.AddKey(ctx, expired, []byte(expired.ID), 1), "expired keys are not live")
	}
}

func apiKeyTakenOver(t *testing.T, open Open) {
	woken := 0
	s := open(t, func() { woken++ })
	ctx := t.Context()
	addTree(t, s, [][2]string{{"top", ""}, {"child", "top"}, {"grandchild", "child"}, {"revoked", "child"}, {"stranger", ""}})
	require.NoError(t, s.RevokeKey(ctx, "org_1", "revoked", at(1)))
	_, err := s.TakeOverKey(ctx, "org_2", "child", "user_2", "boss")
	require.ErrorIs(t, err, apikey.ErrNotFound)
	_, err = s.TakeOverKey(ctx, "org_1", "revoked", "user_2", "boss")
	require.ErrorIs(t, err, apikey.ErrEnded)
	before, err := s.Revision(ctx)
	require.NoError(t, err)
	got, err := s.TakeOverKey(ctx, "org_1", "child", "user_2", "boss")
	require.NoError(t, err)
	want := key("child", "org_1", 1)
	want.ParentID, want.UserID, want.Role = "top", "user_2", "boss"
	same(t, want, got)
	for id, user := range map[string]string{"top": "user_1", "child": "user_2", "grandchild": "user_2", "revoked": "user_1", "stranger": "user_1"} {
		k, err := s.KeyByID(ctx, "org_1", id)
		require.NoError(t, err)
		require.Equal(t, user, k.UserID, id)
	}
	news, err := s.Since(ctx, before, 10)
	require.NoError(t, err)
	require.Len(t, news, 2, "caches must look both up again")
	for _, r := range news {
		require.Contains(t, []string{"child", "grandchild"}, r.APIKeyID)
	}
	require.Equal(t, 2, woken)
}

// orderOfEvents: Clerk changes an object twice within a millisecond, and the events come in any order.
func orderOfEvents(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	for n, step := range []struct {
		event time.Time
		want  bool
	}{
		{at(10), true}, {at(9), false}, {time.Time{}, false}, {at(10), true}, {at(11), true}, {at(10), false},
	} {
		name := string(rune('a' + n))
		u, o, m := user("user_1", 5), organization("org_1", 5), membership("org_1", "user_1", name, 5)
		u.EventTime, o.EventTime, m.EventTime = step.event, step.event, step.event
		u.FirstName, o.Name, u.Banned = name, name, n%2 == 0
		changed, err := s.PutUser(ctx, u)
		did(t, step.want, changed, err)
		changed, err = s.PutOrganization(ctx, o)
		did(t, step.want, changed, err)
		changed, err = s.PutMembership(ctx, m)
		did(t, step.want, changed, err)
		r := role("role_"+"1", name, step.event)
		changed, err = s.PutRole(ctx, r)
		did(t, step.want, changed, err)
	}
	u, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	require.Equal(t, "e", u.FirstName)
	require.True(t, u.Banned)
	o, err := s.Organization(ctx, "org_1")
	require.NoError(t, err)
	require.Equal(t, "e", o.Name)
	require.True(t, o.EventTime.Equal(at(11)))
	later := user("user_1", 6)
	later.EventTime = at(1)
	changed, err := s.PutUser(ctx, later)
	did(t, true, changed, err)
}

// listingAndEvent: an event that came after a listing is not overwritten by it, although Clerk dates both the same.
func listingAndEvent(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	put := func(event int) {
		u, o, m := user("user_1", 5), organization("org_1", 5), membership("org_1", "user_1", "admin", 5)
		u.EventTime, o.EventTime, m.EventTime = at(event), at(event), at(event)
		_, err := s.PutUser(ctx, u)
		require.NoError(t, err)
		_, err = s.PutOrganization(ctx, o)
		require.NoError(t, err)
		_, err = s.PutMembership(ctx, m)
		require.NoError(t, err)
		_, err = s.PutRole(ctx, role("role_1", "admin", at(event)))
		require.NoError(t, err)
	}
	put(10)
	for listed, want := range map[int]bool{9: false, 10: true} {
		u, o, m, r := user("user_1", 5), organization("org_1", 5), membership("org_1", "user_1", "admin", 5), role("role_1", "admin", at(listed))
		u.EventTime, o.EventTime, m.EventTime = at(listed), at(listed), at(listed)
		changed, err := s.ReplaceUser(ctx, u, u)
		did(t, want, changed, err)
		changed, err = s.ReplaceOrganization(ctx, o, o)
		did(t, want, changed, err)
		changed, err = s.ReplaceRole(ctx, r, r)
		did(t, want, changed, err)
		state := memberState(t, s, "user_1")
		changed, err = s.ReplaceMembership(ctx, m, state, at(listed))
		did(t, want, changed, err)
	}
	older := user("user_1", 4)
	older.EventTime = at(1)
	changed, err := s.ReplaceUser(ctx, older, user("user_1", 5))
	did(t, true, changed, err)
}

func deprovisioned(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	u := user("user_1", 1)
	u.Deprovisioned = true
	changed, err := s.PutUser(ctx, u)
	did(t, true, changed, err)
	got, err := s.User(ctx, "user_1")
	require.NoError(t, err)
	same(t, u, got)
	st, err := s.Standing(ctx, "user_1", "", "")
	require.NoError(t, err)
	require.True(t, st.Deprovisioned)
	require.False(t, st.Banned)
	news, err := s.Since(ctx, 0, 10)
	require.NoError(t, err)
	same(t, []revocation.Revocation{{Revision: 1, UserID: "user_1"}}, news)
	back := user("user_1", 2)
	changed, err = s.ReplaceUser(ctx, back, u)
	did(t, true, changed, err)
	st, err = s.Standing(ctx, "user_1", "", "")
	require.NoError(t, err)
	require.False(t, st.Deprovisioned)
	changed, err = s.ReplaceUser(ctx, u, back)
	did(t, true, changed, err)
	revision, err := s.Revision(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2, revision)
}

// erasedTwice: a key that was made after the first erasure is reported, although the person was gone before.
func erasedTwice(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	put := func(context.Context, database.Tx, string, time.Time) error { return nil }
	require.NoError(t, s.BeginErasure(ctx, "user_1", false, put))
	late := key("key_late", "user_1", 1)
	late.OrganizationID = ""
	require.NoError(t, s.AddKey(ctx, late, []byte("late"), maxKeys))
	before, err := s.Revision(ctx)
	require.NoError(t, err)
	require.NoError(t, s.BeginErasure(ctx, "user_1", true, put))
	news, err := s.Since(ctx, before, 10)
	require.NoError(t, err)
	same(t, []revocation.Revocation{{Revision: before + 1, APIKeyID: "key_late"}}, news)
}
