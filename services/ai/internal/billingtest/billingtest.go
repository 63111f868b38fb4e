// Package billingtest is a BillingService in memory for tests: it validates as the real one does, holds and settles by
// the real price list, records everything, and fails on demand.
package billingtest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/saturate"
)

// Unlimited is a balance that no test uses up, in nano-dollars.
const Unlimited = 1_000_000_000_000_000

// Fake is the client of that service. Set its exported fields before the first call. It is safe for concurrent use.
type Fake struct {
	billingv1.BillingServiceClient // nil: a call that is not faked panics

	// Before is called first in each RPC, with its name; an error of its is the RPC's.
	Before func(ctx context.Context, rpc string) error
	// Plan is what every account is entitled to.
	Plan *billingv1.GetEntitlementsResponse
	// IgnoresPricing makes it a billing of an earlier version, which does not know pricing.
	IgnoresPricing bool

	list *models.List

	mu          sync.Mutex
	balance     int64
	holds       map[string]*Hold
	order       []*Hold
	checkpoints []*billingv1.CheckpointRequest
	refused     map[string]*billingv1.RecordRequestsRequest
	batches     []string
	asked       int
}

// Hold is one hold and its settlements.
type Hold struct {
	// ID is the hold's id.
	ID string
	// Request is what was asked, Response what was given.
	Request  *billingv1.ReserveRequest
	Response *billingv1.ReserveResponse
	// Settled are all settlements that arrived; a good caller sends one, or the same again.
	Settled []*billingv1.SettleRequest
	// Cost is the charge, in nano-dollars.
	Cost int64
}

// New returns a fake with that balance, in nano-dollars, for all accounts together.
func New(list *models.List, balance int64) *Fake {
	return &Fake{list: list, balance: balance, holds: map[string]*Hold{}, refused: map[string]*billingv1.RecordRequestsRequest{}, Plan: &billingv1.GetEntitlementsResponse{PlanId: "unlimited", Limits: &billingv1.Limits{}}}
}

// GetEntitlements returns Plan.
func (f *Fake) GetEntitlements(ctx context.Context, r *billingv1.GetEntitlementsRequest, _ ...grpc.CallOption) (*billingv1.GetEntitlementsResponse, error) {
	if err := f.before(ctx, "GetEntitlements", r); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.Plan, nil
}

