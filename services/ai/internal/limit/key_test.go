package limit_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
)

// tryKeys admits a call of an account without limits.
func tryKeys(t testing.TB, m limit.Limiter, tokens int64, stream bool, keys ...limit.Key) (limit.Ticket, error) {
	t.Helper()
	return m.Admit(t.Context(), limit.Ask{Account: "a", Tokens: tokens, Stream: stream, Keys: keys})
}

func TestKeyRequestsPerDay(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		c.at = time.Date(2026, 11, 23, 23, 59, 0, 0, time.FixedZone("", 3600)) // 22:59 UTC
		key, child := limit.Key{ID: "k", RequestsPerDay: 3}, limit.Key{ID: "child"}
		for _, keys := range [][]limit.Key{{key}, {child, key}, {key}} {
			_, err := tryKeys(t, m, 0, false, keys...)
			require.NoError(t, err)
		}
		for _, keys := range [][]limit.Key{{key}, {child, key}} {
			_, err := tryKeys(t, m, 0, false, keys...)
			e := errs.From(err)
			require.Equal(t, map[string]string{"limit": "api_key_requests_per_day", "allowed": "3", "remaining": "0"}, e.Metadata)
			require.Equal(t, 61*time.Minute, e.RetryAfter, "until midnight in UTC")
		}
		_, err := tryKeys(t, m, 0, false, child)
		require.NoError(t, err, "a refused call counts nowhere")
		c.at = c.at.Add(61*time.Minute - time.Millisecond)
		_, err = tryKeys(t, m, 0, false, key)
		require.Error(t, err)
		c.at = c.at.Add(time.Millisecond)
		for range 3 {
			_, err = tryKeys(t, m, 0, false, key)
			require.NoError(t, err, "the next day")
		}
		_, err = tryKeys(t, m, 0, false, key)
		require.Error(t, err)
	})
}

func TestKeyTokensPerMinute(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		key := limit.Key{ID: "k", TokensPerMinute: 100}
		first, err := tryKeys(t, m, 60, false, key)
		require.NoError(t, err)
		_, err = tryKeys(t, m, 60, false, key)
		name, _ := refused(t, err)
		require.Equal(t, "api_key_tokens_per_minute", name)
		require.Equal(t, "40", remaining(err))
		first.Done(10)
		second, err := tryKeys(t, m, 60, false, key)
		require.NoError(t, err, "the first call used less than it could")
		second.Done(90)
		_, err = tryKeys(t, m, 1, false, key)
		_, wait := refused(t, err)
		c.at = c.at.Add(wait - time.Millisecond)
		_, err = tryKeys(t, m, 1, false, key)
		require.Error(t, err)
		c.at = c.at.Add(time.Millisecond)
		_, err = tryKeys(t, m, 1, false, key)
		require.NoError(t, err)

		large := limit.Key{ID: "large", TokensPerMinute: 100}
		alone, err := tryKeys(t, m, 5000, false, large)
		require.NoError(t, err, "a call above the limit runs alone")
		_, err = tryKeys(t, m, 1, false, large)
		require.Error(t, err)
		alone.Done(0)
		_, err = tryKeys(t, m, 100, false, large)
		require.NoError(t, err)
	})
}

// TestALimitOfTokensThatIsSetLater knows what the key used before.
func TestALimitOfTokensThatIsSetLater(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		ticket, err := tryKeys(t, m, 500, false, limit.Key{ID: "k"})
		require.NoError(t, err)
		ticket.Done(70)
		_, err = tryKeys(t, m, 31, false, limit.Key{ID: "k", TokensPerMinute: 100})
		name, _ := refused(t, err)
		require.Equal(t, "api_key_tokens_per_minute", name)
		_, err = tryKeys(t, m, 30, false, limit.Key{ID: "k", TokensPerMinute: 100})
		require.NoError(t, err)
	})
}

// TestTheTokensOfAParent are those of all keys that it made.
func TestTheTokensOfAParent(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		parent := limit.Key{ID: "parent", TokensPerMinute: 100}
		one, err := tryKeys(t, m, 60, false, limit.Key{ID: "one", TokensPerMinute: 80}, parent)
		require.NoError(t, err)
		_, err = tryKeys(t, m, 60, false, limit.Key{ID: "two", TokensPerMinute: 80}, parent)
		_, _ = refused(t, err)
		require.True(t, strings.HasPrefix(errs.From(err).Message, "An API key that made this one allows 100 tokens per minute"), errs.From(err).Message)
		require.Equal(t, "100", errs.From(err).Metadata["allowed"])
		one.Done(20)
		_, err = tryKeys(t, m, 80, false, limit.Key{ID: "two", TokensPerMinute: 80}, parent)
		require.NoError(t, err, "the correction reached the parent")
		_, err = tryKeys(t, m, 0, false, limit.Key{ID: "one", TokensPerMinute: 80}, parent)
		require.NoError(t, err, "a call without tokens")
	})
}

