package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/gateway/internal/routes"
)

// ClerkPrefix is the path of the sandbox's Clerk Frontend API at the edge. A page passes it to Clerk's SDK as proxyUrl.
const ClerkPrefix = "/__clerk"

// Development holds what the edge offers on a developer's machine. New refuses it in production.
type Development struct {
	// Clerk serves Clerk's Frontend API while the sandbox stands in for Clerk; nil otherwise. The edge forwards the requests
	// under ClerkPrefix to it, without that prefix.
	Clerk http.Handler
	// LoopbackOrigins allows pages of this machine in addition to CORS_ALLOWED_ORIGINS, because the port of a front end's
	// development server often changes.
	LoopbackOrigins bool
	// Sandbox is the sandbox's address, which the page at / links to; "" when Trivet runs without it.
	Sandbox string
}

func (d Development) check(production bool) error {
	if production && (d.Clerk != nil || d.LoopbackOrigins || d.Sandbox != "") {
		return errors.New("gateway: Deps.Development is set in production")
	}
	return nil
}

// routes lists the routes that exist in development only.
func (d Development) routes() []routes.Route {
	if d.Clerk == nil {
		return nil
	}
	var out []routes.Route
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
		out = append(out, routes.Route{Method: method, Pattern: ClerkPrefix + "/{path...}", Public: true, Handler: clerkFrontend(d.Clerk)})
	}
	return out
}

// serves reports whether a request is for Clerk's Frontend API, which sets its own CORS headers.
func (d Development) serves(r *http.Request) bool {
	return d.Clerk != nil && strings.HasPrefix(r.URL.Path, ClerkPrefix+"/")
}

// clerkFrontend forwards to Clerk's Frontend API. It adds the page's host, because tokens name the page's origin and a GET
// from the same origin carries no Origin header. The sandbox refuses hosts other than this machine.
func clerkFrontend(next http.Handler) http.Handler {
	return http.StripPrefix(ClerkPrefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded := r.Clone(r.Context())
		forwarded.Header.Set("X-Forwarded-Host", r.Host)
		if forwarded.Header.Get("X-Forwarded-Proto") == "" {
			forwarded.Header.Set("X-Forwarded-Proto", "http")
		}
		next.ServeHTTP(w, forwarded)
	}))
}

// originAllowed reports whether pages of an origin may call the API.
func (g *Gateway) originAllowed(origin string) bool {
	return slices.Contains(g.config.AllowedOrigins, origin) || g.development.LoopbackOrigins && loopbackOrigin(origin)
}

// loopbackOrigin reports whether an origin is on this machine.
func loopbackOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Scheme+"://"+u.Host != origin {
		return false
	}
	name := u.Hostname()
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}
