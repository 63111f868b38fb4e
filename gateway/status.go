package gateway

import (
	"context"

	"github.com/trivet-dev/trivet/gateway/internal/status"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// paymentBanner is what the integration guide shows while payments cannot be made. Its words are fixed.
const paymentBanner = "Payment processing is temporarily unavailable. Please try again later."

// services lists the services that the status page asks. The calls carry no passport: they are the edge's own.
func services(deps Deps) []status.Service {
	auth, ai, billing := authv1.NewAuthServiceClient(deps.Auth), aiv1.NewAIServiceClient(deps.AI), billingv1.NewBillingServiceClient(deps.Billing)
	return []status.Service{
		{Name: "auth", Integration: "clerk", Ask: func(ctx context.Context) (status.Answer, error) {
			return auth.GetStatus(ctx, &authv1.GetStatusRequest{})
		}},
		{Name: "ai", Integration: "openai", Ask: func(ctx context.Context) (status.Answer, error) {
			return ai.GetStatus(ctx, &aiv1.GetStatusRequest{})
		}},
		{Name: "billing", Integration: "stripe", Banner: paymentBanner, Ask: func(ctx context.Context) (status.Answer, error) {
			return billing.GetStatus(ctx, &billingv1.GetStatusRequest{})
		}},
	}
}
