package gateway

import (
	"context"
	"io"
	"net/http"

	"github.com/trivet-dev/trivet/gateway/internal/apidocs"
	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/relay"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/rest"
	"github.com/trivet-dev/trivet/gateway/internal/routes"
	"github.com/trivet-dev/trivet/gateway/internal/webhook"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/integration"
)

// table lists every address of the edge.
func (g *Gateway) table(ctx context.Context, deps Deps) (*routes.Table, error) {
	clients := rest.Clients{
		Auth:    authv1.NewAuthServiceClient(call.Conn(deps.Auth, "auth")),
		AI:      aiv1.NewAIServiceClient(call.Conn(deps.AI, "ai")),
		Billing: billingv1.NewBillingServiceClient(call.Conn(deps.Billing, "billing")),
	}
	mux, err := rest.New(ctx, clients, g.body)
	if err != nil {
		return nil, err
	}
	typed, err := routes.FromProto(mux, authv1.File_trivet_auth_v1_auth_proto, aiv1.File_trivet_ai_v1_ai_proto,
		billingv1.File_trivet_billing_v1_billing_proto)
	if err != nil {
		return nil, err
	}
	// The first route of an address wins: the chat that streams goes before what proto declares for it.
	all := append(g.openAI(clients.AI), routes.Route{
		Method: http.MethodPost, Pattern: "/api/v1/chat:stream",
		Handler: &rest.ChatStream{AI: clients.AI, Body: g.body, KeepAlive: g.config.KeepAlive},
	})
	all = append(all, g.public(deps)...)
	all = append(all, g.webhooks(clients)...)
	all = append(all, g.development.routes()...)
	return routes.New(append(all, typed...)), nil
}

// openAI lists the addresses in OpenAI's wire format.
func (g *Gateway) openAI(ai aiv1.AIServiceClient) []routes.Route {
	h := &relay.Relay{AI: ai, Body: g.body, KeepAlive: g.config.KeepAlive}
	models := &relay.Models{AI: ai}
	return []routes.Route{
		{Method: http.MethodPost, Pattern: "/v1/chat/completions", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS)},
		{Method: http.MethodPost, Pattern: "/v1/embeddings", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_EMBEDDINGS)},
		{Method: http.MethodGet, Pattern: "/v1/models", Handler: models.List()},
		{Method: http.MethodGet, Pattern: "/v1/models/{id}", Handler: models.Get("/v1/models/")},
	}
}

// public lists the addresses that need no credential.
func (g *Gateway) public(deps Deps) []routes.Route {
	page := map[string]http.Handler{
		"/openapi.json":  apidocs.OpenAPI(deps.OpenAPI),
		"/docs":          apidocs.Docs(),
		"/healthz":       http.HandlerFunc(alive),
		"/api/v1/status": g.status,
	}
	var out []routes.Route
	for pattern, handler := range page {
		out = append(out, routes.Route{Method: http.MethodGet, Pattern: pattern, Public: true, Handler: handler})
	}
	return out
}

// webhooks lists the addresses that providers call. They prove themselves by signatures, not by credentials.
func (g *Gateway) webhooks(clients rest.Clients) []routes.Route {
	body := reqbody.Reader{Max: webhook.MaxBody, Timeout: g.config.BodyTimeout}
	var secure func(*http.Request) bool
	if g.config.Environment == "production" {
		secure = g.proxies.Secure
	}
	insecure := func(r *http.Request) {
		if left, write := g.limited.Next("insecure"); write {
			g.logger.ErrorContext(r.Context(), "webhooks are lost: they don't come over HTTPS as far as the edge can tell; behind a proxy that ends TLS, name it "+
				"in TRIVET_TRUSTED_PROXIES and let it set X-Forwarded-Proto to one value, https", "route", r.URL.Path, "peer", r.RemoteAddr, "suppressed", left)
		}
	}
	refused := func(r *http.Request) { _, _ = g.limiter.Allow(g.proxies.Of(r)) }
	clerk := &webhook.Handler{
		Headers: signedBy("clerk"),
		Body:    body, Secure: secure, Insecure: insecure, Refused: refused,
		Receive: func(ctx context.Context, headers map[string]string, body []byte) error {
			_, err := clients.Auth.ReceiveWebhook(ctx, &authv1.ReceiveWebhookRequest{Headers: headers, Body: body})
			return err
		},
	}
	stripe := &webhook.Handler{
		Headers: signedBy("stripe"),
		Body:    body, Secure: secure, Insecure: insecure, Refused: refused,
		Receive: func(ctx context.Context, headers map[string]string, body []byte) error {
			_, err := clients.Billing.ReceiveWebhook(ctx, &billingv1.ReceiveWebhookRequest{Headers: headers, Body: body})
			return err
		},
	}
	return []routes.Route{
		{Method: http.MethodPost, Pattern: "/api/webhooks/clerk", Public: true, Signed: true, Handler: clerk},
		{Method: http.MethodPost, Pattern: "/api/webhooks/stripe", Public: true, Signed: true, Handler: stripe},
	}
}

// signedBy returns the headers that verifying a provider's webhook needs.
func signedBy(provider string) []string {
	i, _ := integration.Named(provider)
	return i.WebhookHeaders
}

// alive says that this process serves; what is behind it has /readyz on the ops address and /api/v1/status.
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}
