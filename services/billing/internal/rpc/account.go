package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/timefield"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// GetAccount shows the caller's account.
func (s *Server) GetAccount(ctx context.Context, _ *billingv1.GetAccountRequest) (*billingv1.GetAccountResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	account, err := s.ledger.Account(ctx, claims.AccountID, s.ledger.MayShare(claims.UserID, claims.Verified))
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.GetAccountResponse{Account: s.toAccount(account)}, nil
}

func (s *Server) toAccount(a ledger.Account) *billingv1.Account {
	planID, _ := plans.ParseRef(a.Plan)
	out := &billingv1.Account{
		Id:               a.ID,
		PlanId:           planID,
		BalanceNanoUsd:   a.Balance,
		HeldNanoUsd:      a.Held,
		AvailableNanoUsd: a.Available(),
		PeriodStartTime:  timestamppb.New(a.PeriodStart),
		PeriodEndTime:    timestamppb.New(a.PeriodEnd),
		PeriodUsage:      toSummary(a.Period),
		Overage:          s.toOverage(a),
	}
	out.Plan = planID //nolint:staticcheck // callers of before plan_id read this field until 1.0
	// An account is shown without limits when its plan is no longer in the plan file.
	if plan, ok := s.plans.Get(a.Plan); ok {
		out.Limits = toLimits(plan.Limits)
	}
	return out
}

// GetEntitlements returns what an account's plan allows.
func (s *Server) GetEntitlements(ctx context.Context, r *billingv1.GetEntitlementsRequest) (*billingv1.GetEntitlementsResponse, error) {
	plan, err := s.ledger.Plan(ctx, r.GetAccountId())
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.GetEntitlementsResponse{PlanId: plan.ID, Limits: toLimits(plan.Limits), Models: plan.Models, Features: plan.Features}, nil
}

// CreateGrant gives an account credit.
func (s *Server) CreateGrant(ctx context.Context, r *billingv1.CreateGrantRequest) (*billingv1.CreateGrantResponse, error) {
	n := ledger.NewGrant{AccountID: r.GetAccountId(), Create: r.GetCreate(), Source: r.GetSource(), Amount: r.GetAmountNanoUsd()}
	var err error
	if n.ExpireTime, err = timefield.Of("expireTime", r.GetExpireTime()); err != nil {
		return nil, err
	}
	grant, err := s.ledger.Grant(ctx, n)
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.CreateGrantResponse{Grant: toGrant(grant)}, nil
}
