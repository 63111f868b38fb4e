package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Callers see what is left of the limits of their plan: under /v1 by OpenAI's names, under /api in the fields of the IETF's draft.
func TestAnswersTellWhatIsLeftOfThePlan(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		const chat = `{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}`
		alice := in.token("user_alice", nil)
		wire := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", alice, chat)
		require.Equal(t, http.StatusOK, wire.status)
		require.Equal(t, "600", wire.header.Get("X-Ratelimit-Limit-Requests"))
		require.Equal(t, "599", wire.header.Get("X-Ratelimit-Remaining-Requests"))
		require.Equal(t, "1000000", wire.header.Get("X-Ratelimit-Limit-Tokens"))
		require.Empty(t, wire.header.Get("RateLimit"))
		typed := in.call(t.Context(), http.MethodPost, "/api/v1/chat", alice, chat)
		require.Equal(t, http.StatusOK, typed.status)
		require.Equal(t, `"requests_per_minute";q=600;w=60, "tokens_per_minute";q=1000000;w=60`, typed.header.Get("RateLimit-Policy"))
		require.Contains(t, typed.header.Get("RateLimit"), `"requests_per_minute";r=598;t=`)
		require.Empty(t, typed.header.Get("X-Ratelimit-Limit-Requests"))
	})
}

// An API key has limits of its own. A change of them counts at once, and a refusal names the limit.
func TestLimitsOfAnAPIKey(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		const chat = `{"model": "gpt-4o-mini", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}`
		owner := in.token("user_limits", nil)
		made := in.call(t.Context(), http.MethodPost, "/api/v1/apiKeys", owner,
			`{"name": "limited", "scopes": ["ai.invoke", "keys.manage"], "requestsPerMinute": 50, "requestsPerDay": 40, "tokensPerMinute": 5000, "concurrentStreams": 3}`)
		require.Equal(t, http.StatusOK, made.status, string(made.body))
		var key struct {
			APIKey struct{ ID string } `json:"apiKey"`
			Secret string
		}
		require.NoError(t, json.Unmarshal(made.body, &key))
		path := "/api/v1/apiKeys/" + key.APIKey.ID

		wire := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", key.Secret, chat)
		require.Equal(t, http.StatusOK, wire.status, string(wire.body))
		require.Equal(t, "40", wire.header.Get("X-Ratelimit-Limit-Requests"))
		require.Equal(t, "39", wire.header.Get("X-Ratelimit-Remaining-Requests"))
		require.Equal(t, "5000", wire.header.Get("X-Ratelimit-Limit-Tokens"))
		typed := in.call(t.Context(), http.MethodPost, "/api/v1/chat", key.Secret, chat)
		require.Equal(t, http.StatusOK, typed.status, string(typed.body))
		require.Equal(t, `"api_key_requests_per_minute";q=50;w=60, "api_key_requests_per_day";q=40;w=86400, "api_key_tokens_per_minute";q=5000;w=60, `+
			`"requests_per_minute";q=600;w=60, "tokens_per_minute";q=1000000;w=60`, typed.header.Get("RateLimit-Policy"))

		raised := in.call(t.Context(), http.MethodPatch, path, key.Secret, `{"requestsPerDay": 0}`)
		require.Equal(t, http.StatusForbidden, raised.status, string(raised.body))
		require.Contains(t, string(raised.body), "requestsPerDay")
		changed := in.call(t.Context(), http.MethodPatch, path, owner, `{"name": "tight", "requestsPerDay": 2, "tokensPerMinute": 0}`)
		require.Equal(t, http.StatusOK, changed.status, string(changed.body))
		var answer struct {
			APIKey struct {
				Name                                                                  string
				RequestsPerMinute, RequestsPerDay, TokensPerMinute, ConcurrentStreams int
			} `json:"apiKey"`
		}
		require.NoError(t, json.Unmarshal(changed.body, &answer))
		got := answer.APIKey
		require.Equal(t, "tight", got.Name)
		require.Equal(t, []int{50, 2, 0, 3}, []int{got.RequestsPerMinute, got.RequestsPerDay, got.TokensPerMinute, got.ConcurrentStreams}, "an absent field stays")
		require.Eventually(t, func() bool { // the two calls of today count
			refused := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", key.Secret, chat)
			return refused.status == http.StatusTooManyRequests && refused.header.Get("X-Ratelimit-Limit-Requests") == "2" &&
				refused.header.Get("X-Ratelimit-Remaining-Requests") == "0"
		}, 30*time.Second, 100*time.Millisecond)
		refused := in.call(t.Context(), http.MethodPost, "/api/v1/chat", key.Secret, chat)
		require.Equal(t, http.StatusTooManyRequests, refused.status)
		require.Contains(t, string(refused.body), `"limit":"api_key_requests_per_day"`)
		require.Equal(t, `"api_key_requests_per_day";q=2;w=86400`, refused.header.Get("RateLimit-Policy"))
		require.NotEmpty(t, refused.header.Get("Retry-After"))
	})
}
