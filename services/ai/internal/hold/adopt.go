package hold

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// Adopt returns a hold that an earlier call has left open. The keeper writes no checkpoints for it.
func (k *Keeper) Adopt(ctx context.Context, id string, input, output int64) *Hold {
	return &Hold{keeper: k, ctx: context.WithoutCancel(ctx), id: id, input: input, output: output}
}

// Leave ends the checkpoints of a hold that stays open, because what it pays for has not ended. Whoever adopts it settles it.
func (h *Hold) Leave() { h.keeper.forget(h) }

// Extend writes a checkpoint, which renews the lease of the hold.
func (h *Hold) Extend(ctx context.Context, usage tokens.Usage) error {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	_, err := h.keeper.ledger.Checkpoint(attempt, &billingv1.CheckpointRequest{HoldId: h.id, Usage: usage.Proto()})
	return err
}

// ErrRejected is in the error of a settlement that billing rejects for a reason that ends only when somebody repairs or upgrades billing.
var ErrRejected = errors.New("billing rejects the settlement")

// Try settles the hold, unless billing does not answer within two seconds, or rejects the settlement (ErrRejected): then the hold is still to be
// settled. A settlement that no repair of billing can make right, because the hold does not exist or the request is invalid, is logged, and counts as
// done. Several may try: billing keeps the first settlement.
func (h *Hold) Try(final Final) (Receipt, error) {
	ctx, cancel := context.WithTimeout(h.ctx, settleWait)
	defer cancel()
	s := settlement{ctx: h.ctx, req: settleRequest(h, &final)}
	res, err := h.keeper.settleOnce(ctx, s.req)
	if code := status.Code(err); code == codes.Unimplemented || code == codes.FailedPrecondition {
		return Receipt{Usage: final.Usage}, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	if err != nil && !h.keeper.permanent(s, err) {
		return Receipt{Usage: final.Usage}, err
	}
	return Receipt{Usage: final.Usage, Cost: res.GetCostNanoUsd(), Settled: err == nil}, nil
}
