package limit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
)

func TestRequestsPerDay(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		c.at = time.Date(2026, 11, 23, 23, 59, 0, 0, time.FixedZone("", 3600)) // 22:59 UTC
		ask := limit.Ask{Account: "a", AccountRequestsPerDay: 3}
		for range 3 {
			ticket, err := m.Admit(t.Context(), ask)
			require.NoError(t, err)
			ticket.Done(0)
			c.at = c.at.Add(10 * time.Minute)
		}
		_, err := m.Admit(t.Context(), ask)
		e := errs.From(err)
		require.Equal(t, "requests_per_day", e.Metadata["limit"])
		require.Equal(t, "3", e.Metadata["allowed"])
		require.Equal(t, 31*time.Minute, e.RetryAfter, "until midnight in UTC")
		c.at = c.at.Add(e.RetryAfter - time.Millisecond)
		_, err = m.Admit(t.Context(), ask)
		require.Error(t, err)
		c.at = c.at.Add(time.Millisecond)
		for range 3 {
			_, err = m.Admit(t.Context(), ask)
			require.NoError(t, err, "the next day")
		}
		_, err = m.Admit(t.Context(), ask)
		require.Error(t, err)
		_, err = m.Admit(t.Context(), limit.Ask{Account: "b", AccountRequestsPerDay: 3})
		require.NoError(t, err, "another account")
	})
}

// TestBothDecideTheSame drives both limiters with the same random calls at the same times.
func TestBothDecideTheSame(t *testing.T) {
	server := redistest.New(t)
	var cases atomic.Int64 // each has keys of its own: what rapid draws may repeat
	rapid.Check(t, func(r *rapid.T) {
		memory, c := newMemory(t)
		redis, err := limit.NewRedis(limit.RedisOptions{URL: server.URL(), Now: c.now, Prefix: fmt.Sprintf("case %d:", cases.Add(1))})
		require.NoError(t, err)
		defer func() { require.NoError(t, redis.Close()) }()
		type pair struct{ a, b limit.Ticket }
		var open []pair
		ask := limit.Ask{
			Account: "a", AccountRequests: rapid.Int64Range(0, 9).Draw(r, "requests"), AccountRequestsPerDay: rapid.Int64Range(0, 20).Draw(r, "day"),
			TokensPerMinute: rapid.Int64Range(0, 200).Draw(r, "tokens"), Concurrent: rapid.Int64Range(0, 6).Draw(r, "concurrent"),
			Streams: rapid.Int64Range(0, 4).Draw(r, "streams"),
		}
		for _, id := range []string{"k", "parent"} {
			ask.Keys = append(ask.Keys, limit.Key{
				ID: id, Requests: rapid.Int64Range(0, 9).Draw(r, "key requests"), RequestsPerDay: rapid.Int64Range(0, 20).Draw(r, "key day"),
				TokensPerMinute: rapid.Int64Range(0, 200).Draw(r, "key tokens"), Streams: rapid.Int64Range(0, 4).Draw(r, "key streams"),
			})
		}
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			c.at = c.at.Add(time.Duration(rapid.Int64Range(0, 4_000_000).Draw(r, "step")) * 10 * time.Microsecond)
			if len(open) > 0 && rapid.Bool().Draw(r, "end") {
				used := rapid.Int64Range(0, 300).Draw(r, "used")
				open[0].a.Done(used)
				open[0].b.Done(used)
				open = open[1:]
				continue
			}
			require.NoError(t, redis.Renew(t.Context()))
			ask.Tokens, ask.Stream = rapid.Int64Range(0, 250).Draw(r, "wanted"), rapid.Bool().Draw(r, "stream")
			a, err1 := memory.Admit(t.Context(), ask)
			b, err2 := redis.Admit(t.Context(), ask)
			require.Equal(t, err1 == nil, err2 == nil, "%v, %v", err1, err2)
			if err1 != nil {
				require.Equal(t, errs.From(err1).Metadata, errs.From(err2).Metadata)
				require.InDelta(t, errs.From(err1).RetryAfter, errs.From(err2).RetryAfter, float64(time.Microsecond))
				continue
			}
			require.Equal(t, a.Levels(), b.Levels())
			open = append(open, pair{a, b})
		}
	})
}

