package gateway

import (
	"net/http"
	"net/url"

	"github.com/rs/cors"
)

// Header values that all responses share. They are never changed.
var (
	noSniff = []string{"nosniff"}
	noStore = []string{"no-store"}
	// inert stops a browser from running a response that it displays as a page. The edge's own pages set another policy.
	inert = []string{"default-src 'none'; frame-ancestors 'none'; sandbox"}
	hsts  = []string{"max-age=31536000; includeSubDomains"}
)

// headers sets the headers of every response.
func (g *Gateway) headers(h http.Header, id []string) {
	h["X-Request-Id"] = id
	h["X-Content-Type-Options"] = noSniff
	h["Cache-Control"] = noStore
	h["Content-Security-Policy"] = inert
	if g.production {
		h["Strict-Transport-Security"] = hsts
	}
}

// newCORS allows pages of the allowed origins to call. It returns nil when there are no such origins.
func (g *Gateway) newCORS() *cors.Cors {
	if len(g.config.AllowedOrigins) == 0 && !g.development.LoopbackOrigins {
		return nil
	}
	return cors.New(cors.Options{
		AllowOriginFunc: g.originAllowed,
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		// Any header is allowed: new SDK versions add x-stainless-* headers, and the edge forwards only the headers on its
		// own allowlist.
		AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{
			"X-Request-Id", "Retry-After", "Retry-After-Ms", "X-Should-Retry", "Openai-Processing-Ms", "Openai-Version",
			"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests",
			"Ratelimit", "Ratelimit-Policy", "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens",
		},
		MaxAge: 600,
	})
}

// noteOrigin logs the origin of a page that may not call, and names the setting. A browser only says that the call failed.
func (g *Gateway) noteOrigin(r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" || g.originAllowed(origin) || sameHost(origin, r.Host) {
		return
	}
	if left, write := g.limited.Next("origin"); write {
		g.logger.WarnContext(r.Context(), "origin not allowed: the browser hides this response from the page; to allow the origin, add it to CORS_ALLOWED_ORIGINS",
			"origin", origin[:min(len(origin), maxOrigin)], "suppressed", left)
	}
}

// maxOrigin is how many bytes of an origin the log shows.
const maxOrigin = 256

// sameHost reports whether a page comes from the edge itself. Browsers send an origin for such pages too, but need no permission.
func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == host
}

// preflight adds the CORS headers. It returns true when it has answered a preflight request.
func (g *Gateway) preflight(w http.ResponseWriter, r *http.Request) bool {
	if g.development.serves(r) {
		return false
	}
	g.cors.HandlerFunc(w, r)
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}
