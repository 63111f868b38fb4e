package provider_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/requestid"
)

// facts returns what an attempt tells, without the times.
func facts(t *testing.T, a *provider.Attempt) map[string]any {
	t.Helper()
	attr, ok := a.Take()
	require.True(t, ok)
	require.Equal(t, "provider", attr.Key)
	out := map[string]any{}
	for _, one := range attr.Value.Group() {
		if one.Value.Kind() == slog.KindDuration {
			require.Contains(t, []string{"latency", "first_byte"}, one.Key)
			continue
		}
		out[one.Key] = one.Value.Any()
	}
	return out
}

func TestAnAttemptTellsOfTheLastCall(t *testing.T) {
	status := http.StatusTooManyRequests
	r := newFixture(t, provider.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	a := &provider.Attempt{}
	ctx := requestid.With(provider.WithAttempt(t.Context(), a), "req-1")
	get := func(ctx context.Context) {
		t.Helper()
		response, err := r.get(t, ctx, "/x")
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, response.Body)
		require.NoError(t, response.Body.Close())
	}
	get(ctx)
	line := r.lines(t)
	require.Len(t, line, 1, "trouble has a line of its own")
	require.Equal(t, "rate_limited", line[0]["error_code"])
	require.Equal(t, "req-1", line[0]["request_id"])
	status = http.StatusOK
	get(ctx)
	require.Len(t, r.lines(t), 1, "a call that went well is in the line of its request")
	a.Used(27)
	require.Equal(t, map[string]any{
		"integration": "openai", "method": "x", "status": int64(200), "success": true, "outcome": "success", "request_id": "req-1", "tokens_used": int64(27),
	}, facts(t, a))
	get(ctx)
	require.Len(t, r.lines(t), 2, "a call that ends after the line of its request has its own")
	get(t.Context())
	require.Len(t, r.lines(t), 3, "as has a call without a request")
}

func TestAnAttemptTellsTheProvidersOwnCode(t *testing.T) {
	r := newFixture(t, provider.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	a := &provider.Attempt{}
	ctx := provider.WithAttempt(t.Context(), a)
	response, err := r.get(t, ctx, "/x")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	provider.AttemptOf(ctx).Refused("context_length_exceeded")
	got := facts(t, a)
	require.Equal(t, "context_length_exceeded", got["error_code"])
	require.Equal(t, false, got["success"])
	require.NotContains(t, got, "tokens_used")
}

func TestNobodyTellsOfARequestWithoutACall(t *testing.T) {
	_, ok := new(provider.Attempt).Take()
	require.False(t, ok)
	provider.AttemptOf(t.Context()).Used(1)
	provider.AttemptOf(t.Context()).Refused("x")
}
