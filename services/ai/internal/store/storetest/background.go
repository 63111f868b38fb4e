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
	for account, want := range map[string]int64{r.Account: 1, "acct_other": 0} {
		count, err := s.CountRunning(t.Context(), account)
		require.NoError(t, err)
		require.Equal(t, want, count)
	}
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
