// Package apidocs serves the description of the API: the OpenAPI document and a page that shows it.
package apidocs

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

//go:embed docs.html
var docs string

// OpenAPI serves the document.
func OpenAPI(document []byte) http.Handler {
	return static("application/json", "", document)
}

// Docs serves a page that reads /openapi.json and lists its contents. The page loads nothing from other hosts, and its
// Content-Security-Policy enforces that.
func Docs() http.Handler {
	policy := "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; script-src " + hash(between(docs, "<script>", "</script>")) +
		"; style-src " + hash(between(docs, "<style>", "</style>"))
	return static("text/html; charset=utf-8", policy, []byte(docs))
}

func static(contentType, policy string, body []byte) http.Handler {
	length := strconv.Itoa(len(body))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", length)
		if policy != "" {
			h.Set("Content-Security-Policy", policy)
		}
		_, _ = w.Write(body)
	})
}

// hash returns the Content-Security-Policy source of an inline text.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func between(text, start, end string) string {
	_, text, _ = strings.Cut(text, start)
	text, _, _ = strings.Cut(text, end)
	return text
}
