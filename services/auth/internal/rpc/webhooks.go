package rpc

import (
	"context"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
)

// ReceiveWebhook verifies and stores one webhook from Clerk; it returns after a durable commit.
func (s *Server) ReceiveWebhook(ctx context.Context, req *authv1.ReceiveWebhookRequest) (*authv1.ReceiveWebhookResponse, error) {
	duplicate, err := s.options.Webhooks.Receive(ctx, req.GetHeaders(), req.GetBody())
	if err != nil {
		return nil, s.options.Webhooks.Public(err)
	}
	return &authv1.ReceiveWebhookResponse{Duplicate: duplicate}, nil
}
