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

// A part of the work for a request tells of its calls with what they used: in the request's line while that waits, else in lines of their own.
func TestAPartTellsWhatItsCallsUsed(t *testing.T) {
	status := http.StatusOK
	r := newFixture(t, provider.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	log := slog.New(slog.NewJSONHandler(r, nil))
	part := func(ctx context.Context, statuses ...int) {
		t.Helper()
		var a provider.Attempt
		own := a.Begin(ctx)
		for _, status = range statuses {
			response, err := r.get(t, own, "/x")
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			provider.AttemptOf(own).Used(int64(status))
			provider.AttemptOf(own).Refused("some_code")
		}
		a.End(ctx, log)
	}
	used := func(from int) (all []any) {
		for _, line := range r.lines(t)[from:] {
			require.Equal(t, "provider call", line["msg"])
			require.Equal(t, "openai", line["integration"])
			all = append(all, line["level"], line["tokens_used"])
		}
		return all
	}
	part(t.Context(), 200)
	require.Equal(t, []any{"INFO", 200.0}, used(0))
	part(t.Context())
	part(t.Context(), 503)
	require.Equal(t, []any{"WARN", nil}, used(1), "its only line was written at once")
	part(t.Context(), 201, 503, 202)
	require.Equal(t, []any{"INFO", 201.0, "WARN", nil, "INFO", 202.0}, used(2), "each call has one line")

	request := &provider.Attempt{}
	ctx, written := provider.WithAttempt(t.Context(), request), len(r.lines(t))
	part(ctx, 200)
	require.Len(t, r.lines(t), written, "the request's line tells of it")
	part(ctx, 202)
	require.Equal(t, []any{"INFO", 200.0}, used(written), "the request's line has room for one call")
	got := facts(t, request)
	require.Equal(t, int64(202), got["status"])
	require.Equal(t, int64(202), got["tokens_used"])
	part(ctx, 203)
	require.Equal(t, []any{"INFO", 200.0, "INFO", 203.0}, used(written), "the request's line is written")
}

func TestNobodyTellsOfARequestWithoutACall(t *testing.T) {
	_, ok := new(provider.Attempt).Take()
	require.False(t, ok)
	provider.AttemptOf(t.Context()).Used(1)
	provider.AttemptOf(t.Context()).Refused("x")
}
