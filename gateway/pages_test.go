package gateway_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
)

// The page at / lists what a browser can open, and each of its links works.
func TestHome(t *testing.T) {
	h := newEdge(t, options{})
	home := h.do(t, http.MethodGet, "/", "", header("Authorization", ""))
	require.Equal(t, http.StatusOK, home.status)
	require.Equal(t, "text/html; charset=utf-8", home.header.Get("Content-Type"))
	links := regexp.MustCompile(`href="([a-z][^":]*)"`).FindAllStringSubmatch(home.body, -1)
	require.GreaterOrEqual(t, len(links), 3)
	for _, link := range links {
		require.Equal(t, http.StatusOK, h.do(t, http.MethodGet, "/"+link[1], "", header("Authorization", "")).status, link[1])
	}
	require.NotContains(t, home.body, "Sandbox")
	dev := newEdge(t, options{development: gateway.Development{Sandbox: "http://127.0.0.1:8090"}})
	require.Contains(t, dev.do(t, http.MethodGet, "/", "").body, `href="http://127.0.0.1:8090"`)
	require.Equal(t, http.StatusMethodNotAllowed, h.do(t, http.MethodPost, "/", "{}").status)
}

func TestDocs(t *testing.T) {
	h := newEdge(t, options{})
	docs := h.do(t, http.MethodGet, "/docs", "", header("Authorization", ""))
	require.Contains(t, docs.header.Get("Content-Security-Policy"), "script-src 'self'")
	script := h.do(t, http.MethodGet, "/docs/swagger-ui-bundle.js", "", header("Authorization", ""))
	require.Equal(t, http.StatusOK, script.status)
	require.Equal(t, "text/javascript; charset=utf-8", script.header.Get("Content-Type"))
	require.Equal(t, http.StatusNotFound, h.do(t, http.MethodGet, "/docs/none", "").status)
}
