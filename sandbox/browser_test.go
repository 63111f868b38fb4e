package sandbox_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
	"github.com/trivet-dev/trivet/sandbox"
)

// clerkPage loads Clerk's script and components as its packages for front ends do, and shows the component in the query.
const clerkPage = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox</title><link rel="icon" href="data:,"><body><main id="at"></main>
<script src="/__clerk/npm/@clerk/ui@1/dist/ui.browser.js" crossorigin="anonymous"></script>
<script src="/__clerk/npm/@clerk/clerk-js@6/dist/clerk.browser.js" crossorigin="anonymous" data-clerk-publishable-key="%s" data-clerk-proxy-url="%s/__clerk"></script>
<script>
(async () => {
  await Clerk.load({ ui: { ClerkUI: window.__internal_ClerkUICtor }, telemetry: false, routerPush: () => {}, routerReplace: () => {} });
  const show = new URLSearchParams(location.search).get("show");
  if (show && (Clerk.user || show.startsWith("Sign"))) Clerk["mount" + show](document.getElementById("at"));
  window.ready = true;
})();
</script></body></html>`

// TestClerkScriptInChromium signs users up and in with Clerk's unmodified script and components, behind a proxy as the
// edge's.
func TestClerkScriptInChromium(t *testing.T) {
	folder := filepath.Join("..", "test", "sdk")
	chromium, err := exec.LookPath("chromium")
	_, missing := os.Stat(filepath.Join(folder, "node_modules", "playwright-core"))
	skip.Unless(t, "Clerk's script in Chromium", errors.Join(err, missing), "run `make deps test/sdk/node_modules`")
	s, base := serve(t, sandbox.Config{})
	target, err := url.Parse(base + "/clerk")
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Path = strings.TrimPrefix(r.Out.URL.Path, "/__clerk")
		r.SetURL(target)
		r.SetXForwarded()
	}}
	mux := http.NewServeMux()
	mux.Handle("/__clerk/", proxy)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, clerkPage, s.Clerk().PublishableKey(), "http://"+r.Host)
	})
	edge := httptest.NewServer(mux)
	defer edge.Close()
	page := strings.Replace(edge.URL, "127.0.0.1", "localhost", 1)
	script := filepath.Join(folder, "clerk-browser.mjs")
	out, err := exec.CommandContext(t.Context(), "node", script, page, chromium, os.Getenv("TRIVET_SCREENSHOTS")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "13 steps passed")
}
