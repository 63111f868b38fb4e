package ai_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
)

// TestExactlyTheLimitPasses: of 60 calls at once, 20 reach the provider, with one process, with and without Redis, and with two that share a Redis.
func TestExactlyTheLimitPasses(t *testing.T) {
	for name, replicas := range map[string]func(t *testing.T) []*fixture{
		"one process": func(t *testing.T) []*fixture { t.Helper(); return []*fixture{newFixture(t)} },
		"one process with Redis": func(t *testing.T) []*fixture {
			t.Helper()
			url := settings.NewSecret(redistest.New(t).URL())
			return []*fixture{newFixture(t, withConfig(func(c *ai.Config) { c.Redis = url }))}
		},
		"two replicas with Redis": func(t *testing.T) []*fixture {
			t.Helper()
			url := settings.NewSecret(redistest.New(t).URL())
			shared := withConfig(func(c *ai.Config) { c.Redis = url })
			return []*fixture{newFixture(t, shared), newFixture(t, shared)}
		},
	} {
		for limit, limits := range map[string]*billingv1.Limits{
			"requests_per_minute": {RequestsPerMinute: 20}, "requests_per_day": {RequestsPerDay: 20},
		} {
			t.Run(name+", "+limit, func(t *testing.T) {
				all := replicas(t)
				for _, h := range all {
					h.billing.Plan = &billingv1.GetEntitlementsResponse{PlanId: "p", Limits: limits}
				}
				var passed, refused atomic.Int64
				var callers sync.WaitGroup
				room := make(chan struct{}, 8)
				for i := range 60 {
					callers.Go(func() {
						room <- struct{}{}
						defer func() { <-room }()
						_, err := all[i%len(all)].Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
						e := errs.From(err)
						switch {
						case err == nil:
							passed.Add(1)
						case e.Reason == errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED && e.Metadata["limit"] == limit && e.RetryAfter > 0:
							refused.Add(1)
						default:
							t.Errorf("unexpected error: %v", err)
						}
					})
				}
				callers.Wait()
				var sent int64
				for _, h := range all {
					sent += h.openai.Stats().Calls
					require.NotContains(t, h.logged.String(), "level=ERROR")
				}
				require.EqualValues(t, 20, passed.Load())
				require.EqualValues(t, 40, refused.Load())
				require.EqualValues(t, 20, sent)
			})
		}
	}
}

func TestAddressOfRedisIsChecked(t *testing.T) {
	c := ai.Config{Redis: settings.NewSecret("localhost:6379/secret")}
	err := c.Validate(nil)
	require.ErrorContains(t, err, "REDIS_URL")
	require.NotContains(t, err.Error(), "secret")
}
