package hold_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errDown = status.Error(codes.Unavailable, "billing is down")
	used    = hold.Final{Usage: tokens.Usage{Input: 10, Output: 5}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED}
)

type fixture struct {
	*hold.Keeper
	billing *billingtest.Fake
	logged  *strings.Builder
}

// newFixture makes a keeper whose billing fails as before says.
func newFixture(t *testing.T, before func(ctx context.Context, rpc string) error) *fixture {
	t.Helper()
	list, err := models.Default()
	require.NoError(t, err)
	r := &fixture{billing: billingtest.New(list, billingtest.Unlimited), logged: &strings.Builder{}}
	r.billing.Before = before
	r.Keeper = r.on(r.billing)
	return r
}

// on is a keeper of holds in a ledger.
func (r *fixture) on(ledger hold.Ledger) *hold.Keeper {
	return hold.NewKeeper(ledger, slog.New(slog.NewTextHandler(r.logged, nil)), time.Now)
}

// losing is a ledger whose first answers about refused calls are lost.
type losing struct {
	hold.Ledger
	lose int
}

func (l *losing) RecordRequests(ctx context.Context, r *billingv1.RecordRequestsRequest, o ...grpc.CallOption) (*billingv1.RecordRequestsResponse, error) {
	res, err := l.Ledger.RecordRequests(ctx, r, o...)
	if l.lose > 0 {
		l.lose--
		return nil, errDown
	}
	return res, err
}

// run starts the keeper's work and returns what stops it.
func (r *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

func (r *fixture) openOne(t *testing.T) *hold.Hold {
	t.Helper()
	h, err := r.Open(t.Context(), &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "gpt-4o-mini", InputTokens: 100, MaxOutputTokens: 50, MinOutputTokens: 1})
	require.NoError(t, err)
	require.EqualValues(t, 50, h.OutputTokens())
	return h
}

func (r *fixture) settlements() int { return len(r.billing.Holds()[0].Settled) }

func TestSettleOnceHoweverOften(t *testing.T) {
	r := newFixture(t, nil)
	h := r.openOne(t)
	require.Equal(t, 1, r.Running())
	var callers sync.WaitGroup
	receipts := make([]hold.Receipt, 20)
	for i := range receipts {
		callers.Go(func() { receipts[i] = h.Settle(used) })
	}
	callers.Wait()
	late := h.Close(func() hold.Final { panic("asked for the end of a closed hold") })
	require.Equal(t, hold.Receipt{Usage: used.Usage, Cost: 10*150 + 5*600, Settled: true}, late)
	for _, receipt := range receipts {
		require.Equal(t, late, receipt)
	}
	require.Equal(t, 1, r.settlements())
	require.Zero(t, r.Running())
}

// TestOddProviderIDsNeverKeepAHoldFromBeingSettled lists ids that a provider may send and billing does not take.
func TestOddProviderIDsNeverKeepAHoldFromBeingSettled(t *testing.T) {
	for id, want := range map[string]string{
		"":                                "",
		"req_1":                           "req_1",
		strings.Repeat("x", 128):          strings.Repeat("x", 128),
		strings.Repeat("x", 129):          strings.Repeat("x", 128),
		strings.Repeat("y", 1<<20):        strings.Repeat("y", 128),
		"\xff\xfe":                        "",
		"req\x00":                         "",
		"req 1":                           "",
		"réq_1":                           "",
		strings.Repeat("x", 127) + "\xc3": "",
		"req~!":                           "req~!",
		"req\x7f":                         "",
	} {
		r := newFixture(t, nil)
		final := used
		final.ProviderID = id
		require.True(t, r.openOne(t).Settle(final).Settled, "%.20q", id)
		require.Equal(t, want, r.billing.Holds()[0].Settled[0].GetProviderRequestId(), "%.20q", id)
	}
}

