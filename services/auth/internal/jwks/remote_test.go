package jwks_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a Clerk that counts the calls, and can fail or wait.
type source struct {
	calls   atomic.Int64
	down    atomic.Bool
	hold    chan struct{} // when set, an answer waits for it, or for its context
	changed atomic.Int64
	mu      sync.Mutex
	answer  []byte
}

var errDown = errors.New("connection refused")

func newSource(t *testing.T) *source { return &source{answer: authtest.NewKeys().Document(t)} }

func (s *source) Fetch(ctx context.Context) ([]byte, error) {
	s.calls.Add(1)
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s.down.Load() {
		return nil, errDown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answer, nil
}

func (s *source) set(document []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = document
}

func (s *source) remote(t *testing.T) *jwks.Remote {
	t.Helper()
	r := jwks.NewRemote(s, jwks.Options{
		Refresh: 5 * time.Minute, MaxStale: 24 * time.Hour, Timeout: 5 * time.Second,
		Logger: slog.New(slog.DiscardHandler), Now: time.Now, Changed: func() { s.changed.Add(1) },
	})
	t.Cleanup(r.Close)
	return r
}

func find(t *testing.T, r *jwks.Remote, kid string) error {
	t.Helper()
	keys, err := r.Find(t.Context(), kid)
	if err == nil && len(keys) != 1 {
		return errors.New("not one key")
	}
	return err
}

func requireUnavailable(t *testing.T, err error) {
	t.Helper()
	var unavailable *jwks.UnavailableError
	require.ErrorAs(t, err, &unavailable)
	require.Positive(t, unavailable.RetryAfter)
}

func TestColdCallersShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		s.hold = make(chan struct{})
		r := s.remote(t)
		first, leave := context.WithCancel(t.Context())
		results := make(chan error, 50)
		go func() {
			_, err := r.Find(first, "ins_1")
			results <- err
		}()
		synctest.Wait()
		for range 49 {
			go func() { results <- find(t, r, "ins_1") }()
		}
		synctest.Wait()
		leave() // the other callers do not depend on the first one
		require.ErrorIs(t, <-results, context.Canceled)
		close(s.hold)
		for range 49 {
			require.NoError(t, <-results)
		}
		require.EqualValues(t, 1, s.calls.Load())
	})
}

func TestRandomKeyIDsHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		for round := range 3 {
			require.ErrorIs(t, find(t, r, fmt.Sprintf("ins_%d", round)+"_asked"), jwks.ErrUnknownKey)
			for n := range 10_000 {
				err := find(t, r, fmt.Sprintf("ins_%d_%d", round, n))
				requireUnavailable(t, err)
				require.NotErrorIs(t, err, jwks.ErrUnknownKey, "an id that was not looked up is not refused")
			}
			require.EqualValues(t, round+2, s.calls.Load())
			time.Sleep(10 * time.Second)
		}
		cold := newSource(t)
		r = cold.remote(t)
		require.ErrorIs(t, find(t, r, "ins_2"), jwks.ErrUnknownKey)
		for n := range 10_000 {
			requireUnavailable(t, find(t, r, fmt.Sprintf("ins_%d", n+3)))
		}
		require.EqualValues(t, 1, cold.calls.Load(), "the first fetch of all counts when it was for an unknown id")
		require.NoError(t, find(t, r, "ins_1"))
	})
}

// A caller who waits for RetryAfter gets an answer.
func TestTheBudgetsRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSource(t).remote(t)
		require.ErrorIs(t, find(t, r, "ins_2"), jwks.ErrUnknownKey)
		time.Sleep(3 * time.Second)
		var unavailable *jwks.UnavailableError
		require.ErrorAs(t, find(t, r, "ins_3"), &unavailable)
		require.Equal(t, 7*time.Second, unavailable.RetryAfter)
		time.Sleep(unavailable.RetryAfter)
		require.ErrorIs(t, find(t, r, "ins_3"), jwks.ErrUnknownKey)
	})
}

func TestAnUnknownKeyIDIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.ErrorIs(t, find(t, r, "ins_2"), jwks.ErrUnknownKey)
		rotated := authtest.NewKeys()
		rotated.Rotate("ins_2", authtest.Key(1))
		for begin := time.Now(); time.Since(begin) < 5*time.Minute; time.Sleep(20 * time.Second) {
			require.ErrorIs(t, find(t, r, "ins_2"), jwks.ErrUnknownKey)
		}
		require.EqualValues(t, 1, s.calls.Load(), "not asked again for five minutes")
		s.set(rotated.Document(t))
		require.NoError(t, find(t, r, "ins_2"), "and then asked again")

		s = newSource(t)
		r = s.remote(t)
		require.ErrorIs(t, find(t, r, "ins_2"), jwks.ErrUnknownKey)
		s.set(rotated.Document(t))
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, find(t, r, "ins_3"), jwks.ErrUnknownKey)
		require.NoError(t, find(t, r, "ins_2"), "a fetch for another reason brings it")
	})
}

