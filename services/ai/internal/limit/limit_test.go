package limit_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
)

// clock is a clock that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// each runs a test with each limiter. Both must decide the same.
func each(t *testing.T, test func(t *testing.T, m limit.Limiter, c *clock)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		m, c := newMemory(t)
		test(t, m, c)
	})
	t.Run("redis", func(t *testing.T) {
		c := &clock{time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
		test(t, newRedis(t, redistest.New(t), c), c)
	})
}

// newRedis makes a limiter that waits for Redis as long as a busy machine needs.
func newRedis(t *testing.T, server *redistest.Server, c *clock) *limit.Redis {
	t.Helper()
	return newRedisWithin(t, server, c, 30*time.Second)
}

// newRedisWithin is newRedis with another bound of each wait; 0 is the usual one.
func newRedisWithin(t *testing.T, server *redistest.Server, c *clock, timeout time.Duration) *limit.Redis {
	t.Helper()
	options := limit.RedisOptions{URL: server.URL(), Timeout: timeout}
	if c != nil {
		options.Now = c.now
	}
	r, err := limit.NewRedis(options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func newMemory(t testing.TB) (*limit.Memory, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	m, err := limit.NewMemory(100, c.now)
	require.NoError(t, err)
	return m, c
}

// refused returns the limit that refused and how long it says to wait.
func refused(t testing.TB, err error) (string, time.Duration) {
	t.Helper()
	require.Error(t, err)
	e := errs.From(err)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, e.Reason)
	require.Positive(t, e.RetryAfter)
	require.LessOrEqual(t, e.RetryAfter, 2*limit.Minute)
	return e.Metadata["limit"], e.RetryAfter
}

func TestRequestsPerMinute(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		ask := limit.Ask{Account: "a", AccountRequests: 3}
		for range 3 {
			_, err := m.Admit(t.Context(), ask)
			require.NoError(t, err)
			c.at = c.at.Add(time.Second)
		}
		_, err := m.Admit(t.Context(), ask)
		name, wait := refused(t, err)
		require.Equal(t, "requests_per_minute", name)
		require.Equal(t, "3", errs.From(err).Metadata["allowed"])
		_, err = m.Admit(t.Context(), limit.Ask{Account: "b", AccountRequests: 3})
		require.NoError(t, err, "another account")

		c.at = c.at.Add(wait - time.Millisecond)
		_, err = m.Admit(t.Context(), ask)
		require.Error(t, err, "a moment before the told time")
		c.at = c.at.Add(time.Millisecond)
		_, err = m.Admit(t.Context(), ask)
		require.NoError(t, err, "at the told time")
		c.at = c.at.Add(time.Hour)
		for range 3 {
			_, err = m.Admit(t.Context(), ask)
			require.NoError(t, err, "a fresh minute")
		}
	})
}

// TestAMillisecondTooEarlyIsRefused fills a minute and looks at the first moments of the next one at which its share
// leaves room, worked out by the definition.
func TestAMillisecondTooEarlyIsRefused(t *testing.T) {
	for most := int64(1); most <= 50; most++ {
		for used := int64(1); used <= most; used++ {
			m, c := newMemory(t)
			ask := limit.Ask{Account: "a", AccountRequests: most}
			begin := c.at
			for range most {
				_, err := m.Admit(t.Context(), ask)
				require.NoError(t, err)
			}
			// After d milliseconds of the next minute, the past counts most·(60,000-d)/60,000.
			d := int64(0)
			for most*(60_000-d) > (most-used)*60_000 {
				d++
			}
			at := begin.Add(limit.Minute + time.Duration(d)*time.Millisecond)
			for n := range used {
				c.at = at.Add(-time.Millisecond)
				if n == used-1 {
					_, err := m.Admit(t.Context(), ask)
					require.Error(t, err, "limit %d, request %d, a millisecond early", most, used)
				}
				c.at = at
				_, err := m.Admit(t.Context(), ask)
				require.NoError(t, err, "limit %d, request %d", most, used)
			}
		}
	}
}

func TestARefusedCallCountsNothing(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		both := limit.Ask{Account: "a", AccountRequests: 5, Keys: []limit.Key{{ID: "k", Requests: 1}}}
		_, err := m.Admit(t.Context(), both)
		require.NoError(t, err)
		for range 10 {
			_, err = m.Admit(t.Context(), both)
			name, _ := refused(t, err)
			require.Equal(t, "api_key_requests_per_minute", name)
		}
		for range 4 {
			_, err = m.Admit(t.Context(), limit.Ask{Account: "a", AccountRequests: 5})
			require.NoError(t, err)
		}
	})
}

