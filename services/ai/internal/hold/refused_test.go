package hold_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
)

var (
	caller    = &passport.Claims{UserID: "user_1", AccountID: "acct_1", APIKeyID: "key_1"}
	errBudget = errs.New(errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "The balance is used up.")
)

func (r *fixture) refuse(n int) {
	for range n {
		r.Refuse(context.Background(), caller, "gpt-4o-mini", time.Time{}, errBudget)
	}
}

func TestRefusedCallsAreLoggedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches atomic.Int64
		r := newFixture(t, func(_ context.Context, rpc string) error {
			if rpc == "RecordRequests" {
				batches.Add(1)
			}
			return nil
		})
		stop := r.run()
		began := time.Now()
		time.Sleep(3 * time.Millisecond)
		r.Refuse(requestid.With(t.Context(), "req_http"), caller, "gpt-4o-mini", began, errBudget)
		synctest.Wait()
		require.Empty(t, r.billing.Refused(), "it waits for others")
		r.refuse(2)
		time.Sleep(time.Second)
		synctest.Wait()
		got := r.billing.Refused()
		require.Len(t, got, 3)
		require.EqualValues(t, 1, batches.Load())
		at, ok := callid.Parse(got[0].GetId(), "acct_1")
		require.True(t, ok)
		require.Equal(t, began.Add(3*time.Millisecond).UTC(), at)
		require.Equal(t, began.Add(3*time.Millisecond).UTC(), got[0].GetEndTime().AsTime())
		require.EqualValues(t, 3000, got[0].GetLatencyMicros())
		require.Zero(t, got[1].GetLatencyMicros())
		require.Equal(t, []string{"acct_1", "user_1", "key_1", "gpt-4o-mini", "req_http", "INSUFFICIENT_BALANCE"}, []string{
			got[0].GetAccountId(), got[0].GetUserId(), got[0].GetApiKeyId(), got[0].GetModel(), got[0].GetHttpRequestId(), got[0].GetErrorCode(),
		})
		require.NotEqual(t, got[1].GetId(), got[2].GetId())

		r.refuse(1001)
		synctest.Wait()
		require.Len(t, r.billing.Refused(), 1003, "full batches do not wait")
		require.Equal(t, 0, r.RefusedPending())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, r.billing.Refused(), 1004)
		require.EqualValues(t, 4, batches.Load())
		stop()
		require.NoError(t, r.Drain(t.Context()))
	})
}

// The name of a model is a caller's text: what cannot be a name is not stored.
func TestRefusedCallsStoreNoText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, nil)
		stop := r.run()
		for _, model := range []string{"", "tell me a story", "gpt\n4", "\xff", "größe", strings.Repeat("m", 1000)} {
			r.Refuse(t.Context(), caller, model, time.Time{}, errBudget)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := r.billing.Refused()
		require.Len(t, got, 6)
		for _, call := range got[:5] {
			require.Empty(t, call.GetModel())
		}
		require.Equal(t, strings.Repeat("m", 128), got[5].GetModel())
		stop()
	})
}

func TestRefusedCallsWaitForBilling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		r := newFixture(t, func(context.Context, string) error {
			if well.Load() {
				return nil
			}
			return errDown
		})
		stop := r.run()
		const room = 16_384
		r.refuse(1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.refuse(room)
		require.Equal(t, room, r.RefusedPending())
		require.Zero(t, r.RefusedDropped())
		r.refuse(3)
		require.EqualValues(t, 3, r.RefusedDropped(), "memory is bounded")
		well.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Len(t, r.billing.Refused(), room+1)
		require.Zero(t, r.RefusedPending())
		stop()
		require.NoError(t, r.Drain(t.Context()))
		require.EqualValues(t, 3, r.RefusedDropped())
	})
}

// A batch whose answer was lost is sent again as it was.
func TestALostAnswerLogsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, nil)
		answers := &losing{Ledger: r.billing, lose: 3}
		r.Keeper = r.on(answers)
		stop := r.run()
		r.refuse(2)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Zero(t, answers.lose)
		require.Len(t, r.billing.Refused(), 2)
		stop()
	})
}

func TestRejectedRefusalsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reject atomic.Bool
		reject.Store(true)
		r := newFixture(t, func(context.Context, string) error {
			if reject.Load() {
				return status.Error(codes.InvalidArgument, "no")
			}
			return nil
		})
		stop := r.run()
		r.refuse(2)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, 2, r.RefusedDropped())
		require.Contains(t, r.logged.String(), "level=ERROR")
		reject.Store(false)
		r.refuse(1)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, r.billing.Refused(), 1, "the next ones are logged")
		stop()
	})
}

func TestShutdownLogsRefusedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		r := newFixture(t, func(context.Context, string) error {
			if well.Load() {
				return nil
			}
			return errDown
		})
		stop := r.run()
		r.refuse(700)
		time.Sleep(5 * time.Second)
		stop()
		r.refuse(700) // calls end after Run
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = r.Drain(short)
		require.EqualValues(t, 1400, r.RefusedDropped())
		require.Contains(t, r.logged.String(), "requests=1400")

		well.Store(true)
		require.NoError(t, r.Drain(t.Context()))
		require.Len(t, r.billing.Refused(), 1400, "another Drain still has them")
	})
}

// Billing may stop at the same time: the process must not wait for it until its own end is forced.
func TestShutdownWaitsLittleForTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, func(context.Context, string) error { return errDown })
		r.refuse(3)
		began := time.Now()
		require.NoError(t, r.Drain(t.Context()))
		require.LessOrEqual(t, time.Since(began), 3*time.Second) // of the bubble's own clock
		require.EqualValues(t, 3, r.RefusedDropped())
		require.Contains(t, r.logged.String(), "level=ERROR")
	})
}

// A batch that billing cannot log for a reason of its own does not keep those behind it from being sent.
func TestABadBatchIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := newFixture(t, func(context.Context, string) error {
			if calls.Add(1) <= 5 {
				return status.Error(codes.Internal, "a bug")
			}
			return nil
		})
		stop := r.run()
		r.refuse(2)
		time.Sleep(10 * time.Minute)
		r.refuse(1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 2, r.RefusedDropped())
		require.Len(t, r.billing.Refused(), 1)
		stop()
	})
}
