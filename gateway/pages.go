package gateway

import (
	"net/http"

	"github.com/trivet-dev/trivet/gateway/internal/swaggerui"
	"github.com/trivet-dev/trivet/gateway/internal/routes"
	"github.com/trivet-dev/trivet/platform/linkpage"
)

// pages lists the addresses that people open in a browser.
func (g *Gateway) pages() ([]routes.Route, error) {
	home := linkpage.Handler(linkpage.Page{
		Title: "Trivet", Text: "The back end of an AI product: who is calling, what the model did, what it costs.", Links: g.links(),
	})
	docs, docsFile, err := swaggerui.Handlers()
	if err != nil {
		return nil, err
	}
	return []routes.Route{
		{Method: http.MethodGet, Pattern: "/", Public: true, Handler: home},
		{Method: http.MethodGet, Pattern: "/docs", Public: true, Handler: docs},
		{Method: http.MethodGet, Pattern: "/docs/{file}", Public: true, Handler: docsFile},
	}, nil
}

// links are those of the page at /.
func (g *Gateway) links() []linkpage.Link {
	all := []linkpage.Link{
		{Address: "docs", Name: "API", Text: "every call, to read and to try"},
		{Address: "openapi.json", Name: "OpenAPI document", Text: "for generators of clients"},
		{Address: "api/v1/status", Name: "Status", Text: "how the services and the integrations are"},
		{Name: "/v1", Text: "the base_url for OpenAI's SDKs"},
	}
	if g.development.Sandbox != "" {
		all = append(all, linkpage.Link{Address: g.development.Sandbox, Name: "Sandbox", Text: "stands in for the providers that have no settings"})
	}
	return all
}
