package storetest

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
)

func apiKeys(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	_, err := s.KeyByHash(ctx, []byte("hash_1"))
	require.ErrorIs(t, err, apikey.ErrNotFound)
	want := key("key_1", "org_1", 1)
	require.NoError(t, s.AddKey(ctx, want, []byte("hash_1"), maxKeys))
	got, err := s.KeyByHash(ctx, []byte("hash_1"))
	require.NoError(t, err)
	same(t, want, got)
	got, err = s.KeyByID(ctx, "org_1", "key_1")
	require.NoError(t, err)
	same(t, want, got)
	_, err = s.KeyByID(ctx, "org_2", "key_1")
	require.ErrorIs(t, err, apikey.ErrNotFound)
	require.Error(t, s.AddKey(ctx, key("key_9", "org_1", 1), []byte("hash_1"), maxKeys), "a hash is one key's")

	bare := apikey.Key{ID: "key_2", AccountID: "org_1", UserID: "user_1", CreateTime: at(2)}
	require.NoError(t, s.AddKey(ctx, bare, []byte("hash_2"), maxKeys))
	require.NoError(t, s.AddKey(ctx, key("key_3", "org_2", 3), []byte("hash_3"), maxKeys))
	bare.Scopes, bare.Models = []string{}, []string{}
	list, err := s.Keys(ctx, "org_1", first, 10)
	require.NoError(t, err)
	same(t, []apikey.Key{bare, want}, list)
	list, err = s.Keys(ctx, "org_1", paging.Cursor{Time: at(2), ID: "key_2"}, 10)
	require.NoError(t, err)
	same(t, []apikey.Key{want}, list)
}

func apiKeyRevocation(t *testing.T, open Open) {
	var woken atomic.Int64
	s := open(t, func() { woken.Add(1) })
	ctx := t.Context()
	require.NoError(t, s.AddKey(ctx, key("key_1", "org_1", 1), []byte("hash_1"), maxKeys))
	require.ErrorIs(t, s.RevokeKey(ctx, "org_2", "key_1", at(2)), apikey.ErrNotFound, "another account's key")
	require.ErrorIs(t, s.RevokeKey(ctx, "org_1", "key_9", at(2)), apikey.ErrNotFound)
	require.Zero(t, woken.Load())
	require.NoError(t, s.RevokeKey(ctx, "org_1", "key_1", at(2)))
	require.NoError(t, s.RevokeKey(ctx, "org_1", "key_1", at(3)), "a repetition is not an error")
	require.EqualValues(t, 1, woken.Load())
	got, err := s.KeyByHash(ctx, []byte("hash_1"))
	require.NoError(t, err)
	require.True(t, got.RevokeTime.Equal(at(2)), "and changes nothing")
	news, err := s.Since(ctx, 0, 10)
	require.NoError(t, err)
	same(t, []revocation.Revocation{{Revision: 1, APIKeyID: "key_1"}}, news)
}

func apiKeyUses(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	require.NoError(t, s.AddKey(ctx, key("key_1", "org_1", 1), []byte("hash_1"), maxKeys))
	require.NoError(t, s.AddKey(ctx, key("key_2", "org_1", 1), []byte("hash_2"), maxKeys))
	require.NoError(t, s.NoteUses(ctx, map[string]apikey.Use{
		"key_1": {At: at(5)}, "key_2": {At: at(6), Hash: []byte("hash_2b")}, "key_9": {At: at(7)},
	}))
	require.NoError(t, s.NoteUses(ctx, map[string]apikey.Use{"key_1": {At: at(4)}}), "older news")
	got, err := s.KeyByHash(ctx, []byte("hash_1"))
	require.NoError(t, err)
	require.True(t, got.LastUseTime.Equal(at(5)))
	got, err = s.KeyByHash(ctx, []byte("hash_2b"))
	require.NoError(t, err)
	require.Equal(t, "key_2", got.ID)
	_, err = s.KeyByHash(ctx, []byte("hash_2"))
	require.ErrorIs(t, err, apikey.ErrNotFound)
}

