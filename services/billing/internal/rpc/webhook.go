package rpc

import (
	"context"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// ReceiveWebhook verifies and stores one webhook from Stripe; it returns after a durable commit.
func (s *Server) ReceiveWebhook(ctx context.Context, req *billingv1.ReceiveWebhookRequest) (*billingv1.ReceiveWebhookResponse, error) {
	duplicate, err := s.webhooks.Receive(ctx, req.GetHeaders(), req.GetBody())
	if err != nil {
		return nil, s.webhooks.Public(err)
	}
	return &billingv1.ReceiveWebhookResponse{Duplicate: duplicate}, nil
}
