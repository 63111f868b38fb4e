// Package storetest is what every store of ai must pass, whatever the database.
package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

// Run runs the whole suite on one store. The tests use accounts and ids of their own.
func Run(t *testing.T, s stored.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, stored.Store){
		"owners": owners, "items": items, "a later write keeps the owner": later, "concurrent writes": concurrent,
		"erasure": erasure, "a response that is written after an erasure": afterErasure, "a response that is written during an erasure": duringErasure, "due": due, "removal": removal,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

var (
	now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	// far is later than all that the tests look for.
	far = now.Add(1000 * time.Hour)
)

func response(id string) stored.Response {
	return stored.Response{ID: id, Account: "acct_" + id, User: "user_" + id, Model: "m", Target: "openai", Tokens: 7}
}

func owners(t *testing.T, s stored.Store) {
	r := response("owned")
	require.NoError(t, s.Put(t.Context(), r, nil, now, now.Add(time.Hour)))
	got, err := s.Response(t.Context(), r.Account, r.ID, now)
	require.NoError(t, err)
	require.Equal(t, r, got)
	for name, c := range map[string]struct {
		account, id string
		at          time.Time
	}{
		"another account": {"acct_other", r.ID, now}, "another id": {r.Account, "owned2", now}, "no account": {"", r.ID, now},
		"at its end": {r.Account, r.ID, now.Add(time.Hour)},
	} {
		_, err := s.Response(t.Context(), c.account, c.id, c.at)
		require.ErrorIs(t, err, stored.ErrNotFound, name)
	}
	_, err = s.Response(t.Context(), r.Account, r.ID, now.Add(time.Hour-time.Microsecond))
	require.NoError(t, err)
}

func items(t *testing.T, s stored.Store) {
	r := response("items")
	require.NoError(t, s.Put(t.Context(), r, []string{"item_a"}, now, now.Add(time.Hour)))
	require.NoError(t, s.Put(t.Context(), r, []string{"item_a", "item_b"}, now, now.Add(time.Hour)))
	for _, id := range []string{"item_a", "item_b"} {
		got, err := s.OfItem(t.Context(), r.Account, id, now)
		require.NoError(t, err)
		require.Equal(t, r, got)
		_, err = s.OfItem(t.Context(), "acct_other", id, now)
		require.ErrorIs(t, err, stored.ErrNotFound)
		_, err = s.OfItem(t.Context(), r.Account, id, now.Add(time.Hour))
		require.ErrorIs(t, err, stored.ErrNotFound)
	}
	_, err := s.OfItem(t.Context(), r.Account, r.ID, now)
	require.ErrorIs(t, err, stored.ErrNotFound, "a response is not an item")

	// An item stays with the response that had it first.
	thief := response("items2")
	require.NoError(t, s.Put(t.Context(), thief, []string{"item_a"}, now, far))
	_, err = s.OfItem(t.Context(), thief.Account, "item_a", now)
	require.ErrorIs(t, err, stored.ErrNotFound)
}

func later(t *testing.T, s stored.Store) {
	r := response("later")
	r.Tokens = 0
	require.NoError(t, s.Put(t.Context(), r, nil, now, now.Add(time.Hour)))
	r.Tokens = 9
	require.NoError(t, s.Put(t.Context(), r, nil, now.Add(time.Minute), now.Add(2*time.Hour)))
	r.Tokens = 3
	require.NoError(t, s.Put(t.Context(), r, nil, now, now.Add(time.Hour)))
	got, err := s.Response(t.Context(), r.Account, r.ID, now)
	require.NoError(t, err)
	require.EqualValues(t, 9, got.Tokens, "a later write never lowers the tokens")
	_, err = s.Response(t.Context(), r.Account, r.ID, now.Add(90*time.Minute))
	require.ErrorIs(t, err, stored.ErrNotFound, "nor moves the end")

	thief := r
	thief.Account = "acct_thief"
	require.ErrorIs(t, s.Put(t.Context(), thief, []string{"item_later"}, now, far), stored.ErrTaken)
	_, err = s.Response(t.Context(), "acct_thief", r.ID, now)
	require.ErrorIs(t, err, stored.ErrNotFound)
	_, err = s.OfItem(t.Context(), r.Account, "item_later", now)
	require.ErrorIs(t, err, stored.ErrNotFound, "a refused write writes nothing")

	// Not even an erased response comes back.
	require.NoError(t, s.Mark(t.Context(), r.User, now))
	require.NoError(t, s.Put(t.Context(), r, nil, now, far))
	_, err = s.Response(t.Context(), r.Account, r.ID, now)
	require.ErrorIs(t, err, stored.ErrNotFound)
	require.NoError(t, s.Remove(t.Context(), r.ID))
}

func concurrent(t *testing.T, s stored.Store) {
	var group sync.WaitGroup
	for n := range 50 {
		group.Go(func() {
			r := response(fmt.Sprintf("many_%d", n%10))
			if err := s.Put(t.Context(), r, []string{fmt.Sprintf("many_item_%d", n)}, now, far); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for n := range 50 {
		got, err := s.OfItem(t.Context(), fmt.Sprintf("acct_many_%d", n%10), fmt.Sprintf("many_item_%d", n), now)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("many_%d", n%10), got.ID)
	}
}

func erasure(t *testing.T, s stored.Store) {
	for n := range 5 {
		r := response(fmt.Sprintf("erase_%d", n))
		r.User, r.Account = "user_erased", "acct_erased"
		require.NoError(t, s.Put(t.Context(), r, []string{fmt.Sprintf("erase_item_%d", n)}, now, far))
	}
	kept := response("erase_kept")
	kept.Account = "acct_erased" // of the same organization
	require.NoError(t, s.Put(t.Context(), kept, nil, now, far))
	require.NoError(t, s.Mark(t.Context(), "user_erased", now))
	var all []string
	for after := ""; ; {
		page, err := s.OfUser(t.Context(), "user_erased", after, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		require.LessOrEqual(t, len(page), 2)
		for _, r := range page {
			all = append(all, r.ID)
			_, err := s.Response(t.Context(), "acct_erased", r.ID, now)
			require.ErrorIs(t, err, stored.ErrNotFound)
			require.NoError(t, s.Remove(t.Context(), r.ID))
		}
		after = page[len(page)-1].ID
	}
	require.Equal(t, []string{"erase_0", "erase_1", "erase_2", "erase_3", "erase_4"}, all)
	_, err := s.Response(t.Context(), "acct_erased", kept.ID, now)
	require.NoError(t, err)
}

func due(t *testing.T, s stored.Store) {
	past := now.Add(-500 * time.Hour)
	for n := range 3 {
		require.NoError(t, s.Put(t.Context(), response(fmt.Sprintf("due_%d", n)), nil, past, past.Add(time.Duration(n)*time.Hour)))
	}
	ids := func(at, retry time.Time, limit int) (out []string) {
		got, err := s.Due(t.Context(), at, retry, limit)
		require.NoError(t, err)
		for _, r := range got {
			out = append(out, r.ID)
		}
		return out
	}
	retry := past.Add(2 * time.Hour)
	require.Empty(t, ids(past.Add(-time.Microsecond), retry, 10))
	require.ElementsMatch(t, []string{"due_0", "due_1"}, ids(past.Add(time.Hour), retry, 10))
	require.Empty(t, ids(past.Add(time.Hour), retry, 10), "they are left to the first caller")
	require.Len(t, ids(retry, retry.Add(time.Hour), 2), 2)
	require.Len(t, ids(retry, retry.Add(time.Hour), 2), 1)
	for n := range 3 {
		require.NoError(t, s.Remove(t.Context(), fmt.Sprintf("due_%d", n)))
	}
	require.Empty(t, ids(retry.Add(time.Hour), far, 10))
}

func removal(t *testing.T, s stored.Store) {
	r := response("removed")
	require.NoError(t, s.Put(t.Context(), r, []string{"removed_item"}, now, far))
	for range 2 {
		require.NoError(t, s.Remove(t.Context(), r.ID))
		_, err := s.Response(t.Context(), r.Account, r.ID, now)
		require.ErrorIs(t, err, stored.ErrNotFound)
		_, err = s.OfItem(t.Context(), r.Account, "removed_item", now)
		require.ErrorIs(t, err, stored.ErrNotFound)
	}
}

// A call that began before the erasure of its user may end after it.
func afterErasure(t *testing.T, s stored.Store) {
	r := response("after")
	require.NoError(t, s.Mark(t.Context(), r.User, now))
	require.NoError(t, s.Put(t.Context(), r, []string{"item_after"}, now, far))
	requireDue(t, s, r)
	require.NoError(t, s.Put(t.Context(), r, []string{"item_after"}, now, far))
	requireDue(t, s, r)

	other := response("after_other")
	other.User = r.User + "2"
	require.NoError(t, s.Put(t.Context(), other, nil, now, far))
	_, err := s.Response(t.Context(), other.Account, other.ID, now)
	require.NoError(t, err, "another user's")

	// An erasure is remembered for days.
	require.NoError(t, s.Mark(t.Context(), "user_much_later", now.Add(8*24*time.Hour)))
	late := response("after_late")
	late.User = r.User
	require.NoError(t, s.Put(t.Context(), late, nil, now, far))
	_, err = s.Response(t.Context(), late.Account, late.ID, now)
	require.NoError(t, err)
	require.NoError(t, s.Remove(t.Context(), r.ID))
}

func requireDue(t *testing.T, s stored.Store, r stored.Response) {
	t.Helper()
	_, err := s.Response(t.Context(), r.Account, r.ID, now)
	require.ErrorIs(t, err, stored.ErrNotFound)
	all, err := s.OfUser(t.Context(), r.User, "", 100)
	require.NoError(t, err)
	require.Contains(t, all, r)
}

// Whichever of the two commits first, no response of the user is found afterwards.
func duringErasure(t *testing.T, s stored.Store) {
	for n := range 20 {
		user := fmt.Sprint("user_during_", n)
		var both sync.WaitGroup
		failures := make([]error, 4)
		both.Go(func() { failures[3] = s.Mark(t.Context(), user, now) })
		for i := range 3 {
			r := response(fmt.Sprint("during_", n, "_", i))
			r.User = user
			both.Go(func() { failures[i] = s.Put(t.Context(), r, nil, now, far) })
		}
		both.Wait()
		require.NoError(t, errors.Join(failures...))
		all, err := s.OfUser(t.Context(), user, "", 100)
		require.NoError(t, err)
		require.Len(t, all, 3)
		for _, r := range all {
			_, err := s.Response(t.Context(), r.Account, r.ID, now)
			require.ErrorIs(t, err, stored.ErrNotFound)
			require.NoError(t, s.Remove(t.Context(), r.ID))
		}
	}
}
