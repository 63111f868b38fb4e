package gateway

import (
	"net/http"

	"github.com/trivet-dev/trivet/gateway/internal/routes"
	"github.com/trivet-dev/trivet/gateway/internal/swaggerui"
	"github.com/trivet-dev/trivet/platform/linkpage"
	"github.com/trivet-dev/trivet/web/console"
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
	all := []routes.Route{
		{Method: http.MethodGet, Pattern: "/", Public: true, Handler: home},
		{Method: http.MethodGet, Pattern: "/docs", Public: true, Handler: docs},
		{Method: http.MethodGet, Pattern: "/docs/{file}", Public: true, Handler: docsFile},
	}
	if !g.hasConsole() {
		return all, nil
	}
	pages, err := g.console()
	return append(all, pages...), err
}

func (g *Gateway) hasConsole() bool { return g.config.Console && console.Embedded }

// console lists the routes of the console.
func (g *Gateway) console() ([]routes.Route, error) {
	config := console.Config{PublishableKey: g.config.PublishableKey}
	if g.development.Clerk != nil {
		config.ClerkProxy = ClerkPrefix
	}
	handler, err := console.Handler(config)
	if err != nil {
		return nil, err
	}
	const prefix = "/console"
	toFolder := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "console/") // relative, because a proxy may add a prefix
		w.WriteHeader(http.StatusPermanentRedirect)
	})
	return []routes.Route{
		{Method: http.MethodGet, Pattern: prefix, Public: true, Handler: toFolder},
		{Method: http.MethodGet, Pattern: prefix + "/{path...}", Public: true, Handler: http.StripPrefix(prefix, handler)},
	}, nil
}

// links are those of the page at /.
func (g *Gateway) links() []linkpage.Link {
	var all []linkpage.Link
	if g.hasConsole() {
		all = append(all, linkpage.Link{Address: "console/", Name: "Console", Text: "usage, API keys, a playground, and webhook events for operators"})
	}
	all = append(all, []linkpage.Link{
		{Address: "docs", Name: "API", Text: "every call, to read and to try"},
		{Address: "openapi.json", Name: "OpenAPI document", Text: "for generators of clients"},
		{Address: "api/v1/status", Name: "Status", Text: "how the services and the integrations are"},
		{Name: "/v1", Text: "the base_url for OpenAI's SDKs"},
	}...)
	if g.development.Sandbox != "" {
		all = append(all, linkpage.Link{Address: g.development.Sandbox, Name: "Sandbox", Text: "stands in for the providers that have no settings"})
	}
	return all
}