// TestKeyLimitIncludesDescendants: a key, what it made and what that made share the limit of the first.
func TestKeyLimitIncludesDescendants(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, clock *clock) {
		parent, free := limit.Key{ID: "parent", Requests: 5}, limit.Key{ID: "unlimited"}
		admit := func(keys ...limit.Key) error {
			_, err := m.Admit(t.Context(), limit.Ask{Account: "a", AccountRequests: 1000, Keys: keys})
			return err
		}
		require.NoError(t, admit(parent))
		require.NoError(t, admit(limit.Key{ID: "child", Requests: 2}, parent))
		require.NoError(t, admit(limit.Key{ID: "child", Requests: 2}, parent))
		name, _ := refused(t, admit(limit.Key{ID: "child", Requests: 2}, parent))
		require.Equal(t, "api_key_requests_per_minute", name, "the child's own limit")
		require.NoError(t, admit(limit.Key{ID: "other"}, parent), "the refused call counted nowhere")
		require.NoError(t, admit(limit.Key{ID: "grandchild"}, free, parent))
		for _, keys := range [][]limit.Key{
			{parent}, {{ID: "new"}, parent}, {{ID: "grandchild"}, free, parent}, {{ID: "child", Requests: 2}, parent},
		} {
			name, _ = refused(t, admit(keys...))
			require.Equal(t, "api_key_requests_per_minute", name)
		}
		require.NoError(t, admit(limit.Key{ID: "stranger", Requests: 1}))
		clock.at = clock.at.Add(2 * time.Minute)
		require.NoError(t, admit(limit.Key{ID: "grandchild"}, free, parent))
	})
}

func TestConcurrentCalls(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		ask := limit.Ask{Account: "a", Concurrent: 2}
		first, err := m.Admit(t.Context(), ask)
		require.NoError(t, err)
		_, err = m.Admit(t.Context(), ask)
		require.NoError(t, err)
		_, err = m.Admit(t.Context(), ask)
		name, _ := refused(t, err)
		require.Equal(t, "concurrent_requests", name)
		first.Done(0)
		first.Done(0) // a second time gives nothing back
		_, err = m.Admit(t.Context(), ask)
		require.NoError(t, err)
		_, err = m.Admit(t.Context(), ask)
		require.Error(t, err)
	})
}

func TestTokensPerMinute(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		ask := limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 60}
		first, err := m.Admit(t.Context(), ask)
		require.NoError(t, err)
		_, err = m.Admit(t.Context(), ask)
		name, _ := refused(t, err)
		require.Equal(t, "tokens_per_minute", name)
		first.Done(10) // it used less than it might have
		second, err := m.Admit(t.Context(), ask)
		require.NoError(t, err)
		second.Done(90) // more than it said
		_, err = m.Admit(t.Context(), limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 1})
		_, wait := refused(t, err)
		c.at = c.at.Add(wait)
		_, err = m.Admit(t.Context(), limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 1})
		require.NoError(t, err)

		large := limit.Ask{Account: "large", TokensPerMinute: 100, Tokens: 5_000}
		alone, err := m.Admit(t.Context(), large)
		require.NoError(t, err, "a call above the limit runs alone")
		_, err = m.Admit(t.Context(), large)
		require.Error(t, err)
		alone.Done(20)
		c.at = c.at.Add(2 * limit.Minute)
		_, err = m.Admit(t.Context(), large)
		require.NoError(t, err)
	})
}

func TestTokensAreGivenBackToTheirOwnMinute(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		ask := limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 100}
		long, err := m.Admit(t.Context(), ask)
		require.NoError(t, err)
		c.at = c.at.Add(limit.Minute)
		_, err = m.Admit(t.Context(), ask)
		require.Error(t, err, "the minute before still counts")
		long.Done(0)
		next, err := m.Admit(t.Context(), ask)
		require.NoError(t, err)
		c.at = c.at.Add(10 * limit.Minute)
		next.Done(0)
		again, err := m.Admit(t.Context(), ask)
		require.NoError(t, err)
		again.Done(100)
		_, err = m.Admit(t.Context(), ask)
		require.Error(t, err, "what was given back late did not make room twice")
	})
}

