package ai_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

// ofLimits returns the headers of an answer that tell of limits.
func ofLimits(headers map[string]string) map[string]string {
	out := maps.Clone(headers)
	maps.DeleteFunc(out, func(name, _ string) bool { return !strings.HasPrefix(name, "x-ratelimit-") })
	return out
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}

// Every answer under /v1 tells what is left of the caller's own limits, and never of Trivet's limits at the provider.
func TestAnswersTellWhatIsLeft(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	h := newFixture(t, withStore(), withReply(5), func(p *plan) { p.now = func() time.Time { return now } })
	h.billing.Plan = &billingv1.GetEntitlementsResponse{PlanId: "p", Limits: &billingv1.Limits{RequestsPerMinute: 60, TokensPerMinute: 1_000_000}}
	left := int64(60)
	for _, c := range []struct {
		name   string
		answer func() answer
		faulty bool
	}{
		{"whole", func() answer { return h.chat(hello) }, false},
		{"streamed", func() answer { return h.chat(strings.Replace(hello, "{", `{"stream":true,`, 1)) }, false},
		{"a response", func() answer { return h.respond(ask) }, false},
		{"a count", func() answer { return h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES_INPUT_TOKENS, ask) }, false},
		{"an error of the provider", func() answer { return h.chat(hello) }, true},
	} {
		if c.faulty {
			h.fault(fault.Fault{Kind: fault.RateLimit, RetryAfter: 3 * time.Second})
		}
		a := c.answer()
		require.Nil(t, a.err, c.name)
		left--
		got := ofLimits(a.head.GetHeaders())
		require.ElementsMatch(t, slices.Collect(maps.Keys(got)), []string{
			"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
			"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
		}, c.name)
		require.Equal(t, "60", got["x-ratelimit-limit-requests"], c.name)
		require.Equal(t, left, number(t, got["x-ratelimit-remaining-requests"]), c.name)
		require.Equal(t, "2m0s", got["x-ratelimit-reset-requests"], c.name)
		require.Equal(t, "1000000", got["x-ratelimit-limit-tokens"], c.name)
		require.Less(t, number(t, got["x-ratelimit-remaining-tokens"]), int64(1_000_000), c.name)
	}

	h.billing.Plan = &billingv1.GetEntitlementsResponse{PlanId: "unlimited", Limits: &billingv1.Limits{}}
	h.claims.AccountID = "acct_free"
	require.Empty(t, ofLimits(h.chat(hello).head.GetHeaders()), "a plan without limits")
}

// A typed answer in one piece tells the same as metadata.
func TestTypedAnswersTellWhatIsLeft(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	h := newFixture(t, func(p *plan) { p.now = func() time.Time { return now } })
	h.billing.Plan = &billingv1.GetEntitlementsResponse{PlanId: "p", Limits: &billingv1.Limits{RequestsPerMinute: 3, RequestsPerDay: 100}}
	h.claims.APIKeyID, h.claims.RequestsPerMinute = "key_1", 9
	const policy = `"api_key_requests_per_minute";q=9;w=60, "requests_per_minute";q=3;w=60, "requests_per_day";q=100;w=86400`
	check := func(md metadata.MD, current string) {
		t.Helper()
		require.Equal(t, []string{policy}, md["ratelimit-policy"])
		require.Equal(t, []string{current}, md["ratelimit"])
	}
	var md metadata.MD
	_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")}, grpc.Header(&md))
	require.NoError(t, err)
	check(md, `"api_key_requests_per_minute";r=8;t=120, "requests_per_minute";r=2;t=120, "requests_per_day";r=99;t=54000`)
	_, err = h.Embed(t.Context(), &aiv1.EmbedRequest{Model: "text-embedding-3-small", Input: []string{"x"}}, grpc.Header(&md))
	require.NoError(t, err)
	check(md, `"api_key_requests_per_minute";r=7;t=120, "requests_per_minute";r=1;t=120, "requests_per_day";r=98;t=54000`)
	_, err = h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")}, grpc.Header(&md))
	require.NoError(t, err)
	check(md, `"api_key_requests_per_minute";r=6;t=120, "requests_per_minute";r=0;t=120, "requests_per_day";r=97;t=54000`)
	_, err = h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, errs.From(err))
	require.Equal(t, map[string]string{"limit": "requests_per_minute", "allowed": "3", "remaining": "0"}, errs.From(err).Metadata)
}