// Reserve holds what the balance affords.
func (f *Fake) Reserve(ctx context.Context, r *billingv1.ReserveRequest, _ ...grpc.CallOption) (*billingv1.ReserveResponse, error) {
	if err := f.before(ctx, "Reserve", r); err != nil {
		return nil, err
	}
	if r.GetMinOutputTokens() > r.GetMaxOutputTokens() {
		return nil, invalid("The minimum of the output is above its maximum.")
	}
	model, err := f.list.Get(r.GetModel())
	if err != nil {
		return nil, asStatus(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := "hold_" + r.GetRequestId()
	if old, ok := f.holds[id]; ok {
		return old.Response, nil
	}
	choices := int64(max(r.GetChoices(), 1))
	var fixed int64
	if p := r.GetPricing(); p != nil {
		model.InputPrice, model.CachedInputPrice, model.OutputPrice, fixed = p.GetInputNanoUsdPerMillionTokens(), p.GetInputNanoUsdPerMillionTokens(), p.GetOutputNanoUsdPerMillionTokens(), p.GetFixedNanoUsd()
	}
	output := model.AffordableOutput(int64(r.GetInputTokens()), f.balance-f.heldLocked()-fixed, int64(r.GetMaxOutputTokens())*choices) / choices
	free := model.InputPrice == 0 && model.OutputPrice == 0 && fixed == 0
	if !free && (output < int64(r.GetMinOutputTokens()) || f.balance <= f.heldLocked()) {
		return nil, asStatus(errs.New(errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "The balance does not cover this call.").
			With("balance_nano_usd", strconv.FormatInt(f.balance, 10)).With("held_nano_usd", strconv.FormatInt(f.heldLocked(), 10)))
	}
	amount, err := model.Cost(int64(r.GetInputTokens()), 0, output*choices)
	if err != nil {
		return nil, err
	}
	h := &Hold{ID: id, Request: proto.CloneOf(r), Response: &billingv1.ReserveResponse{
		HoldId: id, HeldNanoUsd: amount + fixed, OutputTokens: saturate.Int32(output), ExpireTime: timestamppb.New(time.Now().Add(5 * time.Minute)),
		Priced: r.GetPricing() != nil && !f.IgnoresPricing,
	}}
	f.holds[id], f.order = h, append(f.order, h)
	return h.Response, nil
}

// Checkpoint records.
func (f *Fake) Checkpoint(ctx context.Context, r *billingv1.CheckpointRequest, _ ...grpc.CallOption) (*billingv1.CheckpointResponse, error) {
	if err := f.before(ctx, "Checkpoint", r); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch h, ok := f.holds[r.GetHoldId()]; {
	case !ok:
		return nil, noHold()
	case len(h.Settled) > 0:
		return nil, asStatus(errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "The hold is closed."))
	}
	if err := checkUsage(r.GetUsage()); err != nil {
		return nil, err
	}
	f.checkpoints = append(f.checkpoints, proto.CloneOf(r))
	return &billingv1.CheckpointResponse{}, nil
}

// Settle charges, once per hold.
func (f *Fake) Settle(ctx context.Context, r *billingv1.SettleRequest, _ ...grpc.CallOption) (*billingv1.SettleResponse, error) {
	if err := f.before(ctx, "Settle", r); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.holds[r.GetHoldId()]
	if !ok {
		return nil, noHold()
	}
	if err := checkUsage(r.GetUsage()); err != nil {
		return nil, err
	}
	if r.GetOutcome() == billingv1.Outcome_OUTCOME_UNSPECIFIED {
		return nil, invalid("The outcome is missing.")
	}
	h.Settled = append(h.Settled, proto.CloneOf(r))
	if len(h.Settled) == 1 {
		model, err := f.list.Get(h.Request.GetModel())
		if err != nil {
			return nil, asStatus(err)
		}
		u := r.GetUsage()
		if h.Cost, err = model.Cost(int64(u.GetInputTokens()), int64(u.GetCachedInputTokens()), int64(u.GetOutputTokens())); err != nil {
			return nil, fmt.Errorf("settle %s: %w", h.ID, err)
		}
		if r.CostNanoUsd != nil {
			h.Cost = min(r.GetCostNanoUsd(), h.Response.GetHeldNanoUsd())
		}
		f.balance -= h.Cost
	}
	return &billingv1.SettleResponse{CostNanoUsd: h.Cost, BalanceNanoUsd: f.balance}, nil
}

// RecordRequests keeps a batch, once.
func (f *Fake) RecordRequests(ctx context.Context, r *billingv1.RecordRequestsRequest, _ ...grpc.CallOption) (*billingv1.RecordRequestsResponse, error) {
	if err := f.before(ctx, "RecordRequests", r); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.refused[r.GetBatchId()]; !known {
		f.refused[r.GetBatchId()] = proto.CloneOf(r)
		f.batches = append(f.batches, r.GetBatchId())
	}
	return &billingv1.RecordRequestsResponse{}, nil
}

// Refused returns the refused calls in the order they came.
func (f *Fake) Refused() (all []*billingv1.RefusedRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.batches {
		all = append(all, f.refused[id].GetRequests()...)
	}
	return all
}

// Holds returns all holds ever made, in their order. They are copies of this moment.
func (f *Fake) Holds() []Hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Hold, len(f.order))
	for i, h := range f.order {
		out[i] = *h
	}
	return out
}

// Held returns what open holds hold, in nano-dollars.
func (f *Fake) Held() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heldLocked()
}

// Balance returns what is left, in nano-dollars, holds not deducted.
func (f *Fake) Balance() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.balance
}

// SetBalance sets what is left, in nano-dollars, holds not deducted.
func (f *Fake) SetBalance(nanos int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.balance = nanos
}

// Checkpoints returns the checkpoints in the order they came.
func (f *Fake) Checkpoints() []*billingv1.CheckpointRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*billingv1.CheckpointRequest(nil), f.checkpoints...)
}

// Asked returns how often GetEntitlements was called.
func (f *Fake) Asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *Fake) heldLocked() (sum int64) {
	for _, h := range f.order {
		if len(h.Settled) == 0 {
			sum += h.Response.GetHeldNanoUsd()
		}
	}
	return sum
}

// before fails on demand, and on what the real service refuses: a request that cannot be written, or that breaks a rule
// of the contract.
func (f *Fake) before(ctx context.Context, rpc string, request proto.Message) error {
	if f.Before != nil {
		if err := f.Before(ctx, rpc); err != nil {
			return err
		}
	}
	if _, err := proto.Marshal(request); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	if err := protovalidate.Validate(request); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// checkUsage refuses what the ledger refuses.
func checkUsage(u *usagev1.CallUsage) error {
	if u.GetCachedInputTokens() > u.GetInputTokens() || u.GetReasoningTokens() > u.GetOutputTokens() {
		return invalid("The usage is invalid.")
	}
	return nil
}

func noHold() error {
	return asStatus(errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "The hold does not exist."))
}

func invalid(message string) error {
	return asStatus(errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s", message))
}

// asStatus makes of an error what a client sees.
func asStatus(err error) error { return errs.From(err).GRPCStatus().Err() }