func apiKeyLimit(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	id := func(n int) string {
		return "key_" + string(rune('a'+n/100)) + string(rune('a'+n/10%10)) + string(rune('a'+n%10))
	}
	var all sync.WaitGroup
	for n := range maxKeys {
		all.Go(func() {
			if err := s.AddKey(ctx, key(id(n), "org_1", n), []byte(id(n)), maxKeys); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.ErrorIs(t, s.AddKey(ctx, key("key_more", "org_1", 1), []byte("more"), maxKeys), apikey.ErrTooMany)
	require.NoError(t, s.AddKey(ctx, key("key_other", "org_2", 1), []byte("other"), maxKeys))
	require.NoError(t, s.RevokeKey(ctx, "org_1", id(0), at(1)))
	require.NoError(t, s.AddKey(ctx, key("key_more", "org_1", 1), []byte("more"), maxKeys))
}

func revocations(t *testing.T, open Open) {
	var woken atomic.Int64
	s := open(t, func() { woken.Add(1) })
	ctx := t.Context()
	revision, err := s.Revision(ctx)
	require.NoError(t, err)
	require.Zero(t, revision)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := s.Revoke(ctx, revocation.Revocation{UserID: "user_1"}, at(1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.NoError(t, s.Revoke(ctx, revocation.Revocation{SessionID: "sess_1"}, at(100)))
	require.EqualValues(t, 21, woken.Load())
	revision, err = s.Revision(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 21, revision)
	news, err := s.Since(ctx, 19, 10)
	require.NoError(t, err)
	same(t, []revocation.Revocation{{Revision: 20, UserID: "user_1"}, {Revision: 21, SessionID: "sess_1"}}, news)
	news, err = s.Since(ctx, 0, 5)
	require.NoError(t, err)
	require.Len(t, news, 5)

	st, err := s.Standing(ctx, "user_1", "", "sess_1")
	require.NoError(t, err)
	require.True(t, st.SessionRevoked)
	for _, other := range []string{"", "sess_2"} {
		st, err = s.Standing(ctx, "user_1", "", other)
		require.NoError(t, err)
		require.False(t, st.SessionRevoked)
	}
	require.NoError(t, s.Prune(ctx, at(50)))
	news, err = s.Since(ctx, 0, 100)
	require.NoError(t, err)
	require.Len(t, news, 1)
	revision, err = s.Revision(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 21, revision, "numbers are not given twice")
}

func whoIsRevoked(t *testing.T, open Open) {
	var woken atomic.Int64
	s := open(t, func() { woken.Add(1) })
	ctx := t.Context()
	put := func(n int, change func(*directory.User)) {
		u := user("user_1", n)
		change(&u)
		changed, err := s.PutUser(ctx, u)
		did(t, true, changed, err)
	}
	steps := []struct {
		name string
		do   func()
		want int64
	}{
		{"a new user", func() { put(1, func(*directory.User) {}) }, 0},
		{"another name", func() { put(2, func(u *directory.User) { u.FirstName = "Eva" }) }, 0},
		{"banned", func() { put(3, func(u *directory.User) { u.Banned = true }) }, 1},
		{"still banned", func() { put(4, func(u *directory.User) { u.Banned = true }) }, 1},
		{"free again", func() { put(5, func(*directory.User) {}) }, 1},
		{"locked", func() { put(6, func(u *directory.User) { u.Locked = true }) }, 1},
		{"deprovisioned", func() { put(7, func(u *directory.User) { u.Deprovisioned = true }) }, 2},
		{"banned too", func() { put(8, func(u *directory.User) { u.Deprovisioned, u.Banned = true, true }) }, 2},
		{"only banned", func() { put(9, func(u *directory.User) { u.Banned = true }) }, 2},
		{"free", func() { put(10, func(*directory.User) {}) }, 2},
		{"joins", func() {
			changed, err := s.PutMembership(ctx, membership("org_1", "user_1", "member", 1))
			did(t, true, changed, err)
		}, 2},
		{"same role", func() {
			changed, err := s.PutMembership(ctx, membership("org_1", "user_1", "member", 2))
			did(t, true, changed, err)
		}, 2},
		{"other role", func() {
			changed, err := s.PutMembership(ctx, membership("org_1", "user_1", "admin", 3))
			did(t, true, changed, err)
		}, 3},
		{"leaves", func() { changed, err := s.DeleteMembership(ctx, "org_1", "user_1", at(4)); did(t, true, changed, err) }, 4},
		{"joins again", func() {
			changed, err := s.PutMembership(ctx, membership("org_1", "user_1", "admin", 5))
			did(t, true, changed, err)
		}, 4},
		{"deleted", func() { changed, err := s.DeleteUser(ctx, "user_1", at(11)); did(t, true, changed, err) }, 5},
		{"deleted again", func() { changed, err := s.DeleteUser(ctx, "user_1", at(12)); did(t, false, changed, err) }, 5},
	}
	for _, step := range steps {
		step.do()
		revision, err := s.Revision(ctx)
		require.NoError(t, err)
		require.Equal(t, step.want, revision, step.name)
		require.Equal(t, step.want, woken.Load(), step.name)
	}
}