// TestAKeyNewerThanTheFetchInProgress: Clerk answered the fetch before it had the key, so the callers who joined the fetch ask again,
// once for all of them.
func TestAKeyNewerThanTheFetchInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		s.hold = make(chan struct{})
		renewed := make(chan bool)
		go func() { renewed <- r.Renew(t.Context()) }()
		synctest.Wait()
		joined, unknown := make(chan error), make(chan error)
		for range 10 {
			go func() { joined <- find(t, r, "ins_2") }()
			go func() { unknown <- find(t, r, "ins_3") }()
		}
		synctest.Wait()
		s.hold <- struct{}{}
		require.False(t, <-renewed)
		synctest.Wait()
		rotated := authtest.NewKeys()
		rotated.Rotate("ins_2", authtest.Key(1))
		s.set(rotated.Document(t))
		close(s.hold)
		for range 10 {
			require.NoError(t, <-joined)
			require.ErrorIs(t, <-unknown, jwks.ErrUnknownKey)
		}
		require.EqualValues(t, 3, s.calls.Load())
	})
}

// TestAFetchInProgressThatUsedTheBudget: who joined it and may not have another is told to come again.
func TestAFetchInProgressThatUsedTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		s.hold = make(chan struct{})
		first, joined := make(chan error), make(chan error)
		go func() { first <- find(t, r, "ins_3") }()
		synctest.Wait()
		go func() { joined <- find(t, r, "ins_2") }()
		synctest.Wait()
		close(s.hold)
		require.ErrorIs(t, <-first, jwks.ErrUnknownKey)
		requireUnavailable(t, <-joined)
		require.EqualValues(t, 2, s.calls.Load())
	})
}

// TestTheBudgetsAreSeparate: who forges signatures under a known key id does not keep a new key from being found.
func TestTheBudgetsAreSeparate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		require.False(t, r.Renew(t.Context()))
		rotated := authtest.NewKeys()
		rotated.Rotate("ins_2", authtest.Key(1))
		s.set(rotated.Document(t))
		require.False(t, r.Renew(t.Context()), "its budget is used up")
		require.NoError(t, find(t, r, "ins_2"), "this budget is not used up")

		again := authtest.NewKeys()
		s.set(again.Document(t))
		require.True(t, func() bool { time.Sleep(10 * time.Second); return r.Renew(t.Context()) }())
		require.EqualValues(t, 4, s.calls.Load())
	})
}

func TestTwoKeysUnderOneID(t *testing.T) {
	old, next := authtest.PublicJWK("ins_1", authtest.Key(0)), authtest.PublicJWK("ins_1", authtest.Key(1))
	for name, listed := range map[string][]any{"old first": {old, next}, "new first": {next, old}, "one of them twice": {old, next, old}} {
		t.Run(name, func(t *testing.T) {
			r, log := remoteOf(t, listed...)
			keys, err := r.Find(t.Context(), "ins_1")
			require.NoError(t, err)
			require.Len(t, keys, 2)
			for _, n := range []int{0, 1} {
				require.True(t, slices.ContainsFunc(keys, func(k *rsa.PublicKey) bool { return k.Equal(&authtest.Key(n).PublicKey) }))
			}
			require.Empty(t, log.String())
		})
	}
}

func TestANewKeyIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		rotated := authtest.NewKeys()
		rotated.Rotate("ins_2", authtest.Key(1))
		s.set(rotated.Document(t))
		require.NoError(t, find(t, r, "ins_2"))
		require.EqualValues(t, 1, s.changed.Load())
		requireUnavailable(t, find(t, r, "ins_3"))
		require.EqualValues(t, 2, s.calls.Load(), "the fetch that found the key has used the budget up")
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, find(t, r, "ins_1"), jwks.ErrUnknownKey, "a key that Clerk dropped is dropped here")
	})
}

func TestClerkDownKeepsServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.Run(ctx); close(ended) }()
		synctest.Wait()
		require.NoError(t, r.Ready())
		s.down.Store(true)
		begin := time.Now()
		for time.Since(begin) < 23*time.Hour+50*time.Minute {
			require.NoError(t, find(t, r, "ins_1"))
			time.Sleep(10 * time.Minute)
		}
		require.InDelta(t, 1+23*60+50-5, s.calls.Load(), 1, "once a minute: the failures have no growing backoff while a key is held")
		require.NoError(t, r.Ready(), "readiness does not depend on Clerk once a key is held")
		err := find(t, r, "ins_9")
		requireUnavailable(t, err)
		require.ErrorIs(t, err, errDown, "it could not be asked: no verdict")
		require.ErrorIs(t, find(t, r, "ins_9"), errDown, "the cause is Clerk, not the budget")

		time.Sleep(15 * time.Minute) // beyond the cap of 24 h
		requireUnavailable(t, find(t, r, "ins_1"))
		require.Error(t, r.Ready())
		age, held := r.Age()
		require.True(t, held)
		require.Greater(t, age, 24*time.Hour)

		s.down.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.NoError(t, find(t, r, "ins_1"), "and comes back by itself")
		stop()
		<-ended
	})
}

