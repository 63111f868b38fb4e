package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
)

// PreviewSubscriptionChange works out what a change charges and gives.
func (s *Server) PreviewSubscriptionChange(
	ctx context.Context, r *billingv1.PreviewSubscriptionChangeRequest,
) (*billingv1.PreviewSubscriptionChangeResponse, error) {
	claims, err := s.buyer(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.checkout.PreviewChange(ctx, checkout.Request{
		AccountID: claims.AccountID, UserID: claims.UserID, PlanID: r.GetPlanId(), Interval: fromInterval(r.GetInterval()), Seats: int64(r.GetSeats()),
	})
	if err != nil {
		return nil, changeError(ctx, r.GetPlanId(), err)
	}
	return &billingv1.PreviewSubscriptionChangeResponse{SubscriptionPreview: toPreview(p)}, nil
}

// buyer is the caller, when Stripe is on.
func (s *Server) buyer(ctx context.Context) (*passport.Claims, error) {
	claims, err := passport.Caller(ctx)
	if err == nil && s.checkout == nil {
		err = stripeIsOff()
	}
	return claims, err
}

// ChangeSubscription does what a preview says.
func (s *Server) ChangeSubscription(ctx context.Context, r *billingv1.ChangeSubscriptionRequest) (*billingv1.ChangeSubscriptionResponse, error) {
	claims, err := s.buyer(ctx)
	if err != nil {
		return nil, err
	}
	done, err := s.checkout.Change(ctx, claims.AccountID, r.GetPreviewId())
	if err != nil {
		return nil, changeError(ctx, "", err)
	}
	now, err := s.subscription(ctx, claims.AccountID)
	return &billingv1.ChangeSubscriptionResponse{Subscription: now, PaymentUrl: done.PaymentURL}, err
}

// CancelSubscription cancels the account's subscription.
func (s *Server) CancelSubscription(ctx context.Context, r *billingv1.CancelSubscriptionRequest) (*billingv1.CancelSubscriptionResponse, error) {
	claims, err := s.buyer(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.checkout.Cancel(ctx, claims.AccountID, r.GetNow()); err != nil {
		return nil, changeError(ctx, "", err)
	}
	now, err := s.subscription(ctx, claims.AccountID)
	return &billingv1.CancelSubscriptionResponse{Subscription: now}, err
}

// ResumeSubscription takes a cancellation back.
func (s *Server) ResumeSubscription(ctx context.Context, _ *billingv1.ResumeSubscriptionRequest) (*billingv1.ResumeSubscriptionResponse, error) {
	claims, err := s.buyer(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.checkout.Resume(ctx, claims.AccountID); err != nil {
		return nil, changeError(ctx, "", err)
	}
	now, err := s.subscription(ctx, claims.AccountID)
	return &billingv1.ResumeSubscriptionResponse{Subscription: now}, err
}

func (s *Server) subscription(ctx context.Context, accountID string) (*billingv1.Subscription, error) {
	st, err := s.subscriptions.Subscription(ctx, accountID)
	if err != nil {
		return nil, Public(err)
	}
	return toSubscription(st), nil
}

func changeError(ctx context.Context, planID string, err error) error {
	conflict := func(text string) error { return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "%s", text) }
	switch {
	case errors.Is(err, checkout.ErrNoSubscription):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "This account has no live subscription. Open a checkout instead.")
	case errors.Is(err, checkout.ErrNoCard):
		return conflict("The trial of this subscription has ended without a card. Add a card in the portal, and then resume the subscription.")
	case errors.Is(err, checkout.ErrCardFirst):
		return conflict("This plan has no trial, so the change ends the trial and charges the first period. Add a card in the portal first.")
	case errors.Is(err, checkout.ErrPaused):
		return conflict("The trial of this subscription has ended without a card. Resume the subscription first; add a card in the portal before that.")
	case errors.Is(err, checkout.ErrUnpaid):
		return conflict("An invoice of this subscription is not paid. Pay it in the portal first.")
	case errors.Is(err, checkout.ErrCanceling):
		return conflict("This subscription is canceled at the end of its period. Resume it first.")
	case errors.Is(err, checkout.ErrSame):
		return conflict("The subscription has this plan, interval and number of seats already.")
	case errors.Is(err, checkout.ErrEnding):
		return conflict("The period of this subscription ends within five minutes, with a scheduled change. Nothing was changed. Ask for a new preview after that.")
	case errors.Is(err, checkout.ErrExpired):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "The preview has expired, was replaced, or does not fit the subscription any more. Nothing was changed. Ask for a new preview.").
			Field("previewId", "has expired")
	case isReadError(err) && ctx.Err() != nil:
		return ctx.Err()
	}
	return offerError("planId", "plan "+planID, err)
}

func toPreview(p checkout.Preview) *billingv1.SubscriptionPreview {
	return &billingv1.SubscriptionPreview{
		Id: p.ID, PlanId: p.PlanID, PlanVersion: saturate.Int32(p.Version), Interval: toInterval(p.Interval), Seats: saturate.Int32(p.Seats),
		AmountMinorUnits: p.Amount, Currency: p.Currency, NextAmountMinorUnits: p.Next, CreditNanoUsd: p.Credit,
		EffectiveTime: timestamppb.New(p.Effective), ExpireTime: timestamppb.New(p.ExpireTime),
	}
}
