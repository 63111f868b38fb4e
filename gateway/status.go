package gateway

import (
	"context"
	"fmt"
	"net/http"

	"github.com/trivet-dev/trivet/gateway/internal/bearer"
	"github.com/trivet-dev/trivet/gateway/internal/status"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/integration"
)

// paymentBanner is the text that the integration guide shows while Stripe is down. The wording is fixed.
const paymentBanner = "Payment processing is temporarily unavailable. Please try again later."

// operator reports whether an operator sends a request to a public route. Without a valid credential of an operator the answer is
// the public one, because a status page must answer while nobody can be identified.
func (g *Gateway) operator(r *http.Request) bool {
	token, err := bearer.Credential(r)
	if err != nil {
		return false
	}
	passports, err := g.credentials.Exchange(r.Context(), token)
	return err == nil && passports.Identity.GetOperator() && passports.Identity.GetApiKeyId() == ""
}

// services lists the service behind each integration. The status calls carry no passport, because the edge makes them
// for itself.
func services(deps Deps) ([]status.Service, error) {
	auth, ai, billing := authv1.NewAuthServiceClient(deps.Auth), aiv1.NewAIServiceClient(deps.AI), billingv1.NewBillingServiceClient(deps.Billing)
	asks := map[string]func(context.Context) (status.Answer, error){
		"auth": func(ctx context.Context) (status.Answer, error) {
			return auth.GetStatus(ctx, &authv1.GetStatusRequest{})
		},
		"ai": func(ctx context.Context) (status.Answer, error) { return ai.GetStatus(ctx, &aiv1.GetStatusRequest{}) },
		"billing": func(ctx context.Context) (status.Answer, error) {
			return billing.GetStatus(ctx, &billingv1.GetStatusRequest{})
		},
	}
	banners := map[string]string{"stripe": paymentBanner}
	var out []status.Service
	for _, i := range integration.Required() {
		ask, ok := asks[i.Service]
		if !ok {
			return nil, fmt.Errorf("the status page cannot ask the service %q of %s", i.Service, i.Title)
		}
		out = append(out, status.Service{Name: i.Service, Integration: i.Name, Banner: banners[i.Name], Ask: ask, More: more(i.Service)})
	}
	return out, nil
}

// more lists the integrations of a service that can be off.
func more(service string) (out []status.More) {
	for _, i := range integration.All() {
		if i.Optional && i.Service == service {
			out = append(out, status.More{Integration: i.Name, Of: func(answer status.Answer) *statusv1.Health {
				others, ok := answer.(interface {
					GetIntegrations() map[string]*statusv1.Health
				})
				if !ok {
					return nil
				}
				return others.GetIntegrations()[i.Name]
			}})
		}
	}
	return out
}
