// Package apidocs serves the OpenAPI document.
package apidocs

import (
	"net/http"
	"strconv"
)

// OpenAPI serves the document.
func OpenAPI(document []byte) http.Handler {
	length := strconv.Itoa(len(document))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", length)
		_, _ = w.Write(document)
	})
}
