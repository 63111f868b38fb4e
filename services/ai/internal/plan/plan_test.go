package plan_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
	"github.com/trivet-dev/trivet/services/ai/internal/plan"
)

func newCache(t *testing.T, before func(context.Context, string) error) (*plan.Cache, *billingtest.Fake) {
	t.Helper()
	f := billingtest.New(nil, 0)
	f.Before = before
	c, err := plan.NewCache(f, 10, time.Now)
	require.NoError(t, err)
	return c, f
}

func TestRememberedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newCache(t, nil)
		for range 3 {
			got, err := c.Get(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, "unlimited", got.GetPlanId())
		}
		require.Equal(t, 1, f.Asked())
		time.Sleep(time.Second - time.Nanosecond)
		f.Plan = &billingv1.GetEntitlementsResponse{PlanId: "free"}
		got, err := c.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "unlimited", got.GetPlanId())
		time.Sleep(time.Nanosecond)
		got, err = c.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "free", got.GetPlanId())
	})
}

func TestManyCallersAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		c, f := newCache(t, func(context.Context, string) error { <-answer; return nil })
		leaver, leave := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			_, err := c.Get(leaver, "a")
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, errs.ReasonOf(err))
		})
		for range 50 {
			callers.Go(func() {
				_, err := c.Get(t.Context(), "a")
				require.NoError(t, err, "a caller who leaves does not affect the others")
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(answer)
		callers.Wait()
		require.Equal(t, 1, f.Asked())
	})
}

func TestErrorsAreNotRemembered(t *testing.T) {
	fail := true
	c, f := newCache(t, func(context.Context, string) error {
		if fail {
			return errors.New("boom")
		}
		return nil
	})
	_, err := c.Get(t.Context(), "a")
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INTERNAL, errs.ReasonOf(err))
	fail = false
	_, err = c.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 1, f.Asked())
}

func TestSilentBillingTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newCache(t, func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		start := time.Now()
		_, err := c.Get(t.Context(), "a")
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(err))
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestBounded(t *testing.T) {
	c, f := newCache(t, nil)
	for i := range 30 {
		_, err := c.Get(t.Context(), fmt.Sprint(i))
		require.NoError(t, err)
	}
	_, err := c.Get(t.Context(), "0")
	require.NoError(t, err)
	require.Equal(t, 31, f.Asked(), "the oldest was forgotten")
	_, err = plan.NewCache(f, 0, time.Now)
	require.Error(t, err)
}
