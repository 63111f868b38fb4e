package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/trivet-dev/trivet/gateway/internal/apidocs"
	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/concurrency"
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

// table lists every route of the edge.
func (g *Gateway) table(ctx context.Context, deps Deps) (*routes.Table, error) {
	clients := rest.Clients{
		Auth:    authv1.NewAuthServiceClient(call.Conn(deps.Auth, "auth")),
		AI:      aiv1.NewAIServiceClient(call.Conn(deps.AI, "ai")),
		Billing: billingv1.NewBillingServiceClient(call.Conn(deps.Billing, "billing")),
	}
	typed, err := g.typed(ctx, clients)
	if err != nil {
		return nil, err
	}
	webhooks, err := g.webhooks(clients)
	if err != nil {
		return nil, err
	}
	pages, err := g.pages()
	if err != nil {
		return nil, err
	}
	return routes.New(slices.Concat(g.openAI(clients.AI, deps), typed, g.public(deps), pages, webhooks, g.development.routes()))
}

// typed lists the routes that the contract declares.
func (g *Gateway) typed(ctx context.Context, clients rest.Clients) ([]routes.Route, error) {
	mux, err := rest.New(ctx, clients, g.body)
	if err != nil {
		return nil, err
	}
	handlers := routes.Handlers{Unary: mux, Streams: map[protoreflect.FullName]http.Handler{
		"trivet.ai.v1.AIService.ChatStream":            &rest.ChatStream{AI: clients.AI, Body: g.body, KeepAlive: g.config.KeepAlive},
		"trivet.billing.v1.BillingService.ExportUsage": &rest.UsageFile{Billing: clients.Billing},
		"trivet.auth.v1.AuthService.Reconcile":         rest.Events(clients.Auth.Reconcile, g.body, g.config.KeepAlive),
		"trivet.billing.v1.BillingService.Reconcile":   rest.Events(clients.Billing.Reconcile, g.body, g.config.KeepAlive),
	}}
	return routes.FromProto(handlers, authv1.File_trivet_auth_v1_auth_proto, aiv1.File_trivet_ai_v1_ai_proto,
		billingv1.File_trivet_billing_v1_billing_proto)
}

const (
	// uploadPatience is how many times longer than another body a form with files may take to arrive.
	uploadPatience = 4
	// maxUploads bounds the forms that are in memory at once, until their answers end or their clients leave: 32 of the default size
	// take 832 MiB. The ai service drops a form when its caller leaves, although it may read the answer to its end.
	maxUploads = 32
	// accountUploads is how many of them one account may have.
	accountUploads = 8
)

// openAI lists the routes in OpenAI's wire format.
func (g *Gateway) openAI(ai aiv1.AIServiceClient, deps Deps) []routes.Route {
	h := &relay.Relay{AI: ai, Body: g.body, KeepAlive: g.config.KeepAlive}
	if deps.Relay != nil {
		h.Plain = call.Plain(deps.Relay, "ai")
	}
	forms := *h
	forms.Form, forms.Body.Max = true, int64(g.config.MaxUploadBytes)
	forms.Body.Timeout *= uploadPatience
	forms.Uploads = concurrency.NewUploads(maxUploads, accountUploads)
	upload := forms.Body.Max
	models := &relay.Models{AI: ai}
	return []routes.Route{
		{Method: http.MethodPost, Pattern: "/v1/chat/completions", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS)},
		{Method: http.MethodPost, Pattern: "/v1/embeddings", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_EMBEDDINGS)},
		{Method: http.MethodPost, Pattern: "/v1/completions", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_COMPLETIONS)},
		{Method: http.MethodPost, Pattern: "/v1/moderations", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_MODERATIONS)},
		{Method: http.MethodPost, Pattern: "/v1/images/generations", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_IMAGES_GENERATIONS)},
		{Method: http.MethodPost, Pattern: "/v1/images/edits", MaxBody: upload, Handler: forms.Endpoint(aiv1.Endpoint_ENDPOINT_IMAGES_EDITS)},
		{Method: http.MethodPost, Pattern: "/v1/audio/speech", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_AUDIO_SPEECH)},
		{Method: http.MethodPost, Pattern: "/v1/audio/transcriptions", MaxBody: upload, Handler: forms.Endpoint(aiv1.Endpoint_ENDPOINT_AUDIO_TRANSCRIPTIONS)},
		{Method: http.MethodPost, Pattern: "/v1/audio/translations", MaxBody: upload, Handler: forms.Endpoint(aiv1.Endpoint_ENDPOINT_AUDIO_TRANSLATIONS)},
		{Method: http.MethodPost, Pattern: "/v1/responses", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_RESPONSES)},
		{Method: http.MethodPost, Pattern: "/v1/responses/compact", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_RESPONSES_COMPACT)},
		{Method: http.MethodPost, Pattern: "/v1/responses/input_tokens", Handler: h.Endpoint(aiv1.Endpoint_ENDPOINT_RESPONSES_INPUT_TOKENS)},
		{Method: http.MethodGet, Pattern: "/v1/responses/{id}", Handler: h.Object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET)},
		{Method: http.MethodDelete, Pattern: "/v1/responses/{id}", Handler: h.Object(aiv1.Endpoint_ENDPOINT_RESPONSE_DELETE)},
		{Method: http.MethodPost, Pattern: "/v1/responses/{id}/cancel", Handler: h.Object(aiv1.Endpoint_ENDPOINT_RESPONSE_CANCEL)},
		{Method: http.MethodGet, Pattern: "/v1/responses/{id}/input_items", Handler: h.Object(aiv1.Endpoint_ENDPOINT_RESPONSE_INPUT_ITEMS)},
		{Method: http.MethodGet, Pattern: "/v1/models", Handler: models.List()},
		{Method: http.MethodGet, Pattern: "/v1/models/{id}", Handler: models.Get("/v1/models/")},
	}
}