func TestExactlyTheLimitPassesUnderConcurrency(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		var passed atomic.Int64
		var callers sync.WaitGroup
		for range 300 {
			callers.Go(func() {
				if _, err := m.Admit(context.Background(), limit.Ask{Account: "a", AccountRequests: 20}); err == nil {
					passed.Add(1)
				}
			})
		}
		callers.Wait()
		require.EqualValues(t, 20, passed.Load())
	})
}

func TestMemoryIsBounded(t *testing.T) {
	m, _ := newMemory(t)
	for i := range 10_000 {
		ticket, err := m.Admit(t.Context(), limit.Ask{Account: fmt.Sprint(i), AccountRequests: 1, Keys: []limit.Key{{ID: fmt.Sprint(i), Requests: 1}}, Concurrent: 1})
		require.NoError(t, err)
		defer ticket.Done(1) // an account that was forgotten meanwhile does no harm
	}
	_, err := limit.NewMemory(0, time.Now)
	require.Error(t, err)
}

// TestWaitIsExactForRandomCalls drives one account at random: a refusal's delay is enough, and no window of a
// minute that begins with a window of the limiter holds more than the limit.
func TestWaitIsExactForRandomCalls(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m, c := newMemory(t)
		most := rapid.Int64Range(1, 20).Draw(r, "limit")
		ask := limit.Ask{Account: "a", AccountRequests: most}
		var passed []time.Time
		for range rapid.IntRange(1, 100).Draw(r, "calls") {
			c.at = c.at.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(r, "step")))
			if _, err := m.Admit(context.Background(), ask); err != nil {
				_, wait := refused(t, err)
				c.at = c.at.Add(wait)
				_, err := m.Admit(context.Background(), ask)
				require.NoError(t, err, "after the wait that was told")
			}
			passed = append(passed, c.at)
			recent := 0
			for _, at := range passed {
				if c.at.Sub(at) < limit.Minute {
					recent++
				}
			}
			require.LessOrEqual(t, int64(recent), 2*most, "never twice the limit within any minute")
		}
	})
}

func BenchmarkAdmit(b *testing.B) {
	m, err := limit.NewMemory(1000, time.Now)
	require.NoError(b, err)
	ask := limit.Ask{Account: "a", Keys: []limit.Key{{ID: "k", Requests: 1 << 40}}, AccountRequests: 1 << 40, TokensPerMinute: 1 << 50, Concurrent: 10, Tokens: 100}
	b.ReportAllocs()
	for b.Loop() {
		ticket, err := m.Admit(b.Context(), ask)
		if err != nil {
			b.Fatal(err)
		}
		ticket.Done(50)
	}
}

// TestALongCallCountsWhenItEnds: what a call used beyond what it took is used now, not in the minute in which it began.
func TestALongCallCountsWhenItEnds(t *testing.T) {
	for _, length := range []time.Duration{0, limit.Minute, 90 * time.Second, 5 * limit.Minute} {
		m, c := newMemory(t)
		ask := limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 10}
		long, err := m.Admit(t.Context(), ask)
		require.NoError(t, err)
		c.at = c.at.Add(length)
		long.Done(110)
		_, err = m.Admit(t.Context(), ask)
		name, _ := refused(t, err)
		require.Equal(t, "tokens_per_minute", name, length)
	}
}

// TestLateCorrectionDoesNotFreeTokens: the minute in which it was taken is over, and another call has used the present one.
func TestLateCorrectionDoesNotFreeTokens(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		long, err := m.Admit(t.Context(), limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 90})
		require.NoError(t, err)
		c.at = c.at.Add(10 * limit.Minute)
		other, err := m.Admit(t.Context(), limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 60})
		require.NoError(t, err)
		other.Done(60)
		long.Done(0)
		_, err = m.Admit(t.Context(), limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 41})
		_, _ = refused(t, err)
		_, err = m.Admit(t.Context(), limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 40})
		require.NoError(t, err)
	})
}

// TestAKeyIsNotAnAccount though it has the same id.
func TestAKeyIsNotAnAccount(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		for range 3 {
			_, err := m.Admit(t.Context(), limit.Ask{Account: "same", AccountRequests: 6})
			require.NoError(t, err)
			_, err = m.Admit(t.Context(), limit.Ask{Account: "same", AccountRequests: 6, Keys: []limit.Key{{ID: "same", Requests: 3}}})
			require.NoError(t, err)
		}
		_, err := m.Admit(t.Context(), limit.Ask{Account: "same", AccountRequests: 6})
		name, _ := refused(t, err)
		require.Equal(t, "requests_per_minute", name)
	})
}