func TestAPanicSettles(t *testing.T) {
	r := newFixture(t, nil)
	require.PanicsWithValue(t, "boom", func() {
		h := r.openOne(t)
		defer h.Close(func() hold.Final { return used })
		panic("boom")
	})
	require.Equal(t, 1, r.settlements())
}

func TestSettlementOutlivesItsCall(t *testing.T) {
	r := newFixture(t, func(ctx context.Context, _ string) error { return ctx.Err() })
	ctx, cancel := context.WithCancel(t.Context())
	h, err := r.Open(ctx, &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "gpt-4o-mini"})
	require.NoError(t, err)
	cancel()
	require.True(t, h.Settle(used).Settled)
	_, err = r.Open(ctx, &billingv1.ReserveRequest{RequestId: "r2", AccountId: "acct_1", Model: "gpt-4o-mini"})
	require.NoError(t, err, "a reservation is not left half made")
}

// A ledger that does not answer refuses the call. The limit of activepieces/activepieces#14436 lets calls through then.
func TestReserveErrors(t *testing.T) {
	var calls atomic.Int64
	r := newFixture(t, func(context.Context, string) error {
		if calls.Add(1) == 1 {
			return errDown
		}
		return nil
	})
	_ = r.openOne(t).Settle(hold.Final{Outcome: billingv1.Outcome_OUTCOME_COMPLETED})
	require.EqualValues(t, 3, calls.Load(), "tried a second time")

	down := newFixture(t, func(context.Context, string) error { return errDown })
	_, err := down.Open(t.Context(), &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "gpt-4o-mini"})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(err))
	require.Zero(t, down.Running())
}

// TestARefusedReservationIsNotRepeated: only a billing that is unavailable is asked twice.
func TestARefusedReservationIsNotRepeated(t *testing.T) {
	for code, want := range map[codes.Code]int64{
		codes.FailedPrecondition: 1, codes.InvalidArgument: 1, codes.Internal: 1, codes.ResourceExhausted: 1, codes.Unavailable: 2,
	} {
		var calls atomic.Int64
		r := newFixture(t, func(context.Context, string) error {
			calls.Add(1)
			return status.Error(code, "refused")
		})
		_, err := r.Open(t.Context(), &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "gpt-4o-mini"})
		require.Error(t, err)
		require.Equal(t, want, calls.Load(), code)
	}
}

// TestSlowBilling looks at the time that a call waits, and at what continues in the background.
func TestSlowBilling(t *testing.T) {
	for name, fail := range map[string]func(ctx context.Context) error{
		"down":   func(context.Context) error { return errDown },
		"silent": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"broken": func(context.Context) error { return status.Error(codes.Internal, "busy") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var well atomic.Bool
				r := newFixture(t, func(ctx context.Context, rpc string) error {
					if rpc == "Settle" && !well.Load() {
						return fail(ctx)
					}
					return nil
				})
				stop := r.run()
				start := time.Now()
				receipt := r.openOne(t).Settle(used)
				require.False(t, receipt.Settled)
				require.Equal(t, used.Usage, receipt.Usage)
				require.Equal(t, 2*time.Second, time.Since(start))
				require.Zero(t, r.settlements())
				time.Sleep(time.Hour)
				require.Zero(t, r.settlements())
				well.Store(true)
				time.Sleep(15 * time.Second)
				require.Equal(t, 1, r.settlements())
				require.Zero(t, r.Pending())
				stop()
				require.NoError(t, r.Drain(context.Background()))
			})
		})
	}
}

// late is a ledger that makes a hold after its caller has stopped waiting.
type late struct {
	hold.Ledger
	refuses  bool
	lost     bool // it answers at once, as a billing whose connection broke
	reserves atomic.Int32
}

