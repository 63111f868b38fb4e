package hold

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/tracing"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

const (
	// firstDelay is the wait after a first failure; it doubles up to maxDelay.
	firstDelay = 50 * time.Millisecond
	maxDelay   = 5 * time.Second
	// settlers is how many settlements run at once in the background.
	settlers = 4
	// maxReleases bounds the releases in the background, so that they leave room for settlements.
	maxReleases = 1024
	// releaseTime is how long a release is tried: by then billing's sweeper has ended the hold.
	releaseTime = 5 * time.Minute
	// lastReleases is how often a release is tried when the process ends.
	lastReleases = 3
)

// settlement is a settlement that is not done yet.
type settlement struct {
	ctx context.Context
	req *billingv1.SettleRequest
	// reserve is set while it is unknown whether billing made the hold; until is when the release is given up.
	reserve  *billingv1.ReserveRequest
	until    time.Time
	failures int
}

// release ends a hold that billing may have made, or may still make, although it did not answer. No call was made under it, but the
// sweeper would bill one, and an idempotency key would name it.
func (k *Keeper) release(ctx context.Context, req *billingv1.ReserveRequest) {
	if len(k.pending) > maxReleases {
		return // settlements come first
	}
	k.enqueue(settlement{
		ctx: context.WithoutCancel(ctx), reserve: proto.CloneOf(req), until: k.now().Add(releaseTime),
		req: &billingv1.SettleRequest{Usage: tokens.Usage{}.Proto(), Outcome: billingv1.Outcome_OUTCOME_REPLACED},
	})
}

// find learns the id of a hold that billing may have made. It reports false if none exists.
func (k *Keeper) find(ctx context.Context, s settlement) (found bool, err error) {
	if s.reserve == nil || s.req.GetHoldId() != "" {
		return true, nil
	}
	res, err := k.ledger.Reserve(ctx, s.reserve)
	switch status.Code(err) {
	case codes.OK:
		s.req.HoldId = res.GetHoldId()
		return true, nil
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Internal, codes.Unknown:
		return false, err
	default:
		return false, nil // refused
	}
}

// settle tries until settleWait is over, then hands over to the background.
func (k *Keeper) settle(h *Hold, final Final) (r Receipt) {
	traced, span := tracing.Start(h.ctx, "settle", tracing.Internal)
	if span.On() {
		defer func() { describeSettle(span, h, &final, r) }()
	}
	s := settlement{ctx: traced, req: settleRequest(h, &final)}
	ctx, cancel := context.WithTimeout(traced, settleWait)
	defer cancel()
	for {
		res, err := k.settleOnce(ctx, s.req)
		if err == nil {
			return Receipt{Usage: final.Usage, Cost: res.GetCostNanoUsd(), Settled: true}
		}
		if k.permanent(s, err) {
			return Receipt{Usage: final.Usage}
		}
		s.failures++
		if wait.For(ctx, delay(s.failures)) != nil {
			break
		}
	}
	k.log.WarnContext(h.ctx, "billing did not settle a call in time; retrying in the background", slog.String("hold_id", h.id))
	k.enqueue(s)
	return Receipt{Usage: final.Usage}
}

func settleRequest(h *Hold, final *Final) *billingv1.SettleRequest {
	req := &billingv1.SettleRequest{
		HoldId: h.id, Usage: final.Usage.Proto(), Outcome: final.Outcome, Estimated: final.Estimated,
		ProviderRequestId: callid.Name(final.ProviderID), Target: callid.Name(final.Target), ServedModel: callid.Name(final.ServedModel),
		LatencyMicros: max(0, final.Latency.Microseconds()), FirstByteMicros: max(0, final.FirstByte.Microseconds()), ErrorCode: final.ErrorCode,
		HttpRequestId: requestid.From(h.ctx), Details: final.Details,
	}
	if final.Priced {
		req.CostNanoUsd = &final.Cost
	}
	return req
}

// settleOnce waits for billing until ctx ends. In the same process billing is a function call, which ends no sooner than the
// database answers, so the call has a goroutine of its own; Drain waits for it. Settling again meanwhile is safe.
func (k *Keeper) settleOnce(ctx context.Context, req *billingv1.SettleRequest) (*billingv1.SettleResponse, error) {
	type answer struct {
		res  *billingv1.SettleResponse
		err  error
		come chan struct{}
	}
	a := &answer{come: make(chan struct{})}
	k.settling.Add(1)
	k.tasks.Go(func() {
		defer k.settling.Done()
		a.res, a.err = k.ledger.Settle(ctx, req)
		close(a.come)
	})
	select {
	case <-a.come:
		return a.res, a.err
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (k *Keeper) enqueue(s settlement) {
	select {
	case k.pending <- s:
	default:
		k.log.ErrorContext(s.ctx, "too many settlements wait for billing; the sweeper will settle this hold at its last checkpoint",
			slog.String("hold_id", s.req.GetHoldId()), slog.Int("waiting", maxPending))
	}
}

// attempt settles once in the background and reports whether the settlement is over.
func (k *Keeper) attempt(ctx context.Context, s settlement) bool {
	var found bool
	if err := k.within(ctx, s, func(attempt context.Context) (err error) {
		found, err = k.find(attempt, s)
		return err
	}); err != nil || !found {
		return err == nil
	}
	err := k.within(ctx, s, func(attempt context.Context) error {
		_, err := k.ledger.Settle(attempt, s.req)
		return err
	})
	return err == nil || k.permanent(s, err)
}

// within makes one call of billing with the values of the settlement's call, for as long as the worker lives.
func (k *Keeper) within(ctx context.Context, s settlement, call func(context.Context) error) error {
	attempt, cancel := context.WithTimeout(s.ctx, attemptTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return call(attempt)
}

// permanent reports whether a settlement failed for good, and logs it as an error: it is a defect.
func (k *Keeper) permanent(s settlement, err error) bool {
	switch status.Code(err) {
	case codes.NotFound, codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented:
		k.log.ErrorContext(s.ctx, "billing rejected a settlement; the sweeper will settle the hold at its last checkpoint",
			slog.String("hold_id", s.req.GetHoldId()), slog.Any("error", err))
		return true
	default:
		return false
	}
}

func unavailable(err error) bool { return err != nil && status.Code(err) == codes.Unavailable }

func delay(failures int) time.Duration {
	return min(firstDelay<<min(max(failures-1, 0), 10), maxDelay)
}