// TestStreamsCountApart from other calls, for the account and for each key.
func TestStreamsCountApart(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		for name, ask := range map[string]limit.Ask{
			"concurrent_streams":         {Account: "plan", Streams: 2},
			"api_key_concurrent_streams": {Account: "key", Keys: []limit.Key{{ID: "k", Streams: 2}}},
		} {
			stream := ask
			stream.Stream = true
			for range 3 {
				admit(t, m, ask) // calls that are not streams
			}
			first, second := admit(t, m, stream), admit(t, m, stream)
			_, err := m.Admit(t.Context(), stream)
			got, wait := refused(t, err)
			require.Equal(t, name, got)
			require.Equal(t, "2", errs.From(err).Metadata["allowed"])
			require.Equal(t, time.Second, wait)
			ended := admit(t, m, ask)
			ended.Done(0) // the end of another call frees no stream
			_, err = m.Admit(t.Context(), stream)
			require.Error(t, err)
			first.Done(0)
			first.Done(0) // a second time gives nothing back
			admit(t, m, stream)
			_, err = m.Admit(t.Context(), stream)
			require.Error(t, err)
			second.Done(0)
		}
		both := limit.Ask{Account: "both", Concurrent: 2, Streams: 1}
		admit(t, m, limit.Ask{Account: "both", Concurrent: 2, Streams: 1, Stream: true})
		admit(t, m, both)
		_, err := m.Admit(t.Context(), both)
		name, _ := refused(t, err)
		require.Equal(t, "concurrent_requests", name, "a stream is a call")
	})
}

// TestTheStreamsOfAParent are those of all keys that it made.
func TestTheStreamsOfAParent(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		parent := limit.Key{ID: "parent", Streams: 1}
		one, err := tryKeys(t, m, 0, true, limit.Key{ID: "one"}, parent)
		require.NoError(t, err)
		_, err = tryKeys(t, m, 0, true, limit.Key{ID: "two"}, parent)
		name, _ := refused(t, err)
		require.Equal(t, "api_key_concurrent_streams", name)
		one.Done(0)
		_, err = tryKeys(t, m, 0, true, limit.Key{ID: "two"}, parent)
		require.NoError(t, err)
	})
}

// TestExactlyTheLimitOfAKeyPasses, whichever limit it is, when 200 calls come at once.
func TestExactlyTheLimitOfAKeyPasses(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, _ *clock) {
		for name, key := range map[string]limit.Key{
			"api_key_requests_per_minute": {ID: "minute", Requests: 20}, "api_key_requests_per_day": {ID: "day", RequestsPerDay: 20},
			"api_key_tokens_per_minute": {ID: "tokens", TokensPerMinute: 200}, "api_key_concurrent_streams": {ID: "streams", Streams: 20},
		} {
			var passed, refusals atomic.Int64
			var callers sync.WaitGroup
			for range 200 {
				callers.Go(func() {
					switch _, err := tryKeys(t, m, 10, true, key); {
					case err == nil:
						passed.Add(1)
					case errs.From(err).Metadata["limit"] == name:
						refusals.Add(1)
					}
				})
			}
			callers.Wait()
			require.EqualValues(t, 20, passed.Load(), name)
			require.EqualValues(t, 180, refusals.Load(), name)
		}
	})
}

// TestAnOlderReplicaShortensNoDay: older versions let the hash of an API key expire after three minutes. They must not know the
// name of the one that has the count of the day.
func TestAnOlderReplicaShortensNoDay(t *testing.T) {
	server := redistest.New(t)
	m := newRedis(t, server, nil)
	key := limit.Key{ID: "k", RequestsPerDay: 1}
	_, err := tryKeys(t, m, 0, true, key)
	require.NoError(t, err)
	options, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	older := redis.NewClient(options)
	defer func() { require.NoError(t, older.Close()) }()
	known, err := older.PExpire(t.Context(), "trivet:limit:{a}:key:k", time.Millisecond).Result()
	require.NoError(t, err)
	require.False(t, known)
	life, err := older.PTTL(t.Context(), "trivet:limit:{a}:k2:k").Result()
	require.NoError(t, err)
	require.Greater(t, life, 24*time.Hour)
}
