package limit_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
)

func admit(t testing.TB, m limit.Limiter, ask limit.Ask) limit.Ticket {
	t.Helper()
	ticket, err := m.Admit(t.Context(), ask)
	require.NoError(t, err)
	return ticket
}

// What a call is told is left, with each limiter.
func TestLevels(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		require.Empty(t, admit(t, m, limit.Ask{Account: "free", Tokens: 7}).Levels(), "no limit, no level")

		ask := limit.Ask{
			Account: "a", Keys: []limit.Key{{ID: "k", Requests: 3}, {ID: "free"}, {ID: "p", Requests: 9}},
			AccountRequests: 5, AccountRequestsPerDay: 100, TokensPerMinute: 1000, Tokens: 100,
		}
		first := admit(t, m, ask)
		require.Equal(t, []limit.Level{
			{Name: "api_key_requests_per_minute", Limit: 3, Remaining: 2, Window: time.Minute, Reset: 2 * time.Minute},
			{Name: "api_key_requests_per_minute", Limit: 9, Remaining: 8, Window: time.Minute, Reset: 2 * time.Minute},
			{Name: "requests_per_minute", Limit: 5, Remaining: 4, Window: time.Minute, Reset: 2 * time.Minute},
			{Name: "requests_per_day", Limit: 100, Remaining: 99, Window: 24 * time.Hour, Reset: 15 * time.Hour},
			{Name: "tokens_per_minute", Limit: 1000, Remaining: 900, Window: time.Minute, Reset: 2 * time.Minute},
		}, first.Levels())
		first.Done(30)

		c.at = c.at.Add(90 * time.Second) // half of the first call still counts
		ask.Keys, ask.Tokens = nil, 200
		second := admit(t, m, ask)
		require.Equal(t, []limit.Level{
			{Name: "requests_per_minute", Limit: 5, Remaining: 3, Window: time.Minute, Reset: 90 * time.Second},
			{Name: "requests_per_day", Limit: 100, Remaining: 98, Window: 24 * time.Hour, Reset: 15*time.Hour - 90*time.Second},
			{Name: "tokens_per_minute", Limit: 1000, Remaining: 1000 - 15 - 200, Window: time.Minute, Reset: 90 * time.Second},
		}, second.Levels(), "the tokens of the first call are corrected to what it used")
		second.Done(0)
	})
}

// Of the limits of the plan, of the key and of the keys that made it, all are told; of those with one name the tightest.
func TestLevelsOfKeys(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		ask := limit.Ask{
			Account: "a", AccountRequests: 50, AccountRequestsPerDay: 60, TokensPerMinute: 4000, Tokens: 100,
			Keys: []limit.Key{{ID: "k", RequestsPerDay: 7, TokensPerMinute: 300}, {ID: "p", Requests: 9, RequestsPerDay: 70, TokensPerMinute: 200}},
		}
		ticket := admit(t, m, ask)
		minute := func(name string, limited, left int64) limit.Level {
			return limit.Level{Name: name, Limit: limited, Remaining: left, Window: time.Minute, Reset: 2 * time.Minute}
		}
		day := func(name string, limited, left int64) limit.Level {
			return limit.Level{Name: name, Limit: limited, Remaining: left, Window: 24 * time.Hour, Reset: 15 * time.Hour}
		}
		require.Equal(t, []limit.Level{
			minute("api_key_requests_per_minute", 9, 8), day("api_key_requests_per_day", 7, 6), day("api_key_requests_per_day", 70, 69),
			minute("api_key_tokens_per_minute", 300, 200), minute("api_key_tokens_per_minute", 200, 100),
			minute("requests_per_minute", 50, 49), day("requests_per_day", 60, 59), minute("tokens_per_minute", 4000, 3900),
		}, ticket.Levels())
		headers := map[string]string{}
		limit.AddOpenAI(headers, ticket.Levels())
		require.Equal(t, map[string]string{
			"x-ratelimit-limit-requests": "7", "x-ratelimit-remaining-requests": "6", "x-ratelimit-reset-requests": "15h0m0s",
			"x-ratelimit-limit-tokens": "200", "x-ratelimit-remaining-tokens": "100", "x-ratelimit-reset-tokens": "2m0s",
		}, headers)
		policy, current := limit.Fields(ticket.Levels())
		require.Equal(t, `"api_key_requests_per_minute";q=9;w=60, "api_key_requests_per_day";q=7;w=86400, "api_key_tokens_per_minute";q=200;w=60, `+
			`"requests_per_minute";q=50;w=60, "requests_per_day";q=60;w=86400, "tokens_per_minute";q=4000;w=60`, policy)
		require.Equal(t, `"api_key_requests_per_minute";r=8;t=120, "api_key_requests_per_day";r=6;t=54000, "api_key_tokens_per_minute";r=100;t=120, `+
			`"requests_per_minute";r=49;t=120, "requests_per_day";r=59;t=54000, "tokens_per_minute";r=3900;t=120`, current)
	})
}

