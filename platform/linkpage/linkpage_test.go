package linkpage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/linkpage"
)

func TestPage(t *testing.T) {
	handler := linkpage.Handler(linkpage.Page{Title: "A <b>", Text: "What it is.", Links: []linkpage.Link{
		{Address: "docs", Name: "API", Text: "all calls"}, {Address: `x" onclick="`, Name: "<i>"}, {Name: "POST /v1/x", Text: "no page"},
	}})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	body := w.Body.String()
	require.Contains(t, body, `<h1>A &lt;b&gt;</h1>`)
	require.Contains(t, body, `<dt><a href="docs">API</a></dt><dd>all calls</dd>`)
	require.Contains(t, body, `<dt>POST /v1/x</dt>`)
	require.Contains(t, body, `<a href="x&#34; onclick=&#34;">&lt;i&gt;</a>`)
	_, style, _ := strings.Cut(body, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", "the browser applies the style")
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
}
