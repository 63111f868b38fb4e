package directory_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a Clerk that counts the calls, and can fail or hang.
type source struct {
	mu     sync.Mutex
	calls  map[string]int
	answer func(ctx context.Context, id string) error
}

func (s *source) call(ctx context.Context, id string) error {
	s.mu.Lock()
	s.calls[id]++
	answer := s.answer
	s.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(ctx, id)
}

func (s *source) User(ctx context.Context, id string) (directory.User, error) {
	if !strings.HasPrefix(id, "user_") {
		return directory.User{}, errors.New("not a user")
	}
	return directory.User{ID: id}, s.call(ctx, id)
}

func (s *source) Organization(ctx context.Context, id string) (directory.Organization, error) {
	if !strings.HasPrefix(id, "org_") {
		return directory.Organization{}, errors.New("not an organization")
	}
	return directory.Organization{ID: id}, s.call(ctx, id)
}

func (s *source) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[id]
}

// kept is a store that remembers what was put.
type kept struct {
	directory.Store
	mu  sync.Mutex
	ids map[string]bool
}

func (k *kept) put(id string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids[id] = true
	return true, nil
}

func (k *kept) PutUser(_ context.Context, u directory.User) (bool, error) { return k.put(u.ID) }
func (k *kept) PutOrganization(_ context.Context, o directory.Organization) (bool, error) {
	return k.put(o.ID)
}

func (k *kept) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids[id]
}

func running(t *testing.T, answer func(context.Context, string) error) (*directory.Completer, *source, *kept, func()) {
	t.Helper()
	s, k := &source{calls: map[string]int{}, answer: answer}, &kept{ids: map[string]bool{}}
	c, err := directory.NewCompleter(k, s, time.Now, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { c.Run(ctx); close(ended) }()
	return c, s, k, func() { cancel(); <-ended }
}

func TestConcurrentRequestsShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, k, stop := running(t, nil)
		defer stop()
		for range 100 {
			c.User("user_1")
			c.Organization("org_1")
		}
		synctest.Wait()
		require.True(t, k.has("user_1"))
		require.True(t, k.has("org_1"))
		c.User("user_1") // a request that had looked before the answer came
		synctest.Wait()
		require.Equal(t, 1, s.count("user_1"))
		require.Equal(t, 1, s.count("org_1"))
		time.Sleep(time.Minute)
		c.User("user_1")
		synctest.Wait()
		require.Equal(t, 2, s.count("user_1"))
	})
}

func TestTransientFailuresAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failures int
		c, s, k, stop := running(t, func(context.Context, string) error {
			if failures++; failures <= 2 {
				return &directory.RetryError{After: 7 * time.Second, Cause: errors.New("429")}
			}
			return nil
		})
		defer stop()
		begin := time.Now()
		c.User("user_1")
		synctest.Wait()
		for !k.has("user_1") {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		require.Equal(t, 3, s.count("user_1"))
		require.GreaterOrEqual(t, time.Since(begin), 14*time.Second, "as late as Clerk asked")
	})
}

// TestALongPauseIsCut: a worker does not wait for an hour because Clerk says so.
func TestALongPauseIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _, stop := running(t, func(context.Context, string) error {
			return &directory.RetryError{After: time.Hour, Cause: errors.New("429")}
		})
		defer stop()
		c.User("user_1")
		time.Sleep(29 * time.Second)
		require.Equal(t, 1, s.count("user_1"))
		time.Sleep(2 * time.Second)
		require.Equal(t, 2, s.count("user_1"), "after 30 s and a second of jitter at most")
	})
}

func TestGivesUpAndWaitsForTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, k, stop := running(t, func(_ context.Context, id string) error {
			if id == "user_gone" {
				return directory.ErrNotFound
			}
			return &directory.RetryError{Cause: errors.New("down")}
		})
		defer stop()
		c.User("user_gone")
		c.User("user_1")
		time.Sleep(30 * time.Second)
		require.Equal(t, 1, s.count("user_gone"), "a clear no is not asked again")
		require.Equal(t, 3, s.count("user_1"))
		require.False(t, k.has("user_1"))
	})
}

// TestWhatFoundNoPlaceIsAskedAgain: the next request has what the full queue did not take read, without waiting a minute.
func TestWhatFoundNoPlaceIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c, s, _, stop := running(t, func(ctx context.Context, _ string) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		defer stop()
		for n := range 2000 {
			c.User(fmt.Sprint("user_", n))
			if n == 100 {
				synctest.Wait() // every worker is busy, so that none makes room in the full queue later
			}
		}
		c.User("user_last")
		close(release)
		synctest.Wait()
		require.Zero(t, s.count("user_last"))
		c.User("user_last")
		synctest.Wait()
		require.Equal(t, 1, s.count("user_last"))
	})
}

func TestTheQueueIsBoundedAndNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _, stop := running(t, func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		begin := time.Now()
		for n := range 5000 {
			c.User(fmt.Sprint("user_", n))
		}
		require.Zero(t, time.Since(begin))
		time.Sleep(time.Second)
		stop() // and Run returns although Clerk hangs
		require.LessOrEqual(t, len(s.calls), 4)
	})
}
