package upstream

import (
	"cmp"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/tracing"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

// describe sets what the span of an attempt tells before the answer, in the words of OpenTelemetry's conventions for generative AI.
// What was asked and answered is not in it.
func (w *walk) describe(span tracing.Span, c *choice) {
	operation := operationOf(w.q.Path)
	span.Name(strings.TrimSpace(operation + " " + w.q.Model.ID))
	span.Set(attribute.String("gen_ai.operation.name", operation), attribute.String("gen_ai.provider.name", providerOf(c.account.Kind, w.q.Model.Provider)),
		attribute.String("gen_ai.request.model", w.q.Model.ID), attribute.String("server.address", c.account.BaseURL.Hostname()),
		attribute.Int("server.port", portOf(c.account.BaseURL)), attribute.String("trivet.target", c.account.Name), attribute.Int("trivet.attempt", w.tried))
}

// providerOf is the conventions' name of a provider; a name that they do not have stays as it is in the price list.
func providerOf(kind, provider string) string {
	if kind == models.TargetAzure {
		return "azure.ai.openai"
	}
	return cmp.Or(provider, "openai")
}

// portOf is the port of an address.
func portOf(address *url.URL) int {
	if port, err := strconv.Atoi(address.Port()); err == nil {
		return port
	}
	if address.Scheme == "http" {
		return 80
	}
	return 443
}

// operationOf is the conventions' name of what a path does.
func operationOf(path string) string {
	switch first, _, _ := strings.Cut(path, "/"); first {
	case "chat", "responses":
		return "chat"
	case "completions":
		return "text_completion"
	case "embeddings":
		return "embeddings"
	default:
		return first
	}
}

// endSpan ends the span of an attempt. why is its outcome when another attempt may follow.
func (w *walk) endSpan(span tracing.Span, why string) {
	refused, isRefusal := errors.AsType[*invoke.RefusedError](w.last)
	if isRefusal {
		span.Set(attribute.Int("http.response.status_code", refused.Refusal.Status))
	}
	switch {
	case w.last == nil:
	case why != "":
		span.Fail(why)
	case isRefusal:
		span.Fail("refused")
	default:
		span.Fail(errs.Code(errs.ReasonOf(w.last)))
	}
	span.End()
}