// TestKeysServeForMaxStale: keys serve for 24 h after the fetch, the bound included.
func TestKeysServeForMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		s.down.Store(true)
		time.Sleep(24 * time.Hour)
		require.NoError(t, find(t, r, "ins_1"))
		time.Sleep(time.Nanosecond)
		requireUnavailable(t, find(t, r, "ins_1"))
	})
}

// TestStaleKeysRefuseNoKeyID: an earlier negative answer does not count once the keys are too old to serve.
func TestStaleKeysRefuseNoKeyID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := jwks.NewRemote(s, jwks.Options{
			MaxStale: time.Minute, Timeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		})
		t.Cleanup(r.Close)
		require.ErrorIs(t, find(t, r, "ins_2"), jwks.ErrUnknownKey)
		s.down.Store(true)
		time.Sleep(2 * time.Minute)
		err := find(t, r, "ins_2")
		requireUnavailable(t, err)
		require.NotErrorIs(t, err, jwks.ErrUnknownKey)
	})
}

func TestWithoutAnyKeyIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		s.down.Store(true)
		r := s.remote(t)
		require.Error(t, r.Ready())
		_, held := r.Age()
		require.False(t, held)
		for range 1000 {
			requireUnavailable(t, find(t, r, "ins_1"))
		}
		require.EqualValues(t, 1, s.calls.Load(), "callers don't hammer a Clerk that is down")
		for range 1000 {
			time.Sleep(100 * time.Millisecond)
			requireUnavailable(t, find(t, r, "ins_1"))
		}
		require.Less(t, s.calls.Load(), int64(10), "ever more seldom, in 100 s")

		s.down.Store(false)
		time.Sleep(30 * time.Second)
		require.NoError(t, find(t, r, "ins_1"))
		require.NoError(t, r.Ready())

		time.Sleep(25 * time.Hour) // too old to serve: as if there had never been a key
		s.down.Store(true)
		before := s.calls.Load()
		requireUnavailable(t, find(t, r, "ins_1"))
		time.Sleep(time.Second)
		requireUnavailable(t, find(t, r, "ins_1"))
		require.Equal(t, before+2, s.calls.Load(), "after a success the backoff begins anew, at a second")
	})
}

// TestTheBackgroundFollowsTheBackoff: without any key the background does not wait a minute for the next attempt.
func TestTheBackgroundFollowsTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		s.down.Store(true)
		r := s.remote(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.Run(ctx); close(ended) }()
		time.Sleep(3500 * time.Millisecond)
		require.EqualValues(t, 3, s.calls.Load(), "at 0, 1 and 3 s")
		time.Sleep(27 * time.Second)
		require.EqualValues(t, 5, s.calls.Load(), "at 7 and 15 s too")
		s.down.Store(false)
		time.Sleep(time.Second)
		require.NoError(t, r.Ready(), "at 31 s")
		stop()
		<-ended
	})
}

func TestBackgroundRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.Run(ctx); close(ended) }()
		time.Sleep(time.Hour + time.Second)
		require.EqualValues(t, 13, s.calls.Load(), "at once and every five minutes")
		require.Zero(t, s.changed.Load(), "the same keys are not a change")
		require.NoError(t, find(t, r, "ins_1"))
		stop()
		<-ended
	})
}

func TestAHungClerkIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		s.hold = make(chan struct{})
		r := s.remote(t)
		begin := time.Now()
		err := find(t, r, "ins_1")
		requireUnavailable(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(begin))
	})
}

func TestCloseEndsAFetchAndRefusesMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		s.hold = make(chan struct{})
		r := s.remote(t)
		result := make(chan error)
		go func() { result <- find(t, r, "ins_1") }()
		synctest.Wait()
		r.Close()
		requireUnavailable(t, <-result)
		requireUnavailable(t, find(t, r, "ins_1"))
		require.False(t, r.Renew(t.Context()))
		r.Run(t.Context())
	})
}

func TestRenewIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		require.False(t, r.Renew(t.Context()), "nothing changed")
		rotated := authtest.NewKeys()
		rotated.Rotate("ins_1", authtest.Key(1))
		s.set(rotated.Document(t))
		for range 100 {
			require.False(t, r.Renew(t.Context()), "asked less than ten seconds ago")
		}
		time.Sleep(10 * time.Second)
		require.True(t, r.Renew(t.Context()))
		require.EqualValues(t, 3, s.calls.Load())
		require.EqualValues(t, 1, s.changed.Load())
	})
}

func TestABrokenDocumentReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		for _, document := range []string{"", "<html>", "[]", "{}", `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AA","kid":"ins_1"}]}`} {
			s.set([]byte(document))
			time.Sleep(time.Minute)
			require.False(t, r.Renew(t.Context()))
			require.NoError(t, find(t, r, "ins_1"))
			requireUnavailable(t, find(t, r, "ins_9"))
		}
	})
}
