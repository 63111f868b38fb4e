package gateway

import (
	"net/http"
	"net/url"

	"github.com/rs/cors"
)

// Values that all answers share; never changed.
var (
	noSniff = []string{"nosniff"}
	noStore = []string{"no-store"}
	// inert keeps an answer that a browser takes for a page from doing anything. Pages of the edge's own set another policy.
	inert = []string{"default-src 'none'; frame-ancestors 'none'; sandbox"}
	hsts  = []string{"max-age=31536000; includeSubDomains"}
)

// headers sets what every answer has.
func (g *Gateway) headers(h http.Header, id string) {
	h["X-Request-Id"] = []string{id}
	h["X-Content-Type-Options"] = noSniff
	h["Cache-Control"] = noStore
	h["Content-Security-Policy"] = inert
	if g.config.Environment == "production" {
		h["Strict-Transport-Security"] = hsts
	}
}

// newCORS lets pages of the allowed origins call; it returns nil when there are none.
func (g *Gateway) newCORS() *cors.Cors {
	if len(g.config.AllowedOrigins) == 0 && !g.development.LoopbackOrigins {
		return nil
	}
	return cors.New(cors.Options{
		AllowOriginFunc: g.originAllowed,
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		// Any name: SDKs add x-stainless-* headers from version to version, and what is not on the edge's own allowlist
		// stops at the edge anyway.
		AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{
			"X-Request-Id", "Retry-After", "Retry-After-Ms", "X-Should-Retry", "Openai-Processing-Ms", "Openai-Version",
			"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests",
			"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens",
		},
		MaxAge: 600,
	})
}

// noteOrigin logs the origin of a page that may not call, with the setting that decides. Browsers tell people only that
// the call failed.
func (g *Gateway) noteOrigin(r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" || g.originAllowed(origin) || sameHost(origin, r.Host) {
		return
	}
	if left, write := g.limited.Next("origin"); write {
		g.logger.WarnContext(r.Context(), "a browser will not show this answer to the page that asked: if its origin may call, add it to CORS_ALLOWED_ORIGINS",
			"origin", origin[:min(len(origin), maxOrigin)], "suppressed", left)
	}
}

// maxOrigin bounds what the log shows of an origin, in bytes.
const maxOrigin = 256

// sameHost reports whether a page comes from the edge itself: browsers send its origin, too, but ask for no permission.
func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == host
}

// preflight adds the headers that browsers want; it returns true when it has answered a preflight request.
func (g *Gateway) preflight(w http.ResponseWriter, r *http.Request) bool {
	if g.development.serves(r) {
		return false
	}
	g.cors.HandlerFunc(w, r)
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}
