package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

// Both is a store that keeps running responses, too.
type Both interface {
	stored.Store
	stored.Background
}

// RunBackground runs the suite of running responses on one store, which must be empty of them.
func RunBackground(t *testing.T, s Both) {
	t.Helper()
	t.Run("running responses", func(t *testing.T) { runs(t, s) })
	t.Run("a limit for each account", func(t *testing.T) { starts(t, s) })
	t.Run("pages of running responses", func(t *testing.T) { pages(t, s) })
	t.Run("claims", func(t *testing.T) { claims(t, s) })
	t.Run("what was seen never shrinks", func(t *testing.T) { seen(t, s) })
	t.Run("an id of another account", func(t *testing.T) { taken(t, s) })
	t.Run("a user who was erased", func(t *testing.T) { runsAfterErasure(t, s) })
}

func runningOf(id string) stored.Running {
	return stored.Running{
		ID: id, Account: "acct_" + id, User: "user_" + id, Model: "m", Target: "openai", Hold: "hold_" + id, Request: "req_1", Terms: []byte(`{"a":1}`),
		Created: now.Local(), Polled: now.Add(time.Second).Local(),
	}
}

func runs(t *testing.T, s Both) {
	empty, err := s.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, stored.Backlog{}, empty)
	r := runningOf("running")
	require.NoError(t, s.PutRunning(t.Context(), response(r.ID), r, far))
	got, err := s.Running(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, r, got)
	owner, err := s.Response(t.Context(), r.Account, r.ID, now)
	require.NoError(t, err, "both are written")
	require.Equal(t, response(r.ID), owner)
	_, err = s.Running(t.Context(), "unknown")
	require.ErrorIs(t, err, stored.ErrNotFound)
	backlog, err := s.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, stored.Backlog{Running: 1, Oldest: r.Created, Due: r.Polled}, backlog)

	again := r
	again.Hold = "hold_other"
	require.NoError(t, s.PutRunning(t.Context(), response(r.ID), again, far), "it may be written again")
	got, err = s.Running(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, r, got, "and keeps its hold")

	missing := now.Add(time.Minute).Local()
	require.NoError(t, s.Again(t.Context(), r.ID, now.Add(time.Hour), missing))
	got, err = s.Running(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, missing, got.Missing)
	require.Equal(t, now.Add(time.Hour).Local(), got.Polled)
	for _, want := range []bool{true, false} {
		first, err := s.Settled(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, want, first)
	}
	_, err = s.Running(t.Context(), r.ID)
	require.ErrorIs(t, err, stored.ErrNotFound)
	_, err = s.Response(t.Context(), r.Account, r.ID, now)
	require.NoError(t, err, "its owner stays")
}

