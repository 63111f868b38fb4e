package revocation_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store in memory that can fail.
type memory struct {
	mu     sync.Mutex
	all    []revocation.Revocation
	down   error
	hangs  bool
	pruned []time.Time
}

func (m *memory) Revision(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.all)), m.down
}

func (m *memory) Since(ctx context.Context, revision int64, limit int) ([]revocation.Revocation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hangs {
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return nil, ctx.Err()
	}
	if m.down != nil {
		return nil, m.down
	}
	news := m.all[min(revision, int64(len(m.all))):]
	return news[:min(limit, len(news))], nil
}

func (m *memory) Revoke(_ context.Context, r revocation.Revocation, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Revision = int64(len(m.all)) + 1
	m.all = append(m.all, r)
	return nil
}

func (m *memory) Prune(_ context.Context, before time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pruned = append(m.pruned, before)
	return nil
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
}

func running(t *testing.T, m *memory) (feed *revocation.Feed, stop func()) {
	t.Helper()
	feed = revocation.NewFeed(m, time.Now, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { feed.Run(ctx); close(ended) }()
	return feed, func() { cancel(); <-ended }
}

func revoke(t *testing.T, m *memory, user string) {
	t.Helper()
	require.NoError(t, m.Revoke(t.Context(), revocation.Revocation{UserID: user}, time.Now()))
}

func TestFeedTellsWhatComesAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		revoke(t, m, "before")
		feed, stop := running(t, m)
		s, err := feed.Subscribe(t.Context())
		require.NoError(t, err)
		defer s.Close()
		begin := time.Now()
		revoke(t, m, "other replica")
		news, err := s.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, []revocation.Revocation{{Revision: 2, UserID: "other replica"}}, news)
		require.LessOrEqual(t, time.Since(begin), 500*time.Millisecond)

		begin = time.Now()
		revoke(t, m, "this process")
		feed.Wake()
		news, err = s.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, "this process", news[0].UserID)
		require.Zero(t, time.Since(begin), "at once")
		stop()
		_, err = s.Next(t.Context())
		require.ErrorIs(t, err, revocation.ErrEnded)
		_, err = feed.Subscribe(t.Context())
		require.ErrorIs(t, err, revocation.ErrEnded)
	})
}

func TestFeedMissesNothingWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{down: errors.New("down")}
		feed, stop := running(t, m)
		defer stop()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := feed.Subscribe(short)
		require.ErrorIs(t, err, context.DeadlineExceeded, "a subscriber is not told that the watch has begun before it has")
		m.fail(nil)
		s, err := feed.Subscribe(t.Context())
		require.NoError(t, err)
		defer s.Close()
		m.fail(errors.New("down"))
		revoke(t, m, "a")
		time.Sleep(time.Minute)
		revoke(t, m, "b")
		m.fail(nil)
		news, err := s.Next(t.Context())
		require.NoError(t, err)
		require.Len(t, news, 2)
		ctx, leave := context.WithCancel(t.Context())
		leave()
		_, err = s.Next(ctx)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestARestoreOfAnOlderDatabaseEmptiesCaches: the revocations after the restore have numbers that the feed has handed out before.
func TestARestoreOfAnOlderDatabaseEmptiesCaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		feed, stop := running(t, m)
		defer stop()
		s, err := feed.Subscribe(t.Context())
		require.NoError(t, err)
		for range 3 {
			revoke(t, m, "a")
		}
		for seen := 0; seen < 3; {
			news, err := s.Next(t.Context())
			require.NoError(t, err)
			seen += len(news)
		}
		m.mu.Lock()
		m.all = m.all[:1]
		m.mu.Unlock()
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		for err == nil {
			_, err = s.Next(short)
		}
		require.ErrorIs(t, err, revocation.ErrEnded)
		s, err = feed.Subscribe(t.Context())
		require.NoError(t, err)
		defer s.Close()
		revoke(t, m, "after the restore")
		news, err := s.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, []revocation.Revocation{{Revision: 2, UserID: "after the restore"}}, news)
	})
}

// beats counts the heartbeats that come within d.
func beats(t *testing.T, s *revocation.Subscription, d time.Duration) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	for {
		news, err := s.Next(ctx)
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return n
		}
		require.Empty(t, news)
		n++
	}
}

func TestAHeartbeatComesEachSecondWhileTheStoreCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		feed, stop := running(t, m)
		defer stop()
		s, err := feed.Subscribe(t.Context())
		require.NoError(t, err)
		defer s.Close()
		require.InDelta(t, 60, beats(t, s, time.Minute+time.Second/2), 1)
		for name, breaking := range map[string]func(*memory){
			"the store fails": func(m *memory) { m.down = errors.New("down") },
			"the store hangs": func(m *memory) { m.hangs = true },
		} {
			m.mu.Lock()
			breaking(m)
			m.mu.Unlock()
			require.LessOrEqual(t, beats(t, s, 10*time.Second), 1, name)
			short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err = feed.Subscribe(short)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, "%s: no subscriber is told that the watch has begun", name)
			m.mu.Lock()
			m.down, m.hangs = nil, false
			m.mu.Unlock()
			require.GreaterOrEqual(t, beats(t, s, 10*time.Second), 8, name)
			other, err := feed.Subscribe(t.Context())
			require.NoError(t, err)
			other.Close()
		}
	})
}

func TestWhoWaitsToSubscribeHearsOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, stop := running(t, &memory{down: errors.New("down")})
		ended := make(chan error, 1)
		go func() { _, err := feed.Subscribe(t.Context()); ended <- err }()
		synctest.Wait()
		stop()
		require.ErrorIs(t, <-ended, revocation.ErrEnded)
	})
}

func TestASlowSubscriberIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		feed, stop := running(t, m)
		defer stop()
		slow, err := feed.Subscribe(t.Context())
		require.NoError(t, err)
		quick, err := feed.Subscribe(t.Context())
		require.NoError(t, err)
		for range 100 {
			revoke(t, m, "a")
			feed.Wake()
			_, err := quick.Next(t.Context())
			require.NoError(t, err)
		}
		for err == nil {
			_, err = slow.Next(t.Context())
		}
		require.ErrorIs(t, err, revocation.ErrEnded)
		slow.Close()
		quick.Close()
	})
}

func TestFeedCatchesUpInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		feed, stop := running(t, m)
		defer stop()
		s, err := feed.Subscribe(t.Context())
		require.NoError(t, err)
		defer s.Close()
		m.fail(errors.New("down"))
		for range 1700 {
			revoke(t, m, "a")
		}
		m.fail(nil)
		seen := 0
		for seen < 1700 {
			news, err := s.Next(t.Context())
			require.NoError(t, err)
			seen += len(news)
		}
		require.Equal(t, 1700, seen)
	})
}

func TestOldRevocationsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		_, stop := running(t, m)
		time.Sleep(3*time.Hour + time.Minute)
		stop()
		require.Len(t, m.pruned, 3)
		require.Equal(t, 7*24*time.Hour, time.Since(m.pruned[2]).Truncate(time.Hour))
	})
}
