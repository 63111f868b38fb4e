package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/services/auth/internal/clerktest"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a Clerk that counts, fails and waits as told.
type source struct {
	calls   atomic.Int64
	down    atomic.Bool
	hold    chan struct{} // when set, an answer waits for it, or for its context
	changed atomic.Int64
	mu      sync.Mutex
	answer  []byte
}

var errDown = errors.New("connection refused")

func newSource(t *testing.T) *source { return &source{answer: clerktest.New().Document(t)} }

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
		leave() // the first caller's leaving is nobody else's loss
		require.ErrorIs(t, <-results, context.Canceled)
		close(s.hold)
		for range 49 {
			require.NoError(t, <-results)
		}
		require.EqualValues(t, 1, s.calls.Load())
	})
}

func TestRandomKeyIDsFetchOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		for minute := range 3 {
			for n := range 10_000 {
				require.ErrorIs(t, find(t, r, fmt.Sprintf("ins_%d_%d", minute, n)), jwks.ErrUnknownKey)
			}
			require.EqualValues(t, minute+2, s.calls.Load())
			time.Sleep(time.Minute)
		}
		cold := newSource(t)
		r = cold.remote(t)
		for n := range 10_000 {
			require.ErrorIs(t, find(t, r, fmt.Sprintf("ins_%d", n+2)), jwks.ErrUnknownKey)
		}
		require.EqualValues(t, 1, cold.calls.Load())
	})
}

func TestANewKeyIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		r := s.remote(t)
		require.NoError(t, find(t, r, "ins_1"))
		rotated := clerktest.New()
		rotated.Rotate("ins_2", clerktest.Key(1))
		s.set(rotated.Document(t))
		require.NoError(t, find(t, r, "ins_2"))
		require.EqualValues(t, 1, s.changed.Load())
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
		require.NoError(t, r.Ready(), "readiness does not depend on Clerk once a key is held")
		err := find(t, r, "ins_9")
		requireUnavailable(t, err)
		require.ErrorIs(t, err, errDown, "it could not be asked: no verdict")

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
		require.Zero(t, s.changed.Load(), "the same keys are no change")
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
		rotated := clerktest.New()
		rotated.Rotate("ins_1", clerktest.Key(1))
		s.set(rotated.Document(t))
		for range 100 {
			require.False(t, r.Renew(t.Context()), "asked less than a minute ago")
		}
		time.Sleep(time.Minute)
		require.True(t, r.Renew(t.Context()))
		require.EqualValues(t, 3, s.calls.Load())
		require.EqualValues(t, 1, s.changed.Load())
		require.ErrorIs(t, find(t, r, "ins_9"), jwks.ErrUnknownKey)
		require.EqualValues(t, 3, s.calls.Load(), "unknown ids and bad signatures share the one fetch a minute")
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