// A refusal for tokens tells how many are left.
func TestARefusalTellsWhatIsLeft(t *testing.T) {
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		ask := limit.Ask{Account: "a", TokensPerMinute: 100, Tokens: 70}
		admit(t, m, ask)
		_, err := m.Admit(t.Context(), ask)
		name, _ := refused(t, err)
		require.Equal(t, "tokens_per_minute", name)
		require.Equal(t, "30", remaining(err))
		_, err = m.Admit(t.Context(), limit.Ask{Account: "a", AccountRequests: 1})
		name, _ = refused(t, err)
		require.Equal(t, "requests_per_minute", name)
		require.Equal(t, "0", remaining(err))
	})
}

// Of calls at once, each is told another number: nobody is promised what another one got.
func TestLevelsAreTrueUnderConcurrency(t *testing.T) {
	const calls = 40
	each(t, func(t *testing.T, m limit.Limiter, c *clock) {
		left, failures := make([]int64, calls), make([]error, calls)
		var all sync.WaitGroup
		for n := range calls {
			all.Go(func() {
				ticket, err := m.Admit(t.Context(), limit.Ask{Account: "a", AccountRequests: calls})
				if failures[n] = err; err == nil {
					left[n] = ticket.Levels()[0].Remaining
				}
			})
		}
		all.Wait()
		require.NoError(t, errors.Join(failures...))
		seen := map[int64]bool{}
		for _, n := range left {
			seen[n] = true
		}
		require.Len(t, seen, calls)
		require.True(t, seen[0] && seen[calls-1])
	})
}

// As many calls as are left are let in, and one more is not.
func TestWhatIsLeftIsLetIn(t *testing.T) {
	server, accounts := redistest.New(t), 0
	rapid.Check(t, func(r *rapid.T) {
		c := &clock{time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
		memory, err := limit.NewMemory(10, c.now)
		require.NoError(r, err)
		shared := newRedis(t, server, c)
		accounts++
		ask := limit.Ask{Account: fmt.Sprint("a", accounts), AccountRequests: rapid.Int64Range(1, 8).Draw(r, "limit")}
		for range rapid.IntRange(1, 12).Draw(r, "calls") {
			c.at = c.at.Add(time.Duration(rapid.Int64Range(0, 40_000).Draw(r, "pause")) * time.Millisecond)
			ticket, err := memory.Admit(t.Context(), ask)
			same, err2 := shared.Admit(t.Context(), ask)
			require.Equal(r, err == nil, err2 == nil)
			if err != nil {
				continue
			}
			require.Equal(r, ticket.Levels(), same.Levels())
			left := ticket.Levels()[0]
			if rapid.Bool().Draw(r, "use up") {
				for range left.Remaining {
					admit(t, memory, ask)
					admit(t, shared, ask)
				}
				_, err := memory.Admit(t.Context(), ask)
				require.Error(r, err)
				_, err = shared.Admit(t.Context(), ask)
				require.Error(r, err)
			}
		}
	})
}

func TestHeadersOfLevels(t *testing.T) {
	all := []limit.Level{
		{Name: "api_key_requests_per_minute", Limit: 30, Remaining: 20, Window: time.Minute, Reset: time.Minute},
		{Name: "api_key_requests_per_minute", Limit: 50, Remaining: 1, Window: time.Minute, Reset: 90*time.Second + 1},
		{Name: "requests_per_minute", Limit: 60, Remaining: 7, Window: time.Minute, Reset: 2 * time.Minute},
		{Name: "requests_per_day", Limit: 1000, Remaining: 900, Window: 24 * time.Hour, Reset: 15 * time.Hour},
		{Name: "tokens_per_minute", Limit: 9000, Remaining: 0, Window: time.Minute, Reset: 1500*time.Millisecond + 1},
	}
	headers := map[string]string{"content-type": "x"}
	limit.AddOpenAI(headers, all)
	require.Equal(t, map[string]string{
		"content-type":                   "x",
		"x-ratelimit-limit-requests":     "50",
		"x-ratelimit-remaining-requests": "1",
		"x-ratelimit-reset-requests":     "1m30s",
		"x-ratelimit-limit-tokens":       "9000",
		"x-ratelimit-remaining-tokens":   "0",
		"x-ratelimit-reset-tokens":       "1.5s",
	}, headers)
	policy, current := limit.Fields(all)
	require.Equal(t, `"api_key_requests_per_minute";q=50;w=60, "requests_per_minute";q=60;w=60, "requests_per_day";q=1000;w=86400, "tokens_per_minute";q=9000;w=60`, policy)
	require.Equal(t, `"api_key_requests_per_minute";r=1;t=91, "requests_per_minute";r=7;t=120, "requests_per_day";r=900;t=54000, "tokens_per_minute";r=0;t=2`, current)

	headers = map[string]string{}
	limit.AddOpenAI(headers, all[4:])
	require.Len(t, headers, 3, "no limit of requests, no header of it")
	policy, current = limit.Fields(nil)
	require.Empty(t, policy+current)
}

func remaining(err error) string { return errs.From(err).Metadata["remaining"] }