// Of many responses that begin at once, exactly as many as the limit allows do, at any time until they have ended.
func starts(t *testing.T, s Both) {
	const most, at = 3, 20
	start := func(id string, expires time.Time) bool {
		began, err := s.Start(t.Context(), stored.Starting{ID: id, Account: "acct_starts", Most: most, Now: now, Expires: expires})
		if err != nil {
			t.Error(err)
		}
		return began
	}
	var mu sync.Mutex
	var began []string
	var all sync.WaitGroup
	for i := range at {
		all.Go(func() {
			id := fmt.Sprintf("starting%02d", i)
			if start(id, far) {
				mu.Lock()
				began = append(began, id)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Len(t, began, most)

	r := runningOf("starts")
	r.Account, r.Starting = "acct_starts", began[0]
	owner := response("starts")
	owner.Account = r.Account
	require.NoError(t, s.PutRunning(t.Context(), owner, r, far))
	require.False(t, start("more", far), "it runs now, and still counts")
	require.NoError(t, s.Stop(t.Context(), began[1]))
	require.NoError(t, s.Stop(t.Context(), began[1]), "it may be unknown")
	require.True(t, start("expired", now), "one has ended before it ran")
	require.True(t, start("more", far), "what has expired does not count")
	require.False(t, start("too many", far))
	_, err := s.Settled(t.Context(), r.ID)
	require.NoError(t, err)
	require.True(t, start("last", far), "one was settled")
	require.NoError(t, s.Forget(t.Context(), far.Add(-time.Microsecond)))
	require.False(t, start("too many", far), "nothing has expired")
	require.NoError(t, s.Forget(t.Context(), far))
	for _, id := range []string{"after1", "after2", "after3"} {
		require.True(t, start(id, far), "what processes that died had left is gone")
		defer func() { require.NoError(t, s.Stop(t.Context(), id)) }()
	}
}

func pages(t *testing.T, s Both) {
	ids := []string{"page1", "page2", "page3"}
	for _, id := range ids {
		require.NoError(t, s.PutRunning(t.Context(), response(id), runningOf(id), far))
	}
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := s.AllRunning(t.Context(), after, 2)
		require.NoError(t, err)
		for _, r := range page {
			got = append(got, r.ID)
		}
		if len(page) < 2 {
			break
		}
	}
	require.Equal(t, ids, got)
	for _, id := range ids {
		_, err := s.Settled(t.Context(), id)
		require.NoError(t, err)
	}
}

// Of many processes that claim at once, each response goes to one.
func claims(t *testing.T, s Both) {
	const responses, processes = 50, 6
	for i := range responses {
		r := runningOf(fmt.Sprintf("claimed%02d", i))
		r.Polled = now.Add(time.Duration(i) * time.Second)
		require.NoError(t, s.PutRunning(t.Context(), response(r.ID), r, far))
	}
	at, lease := now.Add(29*time.Second), now.Add(10*time.Minute)
	first, err := s.Claim(t.Context(), at, lease, 1)
	require.NoError(t, err)
	require.Len(t, first, 1)
	require.Equal(t, "claimed00", first[0].ID, "the one that waits longest")
	require.EqualValues(t, 1, first[0].Polls)
	var mu sync.Mutex
	times := map[string]int{}
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			for {
				got, err := s.Claim(t.Context(), at, lease, 4)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, r := range got {
					times[r.ID]++
				}
				mu.Unlock()
				if len(got) == 0 {
					return
				}
			}
		})
	}
	all.Wait()
	require.Len(t, times, 29, "those that are due, but for the first")
	for id, n := range times {
		require.Equal(t, 1, n, id)
	}
	got, err := s.Claim(t.Context(), lease, lease.Add(time.Minute), responses)
	require.NoError(t, err)
	require.Len(t, got, responses, "after the lease, another one gets them")
	for _, r := range got {
		_, err := s.Settled(t.Context(), r.ID)
		require.NoError(t, err)
	}
}

func seen(t *testing.T, s Both) {
	r := runningOf("seen")
	require.NoError(t, s.PutRunning(t.Context(), response(r.ID), r, far))
	for _, c := range []struct{ write, want int64 }{{5, 5}, {3, 5}, {9, 9}} {
		require.NoError(t, s.See(t.Context(), r.ID, c.write))
		got, err := s.Running(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, c.want, got.Seen)
	}
	_, err := s.Settled(t.Context(), r.ID)
	require.NoError(t, err)
	require.NoError(t, s.See(t.Context(), r.ID, 10), "it may be gone")
	require.NoError(t, s.Again(t.Context(), r.ID, now, time.Time{}))
}

func taken(t *testing.T, s Both) {
	require.NoError(t, s.Put(t.Context(), response("ours"), nil, now, far))
	theirs, r := response("ours"), runningOf("ours")
	theirs.Account, r.Account = "acct_thief", "acct_thief"
	require.ErrorIs(t, s.PutRunning(t.Context(), theirs, r, far), stored.ErrTaken)
	_, err := s.Running(t.Context(), "ours")
	require.ErrorIs(t, err, stored.ErrNotFound, "neither is written")
}

func runsAfterErasure(t *testing.T, s Both) {
	r := runningOf("late")
	require.NoError(t, s.Mark(t.Context(), r.User, now))
	require.NoError(t, s.PutRunning(t.Context(), response(r.ID), r, far))
	_, err := s.Response(t.Context(), r.Account, r.ID, now)
	require.ErrorIs(t, err, stored.ErrNotFound, "it is due at once")
	_, err = s.Running(t.Context(), r.ID)
	require.NoError(t, err, "and still to be settled")
}
