package e2e

import (
	"net/http"
	"testing"

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