func (l *late) Reserve(ctx context.Context, r *billingv1.ReserveRequest, o ...grpc.CallOption) (*billingv1.ReserveResponse, error) {
	n := l.reserves.Add(1)
	if l.lost && n <= 2 { // the keeper asks twice
		_, err := l.Ledger.Reserve(ctx, r, o...)
		return nil, errors.Join(err, errDown)
	}
	if n > 1 {
		if l.refuses {
			return nil, status.Error(codes.ResourceExhausted, "the balance is used up")
		}
		return l.Ledger.Reserve(ctx, r, o...)
	}
	<-ctx.Done()
	if !l.refuses {
		if _, err := l.Ledger.Reserve(context.WithoutCancel(ctx), r, o...); err != nil {
			return nil, err
		}
	}
	return nil, status.FromContextError(ctx.Err()).Err()
}

// A hold that was made although nobody heard of it is ended without cost; the sweeper would bill it.
func TestAHoldThatCameTooLateIsReleased(t *testing.T) {
	for name, c := range map[string]struct{ refuses, lost bool }{"made": {}, "refused": {refuses: true}, "the answer is lost": {lost: true}} {
		refuses := c.refuses
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newFixture(t, nil)
				ledger := &late{Ledger: r.billing, refuses: refuses, lost: c.lost}
				r.Keeper = r.on(ledger)
				stop := r.run()
				defer stop()
				_, err := r.Open(t.Context(), &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "gpt-4o-mini", InputTokens: 100, MaxOutputTokens: 50, MinOutputTokens: 1})
				require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(err))
				time.Sleep(time.Minute)
				want := int32(2)
				if c.lost {
					want = 3
				}
				require.Equal(t, want, ledger.reserves.Load())
				require.Zero(t, r.Pending())
				require.Zero(t, r.billing.Held())
				if refuses {
					require.Empty(t, r.billing.Holds())
					return
				}
				require.Equal(t, 1, r.settlements())
				settled := r.billing.Holds()[0].Settled[0]
				require.Equal(t, billingv1.Outcome_OUTCOME_REPLACED, settled.GetOutcome())
				require.Zero(t, settled.GetUsage().GetInputTokens())
			})
		})
	}
}

// forgetful is a ledger that loses its first answer about a hold, and refuses the second attempt.
type forgetful struct {
	hold.Ledger
	reserves atomic.Int32
}

func (f *forgetful) Reserve(ctx context.Context, r *billingv1.ReserveRequest, o ...grpc.CallOption) (*billingv1.ReserveResponse, error) {
	switch f.reserves.Add(1) {
	case 1:
		_, err := f.Ledger.Reserve(ctx, r, o...)
		return nil, errors.Join(err, errDown)
	case 2:
		return nil, status.Error(codes.ResourceExhausted, "the balance is used up")
	default:
		return f.Ledger.Reserve(ctx, r, o...)
	}
}

// A refusal of the second attempt is not the result of the first: a hold that it made is ended without cost.
func TestARefusalDoesNotHideAnEarlierHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, nil)
		r.Keeper = r.on(&forgetful{Ledger: r.billing})
		stop := r.run()
		defer stop()
		_, err := r.Open(t.Context(), &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "gpt-4o-mini", InputTokens: 100, MaxOutputTokens: 50, MinOutputTokens: 1})
		require.Error(t, err)
		require.NotEqual(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(err))
		time.Sleep(time.Minute)
		require.Zero(t, r.Pending())
		require.Zero(t, r.billing.Held())
		require.Equal(t, 1, r.settlements())
		require.Equal(t, billingv1.Outcome_OUTCOME_REPLACED, r.billing.Holds()[0].Settled[0].GetOutcome())
	})
}

