package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// misses are calls of an account whose plan is missing.
func (b *fixture) misses() map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Plan": func(ctx context.Context) error {
			_, err := b.Plan(ctx, alice)
			return err
		},
		"Reserve": func(ctx context.Context) error {
			_, err := b.Reserve(ctx, ledger.Reservation{RequestID: "r1", AccountID: alice, Model: "embed", InputTokens: 1})
			return err
		},
	}
}

// withoutPlan runs a test for each call, on an account whose plan nobody knows.
func withoutPlan(t *testing.T, test func(t *testing.T, b *fixture, call func(ctx context.Context) error)) {
	t.Helper()
	for name := range (&fixture{}).misses() {
		t.Run(name, func(t *testing.T) {
			each(t, "narrow", func(t *testing.T, b *fixture) {
				b.account()
				delete(b.plans.all, "narrow")
				test(t, b, b.misses()[name])
			})
		})
	}
}

// The applied plans are read once in a second for a plan that is missing, for any number of calls that miss it.
func TestAMissingPlanIsLookedForOnceInASecond(t *testing.T) {
	withoutPlan(t, func(t *testing.T, b *fixture, call func(ctx context.Context) error) {
		for reads := range int64(3) {
			for range 3 {
				_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, call(t.Context()))
				require.Equal(t, reads+1, b.plans.reloads.Load())
			}
			b.clock.Set(b.clock.Now().Add(time.Second - time.Microsecond))
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, call(t.Context()))
			require.Equal(t, reads+1, b.plans.reloads.Load())
			b.clock.Set(b.clock.Now().Add(time.Microsecond))
		}
	})
}

// Calls at once share a read, and one whose caller leaves ends at once.
func TestCallsThatMissAPlanShareARead(t *testing.T) {
	withoutPlan(t, func(t *testing.T, b *fixture, call func(ctx context.Context) error) {
		began, release := make(chan struct{}, 10), make(chan struct{})
		b.plans.reading = func(context.Context) error {
			began <- struct{}{}
			<-release
			return nil
		}
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- call(ctx) }()
		<-began
		leave()
		require.ErrorIs(t, <-left, context.Canceled)

		var calls sync.WaitGroup
		failed := make([]error, 8)
		for i := range failed {
			calls.Go(func() { failed[i] = call(t.Context()) })
		}
		close(release)
		calls.Wait()
		for _, err := range failed {
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, err)
		}
		require.EqualValues(t, 1, b.plans.reloads.Load())
	})
}

// While the applied plans cannot be read, nobody knows whether the plan is missing. The next call reads them, and finds what another replica has applied.
func TestAPlanThatCannotBeReadIsNotMissing(t *testing.T) {
	withoutPlan(t, func(t *testing.T, b *fixture, call func(ctx context.Context) error) {
		b.plans.reading = func(context.Context) error {
			return fmt.Errorf("%w: %w", ledger.ErrUnavailable, errors.New("no connection"))
		}
		err := call(t.Context())
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.NotEqual(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, reasonOf(err))
		plan := newPlans(t, "narrow").all["narrow"]
		b.plans.reading = func(context.Context) error {
			b.plans.all["narrow"] = plan
			return nil
		}
		require.NoError(t, call(t.Context()))
		require.EqualValues(t, 2, b.plans.reloads.Load())
	})
}
