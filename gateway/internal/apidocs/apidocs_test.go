package apidocs_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/apidocs"
)

func TestDocsLoadNothingFromOtherHosts(t *testing.T) {
	w := httptest.NewRecorder()
	apidocs.Docs().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/docs", nil))
	html := w.Body.String()
	require.Empty(t, regexp.MustCompile(`(?i)(https?:)?//[a-z]`).FindString(html))
	require.Equal(t, 1, strings.Count(html, "<script"))
	require.Equal(t, 1, strings.Count(html, "<style"))
	require.NotContains(t, html, "innerHTML", "texts from the document must not become HTML")
	require.NotContains(t, html, " style=", "the policy forbids it")
	require.NotContains(t, html, " onclick=", "the policy forbids it")
	policy := w.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.Len(t, regexp.MustCompile(`'sha256-[A-Za-z0-9+/]{43}='`).FindAllString(policy, -1), 2)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
}

func TestOpenAPI(t *testing.T) {
	w := httptest.NewRecorder()
	apidocs.OpenAPI([]byte(`{"a":1}`)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	require.JSONEq(t, `{"a":1}`, w.Body.String())
	require.Equal(t, "7", w.Header().Get("Content-Length"))
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
}
