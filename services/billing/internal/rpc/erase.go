package rpc

import (
	"context"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Eraser removes a person from billing's data.
type Eraser interface {
	// EraseUser is idempotent. It is retried after an error.
	EraseUser(ctx context.Context, userID string) error
}

// eraseRetry is the delay before a failed erasure is retried.
const eraseRetry = 5 * time.Second

// EraseUser removes the person from usage records and holds, and deletes the person's customer at Stripe, which cancels its subscription.
// Amounts, tokens and the paying account stay, and so do the invoices at Stripe.
func (s *Server) EraseUser(ctx context.Context, r *billingv1.EraseUserRequest) (*billingv1.EraseUserResponse, error) {
	if err := s.eraser.EraseUser(ctx, r.GetUserId()); err != nil {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "The user could not be erased. Please retry.").After(eraseRetry).Cause(err)
	}
	if s.customers == nil {
		return &billingv1.EraseUserResponse{}, nil
	}
	if err := s.customers.Forget(ctx, r.GetUserId()); err != nil {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "The user's customer at Stripe could not be deleted. Please retry.").After(eraseRetry).Cause(err)
	}
	return &billingv1.EraseUserResponse{}, nil
}
