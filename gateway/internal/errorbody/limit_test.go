package errorbody_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// A refusal names its limit in headers, too, by the names of each tree.
func TestHeadersOfALimit(t *testing.T) {
	for name, c := range map[string]struct {
		metadata []string
		openAI   map[string]string
		api      [2]string
	}{
		"requests": {
			[]string{"limit", "requests_per_minute", "allowed", "20", "remaining", "0"},
			map[string]string{"X-Ratelimit-Limit-Requests": "20", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "12.5s"},
			[2]string{`"requests_per_minute";q=20;w=60`, `"requests_per_minute";r=0;t=13`},
		},
		"a key's": {
			[]string{"limit", "api_key_requests_per_minute", "allowed", "5", "remaining", "0"},
			map[string]string{"X-Ratelimit-Limit-Requests": "5", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "12.5s"},
			[2]string{`"api_key_requests_per_minute";q=5;w=60`, `"api_key_requests_per_minute";r=0;t=13`},
		},
		"the day's": {
			[]string{"limit", "requests_per_day", "allowed", "7", "remaining", "0"},
			map[string]string{"X-Ratelimit-Limit-Requests": "7", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "12.5s"},
			[2]string{`"requests_per_day";q=7;w=86400`, `"requests_per_day";r=0;t=13`},
		},
		"tokens": {
			[]string{"limit", "tokens_per_minute", "allowed", "900", "remaining", "31"},
			map[string]string{"X-Ratelimit-Limit-Tokens": "900", "X-Ratelimit-Remaining-Tokens": "31", "X-Ratelimit-Reset-Tokens": "12.5s"},
			[2]string{`"tokens_per_minute";q=900;w=60`, `"tokens_per_minute";r=31;t=13`},
		},
		"a key's tokens": {
			[]string{"limit", "api_key_tokens_per_minute", "allowed", "900", "remaining", "31"},
			map[string]string{"X-Ratelimit-Limit-Tokens": "900", "X-Ratelimit-Remaining-Tokens": "31", "X-Ratelimit-Reset-Tokens": "12.5s"},
			[2]string{`"api_key_tokens_per_minute";q=900;w=60`, `"api_key_tokens_per_minute";r=31;t=13`},
		},
		"a key's day": {
			[]string{"limit", "api_key_requests_per_day", "allowed", "7", "remaining", "0"},
			map[string]string{"X-Ratelimit-Limit-Requests": "7", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "12.5s"},
			[2]string{`"api_key_requests_per_day";q=7;w=86400`, `"api_key_requests_per_day";r=0;t=13`},
		},
		"a key's streams":        {metadata: []string{"limit", "api_key_concurrent_streams", "allowed", "3", "remaining", "0"}},
		"calls at the same time": {metadata: []string{"limit", "concurrent_requests", "allowed", "3", "remaining", "0"}},
		"the provider's":         {metadata: []string{"limit", "provider"}},
		"an address's":           {},
	} {
		t.Run(name, func(t *testing.T) {
			e := errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, "x").After(12500 * time.Millisecond)
			for i := 0; i < len(c.metadata); i += 2 {
				e = e.With(c.metadata[i], c.metadata[i+1])
			}
			openAI, api := write(errorbody.OpenAI, e).Header(), write(errorbody.API, e).Header()
			for _, kind := range []string{"Requests", "Tokens"} {
				for _, part := range []string{"Limit-", "Remaining-", "Reset-"} {
					require.Equal(t, c.openAI["X-Ratelimit-"+part+kind], openAI.Get("X-Ratelimit-"+part+kind))
					require.Empty(t, api.Get("X-Ratelimit-"+part+kind))
				}
			}
			require.Equal(t, c.api[0], api.Get("RateLimit-Policy"))
			require.Equal(t, c.api[1], api.Get("RateLimit"))
			require.Empty(t, openAI.Get("RateLimit"))
			e.Reason = errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
			require.Empty(t, write(errorbody.API, e).Header().Get("RateLimit"))
		})
	}
}
