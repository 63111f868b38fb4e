package ai_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/ai"
)

const cannedText = "I'm currently unavailable. Please try again later or contact support."

// withFallback sets the text as the default of the setting does.
func withFallback(text string) option {
	return withConfig(func(c *ai.Config) { c.FallbackText = text })
}

// withoutServer lets the provider's address refuse connections.
func withoutServer(t *testing.T) option {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	base := "http://" + l.Addr().String() + "/v1"
	return withModels(`
targets: {gone: {kind: compatible, base_url: "` + base + `"}}
models: {m: {kind: chat, provider: test, context_tokens: 8192, max_output_tokens: 512, default_output_tokens: 256, input: "1.00", cached_input: "1.00", output: "2.00", targets: [{target: gone}]}}
`)
}

// pieces are what a stream of the typed API brings.
func (h *fixture) pieces(in *aiv1.ChatStreamRequest) (all []*aiv1.ChatStreamResponse, err error) {
	h.t.Helper()
	stream, err := h.ChatStream(h.t.Context(), in)
	require.NoError(h.t, err)
	for {
		piece, err := stream.Recv()
		if err != nil {
			return all, err
		}
		all = append(all, piece)
	}
}

func TestFallbackWhileNoTargetIsAvailable(t *testing.T) {
	breaker := withConfig(func(c *ai.Config) { c.BreakerFailures = 1 })
	for name, tc := range map[string]struct {
		model string
		start func(t *testing.T) *fixture
	}{
		"no connection": {"m", func(t *testing.T) *fixture {
			t.Helper()
			return newFixture(t, withFallback(cannedText), withoutServer(t))
		}},
		"the breaker is open": {"gpt-4o-mini", func(t *testing.T) *fixture {
			t.Helper()
			h := newFixture(t, withFallback(cannedText), breaker)
			h.fault(fault.Fault{Kind: fault.Status, Status: 500, Count: 1})
			_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, errs.From(err))
			return h
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := tc.start(t)
			calls := h.openai.Stats().Calls
			res, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: tc.model, Messages: user("hi")})
			require.NoError(t, err)
			require.True(t, res.GetFallback())
			require.Equal(t, cannedText, res.GetMessage().GetContent())
			require.Equal(t, "assistant", res.GetMessage().GetRole())
			require.Equal(t, "stop", res.GetFinishReason())
			require.Equal(t, tc.model, res.GetModel())
			require.Zero(t, res.GetCostNanoUsd())
			require.NotNil(t, res.GetUsage())

			all, err := h.pieces(&aiv1.ChatStreamRequest{Model: tc.model, Messages: user("hi")})
			require.ErrorContains(t, err, "EOF")
			require.Len(t, all, 2)
			require.Equal(t, cannedText, all[0].GetDelta())
			require.Equal(t, tc.model, all[0].GetModel())
			require.Equal(t, "stop", all[1].GetFinishReason())
			require.NotNil(t, all[1].CostNanoUsd)
			require.Zero(t, all[1].GetCostNanoUsd())
			for _, piece := range all {
				require.True(t, piece.GetFallback())
			}

			_, err = h.Chat(t.Context(), &aiv1.ChatRequest{Model: tc.model, Messages: user("hi"), ResponseFormat: &aiv1.ResponseFormat{}})
			e := errs.From(err)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, e)
			require.Positive(t, e.RetryAfter)

			a := h.chat(`{"model":"` + tc.model + `","messages":[{"role":"user","content":"hi"}]}`)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, a.err)
			require.Positive(t, a.err.RetryAfter)

			require.Equal(t, calls, h.openai.Stats().Calls, "nothing was sent")
			require.Zero(t, h.billing.Held())
			for _, hold := range h.billing.Holds() {
				require.Zero(t, hold.Cost)
				require.Equal(t, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, hold.Settled[0].GetOutcome())
			}
			require.Contains(t, h.logged.String(), "TRIVET_FALLBACK_TEXT")
		})
	}
}

func TestFallbackTurnedOff(t *testing.T) {
	h := newFixture(t, withFallback("none"), withoutServer(t))
	_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "m", Messages: user("hi")})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.From(err))
	_, err = h.pieces(&aiv1.ChatStreamRequest{Model: "m", Messages: user("hi")})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.From(err))
}

// TestNoFallbackForOtherFailures: a provider that answers is available, whatever it answers.
func TestNoFallbackForOtherFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		fault  fault.Fault
		reason errorsv1.ErrorReason
	}{
		"500":       {fault.Fault{Kind: fault.Status, Status: 500}, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"429":       {fault.Fault{Kind: fault.RateLimit, RetryAfter: 9 * time.Second}, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED},
		"wrong key": {fault.Fault{Kind: fault.Status, Status: 401}, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR},
		"cut":       {fault.Fault{Kind: fault.Close}, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withFallback(cannedText))
			tc.fault.Count = 2
			h.fault(tc.fault)
			for range 2 { // the second call meets what the first has left behind
				res, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
				require.Nil(t, res)
				requireReason(t, tc.reason, errs.From(err))
			}
		})
	}
}

// TestBillingUnavailable: nothing is sent upstream, and no fallback hides it.
func TestBillingUnavailable(t *testing.T) {
	down := errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "billing is down").After(time.Second)
	late := errs.New(errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED, "billing is late")
	for rpc, failure := range map[string]*errs.Error{"GetEntitlements": down, "Reserve": down, "GetEntitlements, late": late, "Reserve, late": late} {
		t.Run(rpc, func(t *testing.T) {
			h := newFixture(t, withFallback(cannedText), withBefore(func(_ context.Context, called string) error {
				if called == rpc || called+", late" == rpc {
					return asStatus(failure)
				}
				return nil
			}))
			_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
			e := errs.From(err)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, e)
			require.Equal(t, time.Second, e.RetryAfter)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, h.chat(hello).err)
			require.Zero(t, h.openai.Stats().Calls)
		})
	}
}

// TestRateLimitSaysWhenToReturn also when the provider does not.
func TestRateLimitSaysWhenToReturn(t *testing.T) {
	h := newFixture(t, withUpstream(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"error":{"message":"slow down"}}`))
	}))
	a := h.chat(hello)
	require.Equal(t, int32(http.StatusTooManyRequests), a.head.GetStatus())
	require.Equal(t, "1", a.head.GetHeaders()["retry-after"])
	a = h.chat(hello) // the target is left alone now
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, a.err)
	require.Equal(t, time.Second, a.err.RetryAfter)
}
