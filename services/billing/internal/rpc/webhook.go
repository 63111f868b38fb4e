package rpc

import (
	"context"
	"errors"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
	"github.com/trivet-dev/trivet/services/billing/internal/stripesig"
)

// webhookRetry is when a provider may try again; Stripe goes by its own schedule.
const webhookRetry = 5 * time.Second

// ReceiveWebhook verifies and stores one webhook of Stripe's; it returns after a durable commit.
func (s *Server) ReceiveWebhook(ctx context.Context, req *billingv1.ReceiveWebhookRequest) (*billingv1.ReceiveWebhookResponse, error) {
	duplicate, err := s.webhooks.Receive(ctx, req.GetHeaders(), req.GetBody())
	if err != nil {
		return nil, webhookError(err)
	}
	return &billingv1.ReceiveWebhookResponse{Duplicate: duplicate}, nil
}

// webhookError says nothing of what is wrong with a signature: that would help whoever forges one.
func webhookError(err error) error {
	if _, refused := errors.AsType[stripesig.Verdict](err); refused {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, "Invalid webhook signature").Cause(err)
	}
	if errors.Is(err, intake.ErrNotSetUp) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"Webhooks of Stripe's are not set up: STRIPE_WEBHOOK_SECRET is not set.").Cause(err)
	}
	if database.IsUnavailable(err) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"The event could not be stored. Please send it again.").After(webhookRetry).Cause(err)
	}
	return err
}
