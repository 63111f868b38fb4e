package provider_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/provider"
)

func TestBackoff(t *testing.T) {
	most := func() float64 { return 1 }
	for retry, want := range []time.Duration{1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 4: 4 * time.Second, 5: 8 * time.Second, 6: 8 * time.Second, 2000: 8 * time.Second} {
		if retry > 0 && want > 0 {
			require.Equal(t, want, provider.Backoff(retry, 500*time.Millisecond, 8*time.Second, most), retry)
		}
	}
	require.Zero(t, provider.Backoff(3, time.Second, time.Minute, func() float64 { return 0 }), "full jitter begins at 0")
	require.Equal(t, time.Second, provider.Backoff(2, time.Second, time.Minute, func() float64 { return 0.5 }))
	require.Zero(t, provider.Backoff(5, 0, time.Minute, most))
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestRetryAfter(t *testing.T) {
	const forever = 1e9 * time.Second
	for want, all := range map[time.Duration][]http.Header{
		0: {
			headers(), headers("Retry-After", "0"), headers("Retry-After", "-1"), headers("Retry-After", "NaN"), headers("Retry-After", "soon"),
			headers("Retry-After-Ms", "0"), headers("Retry-After", "Fri, 02 Jan 2026 11:59:59 GMT"),
		},
		7 * time.Second:       {headers("Retry-After", "7"), headers("Retry-After", " 7 "), headers("Retry-After", "Fri, 02 Jan 2026 12:00:07 GMT")},
		time.Second / 2:       {headers("Retry-After-Ms", "500", "Retry-After", "9"), headers("Retry-After", "0.5")},
		forever:               {headers("Retry-After", "1e300"), headers("Retry-After", "Inf")},
		90 * time.Millisecond: {headers("Retry-After-Ms", "90")},
	} {
		for _, h := range all {
			require.Equal(t, want, provider.RetryAfter(h, noon), "%v", h)
		}
	}
}

func TestRateLimitReset(t *testing.T) {
	for name, c := range map[string]struct {
		headers http.Header
		wait    time.Duration
		known   bool
	}{
		"nothing":                {headers(), 0, false},
		"Retry-After wins":       {headers("Retry-After", "3", "X-Ratelimit-Reset-Tokens", "9s", "X-Ratelimit-Remaining-Tokens", "0"), 3 * time.Second, true},
		"the used-up limit":      {headers("X-Ratelimit-Reset-Tokens", "6m0s", "X-Ratelimit-Remaining-Tokens", "0", "X-Ratelimit-Reset-Requests", "1h", "X-Ratelimit-Remaining-Requests", "5"), 6 * time.Minute, true},
		"the later of two":       {headers("X-Ratelimit-Reset-Tokens", "20ms", "X-Ratelimit-Remaining-Tokens", "0", "X-Ratelimit-Reset-Requests", "2", "X-Ratelimit-Remaining-Requests", "0"), 2 * time.Second, true},
		"none is used up":        {headers("X-Ratelimit-Reset-Tokens", "6m0s", "X-Ratelimit-Remaining-Tokens", "12"), 0, true},
		"without what remains":   {headers("X-Ratelimit-Reset-Tokens", "1.5s"), 1500 * time.Millisecond, true},
		"a reset of no meaning":  {headers("X-Ratelimit-Reset-Tokens", "soon", "X-Ratelimit-Remaining-Tokens", "0"), 0, true},
		"a reset in the past":    {headers("X-Ratelimit-Reset-Tokens", "-5s", "X-Ratelimit-Remaining-Tokens", "0"), 0, true},
		"only what remains says": {headers("X-Ratelimit-Remaining-Tokens", "0"), 0, false},
	} {
		wait, known := provider.RateLimitReset(c.headers, noon)
		require.Equal(t, c.wait, wait, name)
		require.Equal(t, c.known, known, name)
	}
}

func TestBudget(t *testing.T) {
	now := noon
	b := provider.NewBudget(func() time.Time { return now })
	spend := func() (n int) {
		for b.Spend() {
			n++
		}
		return n
	}
	require.Equal(t, 20, spend(), "a full budget")
	for range 14 {
		b.Called()
	}
	require.Equal(t, 2, spend(), "one in five calls")
	b.Called()
	require.Equal(t, 1, spend(), "what is left of a retry is kept")
	now = now.Add(3 * time.Second)
	require.Equal(t, 3, spend(), "and one a second")
	now = now.Add(time.Hour)
	for range 1000 {
		b.Called()
	}
	require.Equal(t, 20, spend(), "no more are saved")
}