// public lists the routes that need no credential.
func (g *Gateway) public(deps Deps) []routes.Route {
	get := func(pattern string, handler http.Handler) routes.Route {
		return routes.Route{Method: http.MethodGet, Pattern: pattern, Public: true, Handler: handler}
	}
	return []routes.Route{
		get("/openapi.json", apidocs.OpenAPI(deps.OpenAPI)),
		get("/healthz", http.HandlerFunc(alive)),
		get("/api/v1/status", g.status),
		get("/api/v1/status/stream", g.status.Stream(g.config.KeepAlive, g.proxies.Of)),
	}
}

// webhooks lists the routes that providers call, from the table of integrations.
func (g *Gateway) webhooks(clients rest.Clients) ([]routes.Route, error) {
	receivers := map[string]webhook.Receive{
		"clerk": func(ctx context.Context, headers map[string]string, body []byte) error {
			_, err := clients.Auth.ReceiveWebhook(ctx, &authv1.ReceiveWebhookRequest{Headers: headers, Body: body})
			return err
		},
		"stripe": func(ctx context.Context, headers map[string]string, body []byte) error {
			_, err := clients.Billing.ReceiveWebhook(ctx, &billingv1.ReceiveWebhookRequest{Headers: headers, Body: body})
			return err
		},
	}
	var out []routes.Route
	for _, i := range integration.WithWebhooks() {
		receive, ok := receivers[i.Name]
		if !ok {
			return nil, fmt.Errorf("the edge has no receiver for the webhooks of %s", i.Title)
		}
		out = append(out, routes.Route{
			Method: http.MethodPost, Pattern: i.WebhookPath(), Public: true, Signed: true, Handler: g.webhook(i.WebhookHeaders, receive),
		})
	}
	return out, nil
}

// webhook returns the handler of one provider's webhooks. In production they must come over HTTPS.
func (g *Gateway) webhook(headers []string, receive webhook.Receive) *webhook.Handler {
	h := &webhook.Handler{
		Headers:  headers,
		Body:     reqbody.Reader{Max: webhook.MaxBody, Timeout: g.config.BodyTimeout},
		Receive:  receive,
		Insecure: g.noteInsecure,
		Refused:  func(r *http.Request) { _, _ = g.limiter.Allow(g.proxies.Of(r)) },
	}
	if g.production {
		h.Secure = g.proxies.Secure
	}
	return h
}

// noteInsecure logs a webhook that was refused because it did not come over HTTPS.
func (g *Gateway) noteInsecure(r *http.Request) {
	if left, write := g.limited.Next("insecure"); write {
		g.logger.ErrorContext(r.Context(), "webhook refused: it did not come over HTTPS; if a proxy ends TLS, name it in TRIVET_TRUSTED_PROXIES "+
			"and let it set X-Forwarded-Proto to https", "route", r.URL.Path, "peer", r.RemoteAddr, "suppressed", left)
	}
}

// alive reports that this process serves requests. /readyz on the ops address and /api/v1/status report on what is behind it.
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}
