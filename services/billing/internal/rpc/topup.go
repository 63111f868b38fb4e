package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/billing/internal/money"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

// TopUps keeps what accounts have set up.
type TopUps interface {
	Get(ctx context.Context, accountID string) (topup.Shown, error)
	Set(ctx context.Context, s topup.Setting) error
}

// GetTopUp shows the account's automatic top-up.
func (s *Server) GetTopUp(ctx context.Context, _ *billingv1.GetTopUpRequest) (*billingv1.GetTopUpResponse, error) {
	claims, err := s.buyer(ctx)
	if err != nil {
		return nil, err
	}
	shown, err := s.topUps.Get(ctx, claims.AccountID)
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.GetTopUpResponse{TopUp: toTopUp(shown)}, nil
}

// SetTopUp replaces the account's automatic top-up.
func (s *Server) SetTopUp(ctx context.Context, r *billingv1.SetTopUpRequest) (*billingv1.SetTopUpResponse, error) {
	claims, err := s.buyer(ctx)
	if err != nil {
		return nil, err
	}
	setting := topup.Setting{AccountID: claims.AccountID, State: topup.Off}
	if r.GetEnabled() {
		setting.State, setting.PackID, setting.Threshold, setting.MonthlyCap = topup.On, r.GetPackId(), r.GetThresholdNanoUsd(), r.GetMonthlyCapNanoUsd()
	}
	if err := s.topUps.Set(ctx, setting); err != nil {
		return nil, topUpError(r.GetPackId(), err)
	}
	shown, err := s.topUps.Get(ctx, claims.AccountID)
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.SetTopUpResponse{TopUp: toTopUp(shown)}, nil
}

func topUpError(packID string, err error) error {
	if e, ok := errors.AsType[*topup.BoundsError](err); ok {
		field := map[bool]string{false: "thresholdNanoUsd", true: "monthlyCapNanoUsd"}[e.Cap]
		if e.Min > e.Max {
			return invalid(field, "cannot be set: the pack costs "+money.Format(e.Min)+", and the plan allows "+money.Format(e.Max)+" a month")
		}
		return invalid(field, "must be from "+money.Format(e.Min)+" to "+money.Format(e.Max)+", in nano-dollars")
	}
	switch {
	case errors.Is(err, topup.ErrUnknownPack):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "There is no pack %q on sale. Ask ListPlans for those that are.", packID).Field("packId", "is not on sale")
	case errors.Is(err, topup.ErrNotOffered):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "The account's plan has no automatic top-up. Choose a plan with it, or buy a pack.")
	case errors.Is(err, topup.ErrNoCard):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "This account has no payment method at Stripe. Add one in the portal first.")
	}
	return Public(err)
}

func toTopUp(s topup.Shown) *billingv1.TopUp {
	states := map[topup.State]billingv1.TopUpState{
		topup.On: billingv1.TopUpState_TOP_UP_STATE_ON, topup.Off: billingv1.TopUpState_TOP_UP_STATE_OFF,
		topup.Declined: billingv1.TopUpState_TOP_UP_STATE_DECLINED, topup.Authentication: billingv1.TopUpState_TOP_UP_STATE_AUTHENTICATION_REQUIRED,
		topup.NoCard: billingv1.TopUpState_TOP_UP_STATE_NO_CARD, topup.Disputed: billingv1.TopUpState_TOP_UP_STATE_DISPUTED,
	}
	out := &billingv1.TopUp{
		Enabled: s.State == topup.On, State: states[s.State], PackId: s.PackID, ThresholdNanoUsd: s.Threshold, MonthlyCapNanoUsd: s.MonthlyCap,
		SpentNanoUsd: s.Spent, Offered: s.Offered, MaxThresholdNanoUsd: s.MaxThreshold, MaxMonthlyCapNanoUsd: s.MaxMonthlyCap,
	}
	for _, c := range s.Charges {
		out.Purchases = append(out.Purchases, toPurchase(c))
	}
	return out
}

func toPurchase(c topup.Charge) *billingv1.TopUpPurchase {
	states := map[topup.Progress]billingv1.TopUpPurchaseState{
		topup.Begun: billingv1.TopUpPurchaseState_TOP_UP_PURCHASE_STATE_PENDING, topup.Closing: billingv1.TopUpPurchaseState_TOP_UP_PURCHASE_STATE_PENDING,
		topup.Paid: billingv1.TopUpPurchaseState_TOP_UP_PURCHASE_STATE_PAID, topup.Failed: billingv1.TopUpPurchaseState_TOP_UP_PURCHASE_STATE_DECLINED,
		topup.Canceled: billingv1.TopUpPurchaseState_TOP_UP_PURCHASE_STATE_CANCELED,
	}
	return &billingv1.TopUpPurchase{
		Id: c.ID, PackId: c.PackID, PriceNanoUsd: c.Cents * plans.Cent, State: states[c.State], InvoiceId: c.InvoiceID, Problem: c.Problem,
		CreateTime: timestamppb.New(c.CreateTime),
	}
}
