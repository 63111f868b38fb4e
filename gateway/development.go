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

// ClerkPrefix is where the edge serves the sandbox's Frontend API of Clerk: a page gives it to Clerk's SDK as proxyUrl.
const ClerkPrefix = "/__clerk"

// Development is what the edge offers on a developer's machine. New refuses it in production.
type Development struct {
	// Clerk serves Clerk's Frontend API while the sandbox stands in for Clerk; nil otherwise. The edge forwards the requests
	// under ClerkPrefix to it, without that prefix.
	Clerk http.Handler
	// LoopbackOrigins lets browser pages of this machine call, beside those of CORS_ALLOWED_ORIGINS. The port of a
	// front end's development server often changes.
	LoopbackOrigins bool
}

func (d Development) check(config Config) error {
	if config.Environment == "production" && (d.Clerk != nil || d.LoopbackOrigins) {
		return errors.New("gateway: Deps.Development is set, but TRIVET_ENV is production")
	}
	return nil
}

// routes lists the addresses of development.
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

// serves reports whether a request is for Clerk's Frontend API, which has CORS rules of its own.
func (d Development) serves(r *http.Request) bool {
	return d.Clerk != nil && strings.HasPrefix(r.URL.Path, ClerkPrefix+"/")
}

// clerkFrontend forwards to Clerk's Frontend API. Tokens name the page's origin, which a GET from the same origin does
// not carry, so the page's address goes along. The sandbox refuses the hosts that are not this machine's.
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

// originAllowed reports whether pages of an origin may call.
func (g *Gateway) originAllowed(origin string) bool {
	return slices.Contains(g.config.AllowedOrigins, origin) || g.development.LoopbackOrigins && loopbackOrigin(origin)
}

// loopbackOrigin reports whether an origin is one of this machine's.
func loopbackOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Scheme+"://"+u.Host != origin {
		return false
	}
	name := u.Hostname()
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}
