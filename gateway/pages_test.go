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

func TestConsole(t *testing.T) {
	h := newEdge(t, options{config: func(c *gateway.Config) { c.PublishableKey = "pk_test_x" }, development: gateway.Development{Clerk: echoClerk}})
	page := h.do(t, http.MethodGet, "/console/keys", "", header("Authorization", ""))
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, page.header.Get("Content-Security-Policy"), "script-src 'self';")
	require.JSONEq(t, `{"publishableKey":"pk_test_x","clerkProxy":"/__clerk"}`, h.do(t, http.MethodGet, "/console/config.json", "").body)
	require.Contains(t, h.do(t, http.MethodGet, "/", "").body, `href="console/"`)
	require.NotContains(t, h.logs.String(), "/console/keys", "the log has routes, not paths")

	h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	moved := h.do(t, http.MethodGet, "/console", "")
	require.Equal(t, http.StatusPermanentRedirect, moved.status)
	require.Equal(t, "console/", moved.header.Get("Location"))

	real := newEdge(t, options{config: func(c *gateway.Config) { c.PublishableKey = "pk_test_x" }})
	require.JSONEq(t, `{"publishableKey":"pk_test_x","clerkProxy":""}`, real.do(t, http.MethodGet, "/console/config.json", "").body)
	off := newEdge(t, options{config: func(c *gateway.Config) { c.Console = false }})
	for _, path := range []string{"/console", "/console/", "/console/config.json"} {
		require.Equal(t, http.StatusNotFound, off.do(t, http.MethodGet, path, "").status, path)
	}
	require.NotContains(t, off.do(t, http.MethodGet, "/", "").body, "console")
}
