package gateway

import (
	"net/http"

	"github.com/rs/cors"
)

// Values that all answers share; never changed.
var (
	noSniff = []string{"nosniff"}
	noStore = []string{"no-store"}
	hsts    = []string{"max-age=31536000; includeSubDomains"}
)

// headers sets what every answer has.
func (g *Gateway) headers(h http.Header, id string) {
	h["X-Request-Id"] = []string{id}
	h["X-Content-Type-Options"] = noSniff
	h["Cache-Control"] = noStore
	if g.config.Environment == "production" {
		h["Strict-Transport-Security"] = hsts
	}
}

// newCORS lets pages of exactly these origins call; nil lets none.
func newCORS(origins []string) *cors.Cors {
	if len(origins) == 0 {
		return nil
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
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

// preflight adds the headers that browsers want; it returns true when it has answered a preflight request.
func (g *Gateway) preflight(w http.ResponseWriter, r *http.Request) bool {
	g.cors.HandlerFunc(w, r)
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}