// A release that has found the hold settles it after any number of failures. While the process runs, an outage of billing
// ends no release before the sweeper ends the hold.
func TestAReleaseOutlivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		settles := 0
		r := newFixture(t, func(_ context.Context, rpc string) error {
			if rpc == "Reserve" && time.Since(begun) < 2*time.Minute {
				return errDown
			}
			if rpc == "Settle" {
				if settles++; settles == 1 {
					return errDown
				}
			}
			return nil
		})
		stop := r.run()
		defer stop()
		_, err := r.Open(t.Context(), &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "gpt-4o-mini", InputTokens: 100})
		require.Error(t, err)
		time.Sleep(3 * time.Minute)
		require.Zero(t, r.Pending())
		require.Zero(t, r.billing.Held())
		require.Equal(t, 1, r.settlements())
		require.Empty(t, r.logged.String())
	})
}

// A billing that stays late holds up neither the queue nor the end of the process for long.
func TestAReleaseIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, func(_ context.Context, rpc string) error {
			if rpc == "Reserve" {
				return status.Error(codes.DeadlineExceeded, "late")
			}
			return nil
		})
		_, err := r.Open(t.Context(), &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "gpt-4o-mini"})
		require.Error(t, err)
		require.Equal(t, 1, r.Pending())
		begun := time.Now()
		require.NoError(t, r.Drain(t.Context()))
		require.Less(t, time.Since(begun), 2*time.Second)
		require.Contains(t, r.logged.String(), "request_id=r1")
	})
}

// A billing that does not obey its context, as a function call that waits for a database, holds up nobody for longer.
func TestBillingThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := newFixture(t, func(_ context.Context, rpc string) error {
			if rpc == "Settle" && calls.Add(1) == 1 {
				time.Sleep(9 * time.Second)
			}
			return nil
		})
		stop := r.run()
		h, begun := r.openOne(t), time.Now()
		require.False(t, h.Settle(used).Settled)
		require.Equal(t, 2*time.Second, time.Since(begun))
		stop()
		require.NoError(t, r.Drain(t.Context()))
		require.Equal(t, 9*time.Second, time.Since(begun), "Drain waits for the call that still runs")
		require.GreaterOrEqual(t, r.settlements(), 1)
		require.Zero(t, r.billing.Held())
	})
}

func TestPermanentRejectionIsNotRetried(t *testing.T) {
	var calls atomic.Int64
	r := newFixture(t, func(_ context.Context, rpc string) error {
		if rpc == "Settle" {
			calls.Add(1)
			return status.Error(codes.NotFound, "no such hold")
		}
		return nil
	})
	require.False(t, r.openOne(t).Settle(used).Settled)
	require.EqualValues(t, 1, calls.Load())
	require.Zero(t, r.Pending())
	require.Contains(t, r.logged.String(), "level=ERROR")
	require.Contains(t, r.logged.String(), "hold_r1")
}

func TestShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		r := newFixture(t, func(_ context.Context, rpc string) error {
			if rpc == "Settle" && !well.Load() {
				return errDown
			}
			return nil
		})
		stop := r.run()
		r.openOne(t).Settle(used)
		time.Sleep(10 * time.Second)
		require.Equal(t, 1, r.Pending(), "a settlement that a worker tries again is counted, so that the alert fires")
		stop()
		require.Equal(t, 1, r.Pending(), "what failed is kept")

		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.ErrorIs(t, r.Drain(short), context.DeadlineExceeded)
		require.Equal(t, 1, r.Pending())
		require.Contains(t, r.logged.String(), "sweeper")

		well.Store(true)
		require.NoError(t, r.Drain(context.Background()))
		require.Equal(t, 1, r.settlements())
	})
}

func TestCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, nil)
		stop := r.run()
		defer stop()
		h := r.openOne(t)
		var output atomic.Int64
		h.Watch(func() tokens.Usage { return tokens.Usage{Input: 7, Output: output.Load()} })

		output.Store(3)
		time.Sleep(1900 * time.Millisecond)
		require.Empty(t, r.billing.Checkpoints(), "too young")
		time.Sleep(700 * time.Millisecond)
		require.Len(t, r.billing.Checkpoints(), 1)
		require.EqualValues(t, 7, r.billing.Checkpoints()[0].GetUsage().GetInputTokens())
		require.EqualValues(t, 3, r.billing.Checkpoints()[0].GetUsage().GetOutputTokens())

		time.Sleep(5 * time.Second)
		require.Len(t, r.billing.Checkpoints(), 1, "nothing new")
		output.Store(4)
		time.Sleep(time.Second)
		require.Len(t, r.billing.Checkpoints(), 2)
		time.Sleep(11 * time.Second)
		require.Len(t, r.billing.Checkpoints(), 3, "silence must not cost the lease")

		h.Settle(used)
		output.Store(100)
		time.Sleep(time.Minute)
		require.Len(t, r.billing.Checkpoints(), 3, "a settled hold is left alone")
	})
}

func TestCheckpointsSurviveABillingThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		r := newFixture(t, func(_ context.Context, rpc string) error {
			if rpc == "Checkpoint" && !well.Load() {
				return errors.New("boom")
			}
			return nil
		})
		stop := r.run()
		defer stop()
		h := r.openOne(t)
		h.Watch(func() tokens.Usage { return tokens.Usage{Output: 1} })
		time.Sleep(5 * time.Second)
		well.Store(true)
		time.Sleep(time.Second)
		require.NotEmpty(t, r.billing.Checkpoints())
		h.Settle(used)
	})
}

// TestCheckpointsOfCosts: the first one does not wait, and a cost that changes is written although the tokens do not.
func TestCheckpointsOfCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, nil)
		stop := r.run()
		defer stop()
		h := r.openPriced(t)
		var cost atomic.Int64
		cost.Store(30)
		h.WatchCost(cost.Load)
		h.Watch(func() tokens.Usage { return tokens.Usage{} })

		time.Sleep(600 * time.Millisecond)
		require.Len(t, r.billing.Checkpoints(), 1, "a process that dies now must not make the call free")
		require.EqualValues(t, 30, r.billing.Checkpoints()[0].GetCostNanoUsd())
		time.Sleep(5 * time.Second)
		require.Len(t, r.billing.Checkpoints(), 1, "nothing new")
		cost.Store(31)
		time.Sleep(time.Second)
		require.Len(t, r.billing.Checkpoints(), 2)
		require.EqualValues(t, 31, r.billing.Checkpoints()[1].GetCostNanoUsd())
		time.Sleep(5 * time.Second)
		require.Len(t, r.billing.Checkpoints(), 2)
		h.Settle(used)
	})
}

func (r *fixture) openPriced(t *testing.T) *hold.Hold {
	t.Helper()
	h, err := r.Open(t.Context(), priced())
	require.NoError(t, err)
	return h
}

func priced() *billingv1.ReserveRequest {
	return &billingv1.ReserveRequest{RequestId: "r1", AccountId: "acct_1", Model: "tts-1", Pricing: &billingv1.CallPricing{FixedNanoUsd: 40}}
}

// TestBillingThatDoesNotKnowPricing would settle a priced call by its tokens alone, so that the call is not made.
func TestBillingThatDoesNotKnowPricing(t *testing.T) {
	r := newFixture(t, nil)
	r.billing.IgnoresPricing = true
	_, err := r.Open(t.Context(), priced())
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(err))
	require.Contains(t, r.logged.String(), "update billing first")
	require.Equal(t, 1, r.settlements())
	require.Equal(t, billingv1.Outcome_OUTCOME_REPLACED, r.billing.Holds()[0].Settled[0].GetOutcome())
	require.Zero(t, r.billing.Held())
	require.Zero(t, r.Running())

	plain, err := r.Open(t.Context(), &billingv1.ReserveRequest{RequestId: "r2", AccountId: "acct_1", Model: "gpt-4o-mini", InputTokens: 100, MaxOutputTokens: 50, MinOutputTokens: 1})
	require.NoError(t, err, "calls without pricing are served")
	plain.Settle(used)
}
