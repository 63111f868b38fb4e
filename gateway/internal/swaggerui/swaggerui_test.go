package swaggerui_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/swaggerui"
)

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	page, file, err := swaggerui.Handlers()
	require.NoError(t, err)
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if path == "/docs" {
		page.ServeHTTP(w, r)
	} else {
		file.ServeHTTP(w, r)
	}
	return w
}

// Everything that the page loads is there, and nothing comes from another host.
func TestPage(t *testing.T) {
	page := get(t, "/docs")
	require.Equal(t, http.StatusOK, page.Code)
	require.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; style-src 'self';")
	html := page.Body.String()
	loaded := regexp.MustCompile(`(?:src|href)="(docs/[^"]+)"`).FindAllStringSubmatch(html, -1)
	require.Len(t, loaded, 4)
	for _, m := range loaded {
		require.Equal(t, http.StatusOK, get(t, "/"+m[1]).Code, m[1])
	}
	require.NotContains(t, html, "://")
	require.NotContains(t, html, "<style", "the policy forbids it")
	require.Zero(t, strings.Count(html, "<script>"), "the policy forbids it")
	require.Contains(t, get(t, "/docs/page.js").Body.String(), "openapi.json")
	require.Contains(t, html, `<noscript>`)
}

func TestFiles(t *testing.T) {
	for path, status := range map[string]int{
		"/docs/": http.StatusNotFound, "/docs/index.html": http.StatusNotFound, "/docs/other.js": http.StatusNotFound,
		"/docs/swaggerui.go": http.StatusNotFound, "/docs/LICENSE.txt": http.StatusOK, "/docs/NOTICE.txt": http.StatusOK,
	} {
		require.Equal(t, status, get(t, path).Code, path)
	}
}

// The embedded files are the package's.
func TestChecksums(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(get(t, "/docs/SHA256SUMS.txt").Body.String()), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		sum := sha256.Sum256(get(t, "/docs/"+name).Body.Bytes())
		require.Equal(t, want, hex.EncodeToString(sum[:]), name)
	}
}