// TestReplicasShareTheirLimits: two replicas let in what one would, under concurrency, by the clock of Redis.
func TestReplicasShareTheirLimits(t *testing.T) {
	server := redistest.New(t)
	replicas := []*limit.Redis{newRedis(t, server, nil), newRedis(t, server, nil)}
	for name, ask := range map[string]limit.Ask{
		"requests":      {Account: "requests", AccountRequests: 20},
		"day":           {Account: "day", AccountRequestsPerDay: 20},
		"concurrent":    {Account: "concurrent", Concurrent: 20},
		"tokens":        {Account: "tokens", TokensPerMinute: 200, Tokens: 10},
		"streams":       {Account: "streams", Streams: 20, Stream: true},
		"key":           {Account: "key", Keys: []limit.Key{{ID: "k", Requests: 20}}},
		"key's day":     {Account: "key's day", Keys: []limit.Key{{ID: "k", RequestsPerDay: 20}}},
		"key's streams": {Account: "key's streams", Stream: true, Keys: []limit.Key{{ID: "k", Streams: 20}}},
		"key's tokens":  {Account: "key's tokens", Tokens: 10, Keys: []limit.Key{{ID: "k", TokensPerMinute: 200}}},
	} {
		t.Run(name, func(t *testing.T) {
			var passed, other atomic.Int64
			var callers sync.WaitGroup
			room := make(chan struct{}, 20) // an overloaded machine must not take Redis for away
			for i := range 300 {
				callers.Go(func() {
					room <- struct{}{}
					defer func() { <-room }()
					for {
						_, err := replicas[i%2].Admit(context.Background(), ask)
						switch {
						case err == nil:
							passed.Add(1)
						case errs.From(err).Metadata["limit"] == "": // Redis did not answer in time
							other.Add(1)
							continue
						}
						return
					}
				})
			}
			callers.Wait()
			// A call whose answer came too late may have been counted: never more than the limit passes.
			require.LessOrEqual(t, passed.Load(), int64(20))
			require.GreaterOrEqual(t, passed.Load()+other.Load(), int64(20))
		})
	}
}

// TestADeadProcessGivesItsPlacesBack when the life of its calls ends; those of a live one are renewed.
func TestADeadProcessGivesItsPlacesBack(t *testing.T) {
	server := redistest.New(t)
	c := &clock{time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	live, dead := newRedis(t, server, c), newRedis(t, server, c)
	asks := map[string]limit.Ask{
		"concurrent_requests":        {Account: "calls", Concurrent: 2},
		"concurrent_streams":         {Account: "streams", Streams: 2, Stream: true},
		"api_key_concurrent_streams": {Account: "keys", Stream: true, Keys: []limit.Key{{ID: "k", Streams: 2}}},
	}
	for _, ask := range asks {
		for _, r := range []*limit.Redis{live, dead} {
			_, err := r.Admit(t.Context(), ask)
			require.NoError(t, err)
		}
	}
	for range 8 {
		c.at = c.at.Add(limit.RenewEvery)
		require.NoError(t, live.Renew(t.Context()))
	}
	for name, ask := range asks {
		_, err := live.Admit(t.Context(), ask)
		require.NoError(t, err, "the place of the dead process: %s", name)
		_, err = live.Admit(t.Context(), ask)
		got, _ := refused(t, err)
		require.Equal(t, name, got, "the renewed call still runs")
	}
}

func TestRedisAwayMeansLimitsOfThisProcess(t *testing.T) {
	for name, away := range map[string]struct {
		begin, end func(*redistest.Server, testing.TB)
	}{
		"stopped": {(*redistest.Server).Stop, (*redistest.Server).Start},
		"frozen":  {(*redistest.Server).Freeze, (*redistest.Server).Thaw},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.New(t)
			memory, c := newMemory(t)
			var logged bytes.Buffer
			f := limit.NewFailover(newRedisWithin(t, server, nil, 0), memory, slog.New(slog.NewTextHandler(&logged, nil)), c.now)
			ask := limit.Ask{Account: "a", AccountRequests: 3}
			before, err := f.Admit(t.Context(), ask)
			require.NoError(t, err)
			away.begin(server, t)
			for range 3 {
				_, err := f.Admit(t.Context(), ask)
				require.NoError(t, err)
			}
			_, err = f.Admit(t.Context(), ask)
			name, _ := refused(t, err)
			require.Equal(t, "requests_per_minute", name, "this process counts")
			before.Done(0)
			require.Equal(t, 1, strings.Count(logged.String(), "level=ERROR"), logged.String())
			require.NotContains(t, logged.String(), "answers again")
			away.end(server, t)
			require.Eventually(t, func() bool {
				c.at = c.at.Add(time.Minute)
				_, err := f.Admit(t.Context(), limit.Ask{Account: "b"})
				return err == nil && strings.Contains(logged.String(), "answers again")
			}, 30*time.Second, 20*time.Millisecond)
			require.Equal(t, 1, strings.Count(logged.String(), "level=ERROR"))
		})
	}
}

func TestAddressesOfRedis(t *testing.T) {
	_, err := limit.NewRedis(limit.RedisOptions{URL: "http://user:secret@host"})
	require.ErrorContains(t, err, "REDIS_URL")
	require.NotContains(t, err.Error(), "secret")
}
