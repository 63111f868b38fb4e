//go:build !noconsole

package console_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/integration"
	console "github.com/trivet-dev/trivet/web/console"
)

func get(t *testing.T, config console.Config, path string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := console.Handler(config)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func key(host string) string { return "pk_live_" + base64.StdEncoding.EncodeToString([]byte(host+"$")) }

func TestPaths(t *testing.T) {
	index := get(t, console.Config{}, "/").Body.String()
	script := regexp.MustCompile(`src="\./(assets/[^"]+)"`).FindStringSubmatch(index)[1]
	for path, want := range map[string]struct {
		status      int
		kind, cache string
	}{
		"/":            {200, "text/html; charset=utf-8", "no-store"},
		"/keys":        {200, "text/html; charset=utf-8", "no-store"},
		"/index.html":  {200, "text/html; charset=utf-8", "no-store"},
		"/config.json": {200, "application/json", "no-store"},
		"/" + script:   {200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		"/assets/x.js": {404, "text/plain; charset=utf-8", ""},
		"/assets/":     {404, "text/plain; charset=utf-8", ""},
	} {
		got := get(t, console.Config{}, path)
		require.Equal(t, want.status, got.Code, path)
		require.Equal(t, want.kind, got.Header().Get("Content-Type"), path)
		require.Equal(t, want.cache, got.Header().Get("Cache-Control"), path)
		require.NotContains(t, got.Body.String(), "__CSP_NONCE__", path)
	}
	require.JSONEq(t, `{"publishableKey":"pk_test_x","clerkProxy":"/__clerk"}`,
		get(t, console.Config{PublishableKey: "pk_test_x", ClerkProxy: "/__clerk"}, "/config.json").Body.String())
}

// Each answer has a nonce of its own, in the policy and in the page.
// The pages name every integration for people; one without a name would be shown by its key.
func TestEveryIntegrationHasAName(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("src", "lib", "status.ts"))
	require.NoError(t, err)
	names := regexp.MustCompile(`integrationNames.*= \{(.*)\}`).FindSubmatch(source)
	require.NotNil(t, names)
	for _, i := range integration.All() {
		require.Regexp(t, `\b`+i.Name+`: '[^']+'`, string(names[1]))
	}
}

func TestNonce(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		w := get(t, console.Config{}, "/")
		nonce := regexp.MustCompile(`name="csp-nonce" content="([A-Z2-7]{26})"`).FindStringSubmatch(w.Body.String())[1]
		require.Contains(t, w.Header().Get("Content-Security-Policy"), "style-src 'self' 'nonce-"+nonce+"';")
		require.False(t, seen[nonce])
		seen[nonce] = true
	}
}

func TestPolicy(t *testing.T) {
	const own = "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-N'; img-src 'self' data:; connect-src 'self'; " +
		"worker-src 'self' blob:; frame-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
	const clerks = "default-src 'none'; script-src 'self' https://clerk.example.com https://challenges.cloudflare.com; style-src 'self' 'nonce-N'; " +
		"img-src 'self' data: https://img.clerk.com; connect-src 'self' https://clerk.example.com; worker-src 'self' blob:; " +
		"frame-src https://challenges.cloudflare.com; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
	for name, tc := range map[string]struct {
		config console.Config
		want   string
	}{
		"sandbox":         {console.Config{PublishableKey: key("sandbox.example.com"), ClerkProxy: "/__clerk"}, own},
		"Clerk":           {console.Config{PublishableKey: key("clerk.example.com")}, clerks},
		"without padding": {console.Config{PublishableKey: strings.TrimRight(key("clerk.example.com"), "=")}, clerks},
		"no key":          {console.Config{}, own},
		"not a key":       {console.Config{PublishableKey: "pk_live_%%"}, own},
		"no end":          {console.Config{PublishableKey: "pk_live_" + base64.StdEncoding.EncodeToString([]byte("clerk.example.com"))}, own},
		"injected":        {console.Config{PublishableKey: key("a.test; script-src *")}, own},
		"a port":          {console.Config{PublishableKey: key("a.test:1")}, own},
		"no dot":          {console.Config{PublishableKey: key("localhost")}, own},
	} {
		t.Run(name, func(t *testing.T) {
			got := get(t, tc.config, "/").Header().Get("Content-Security-Policy")
			require.Equal(t, tc.want, regexp.MustCompile(`nonce-[A-Z2-7]+`).ReplaceAllString(got, "nonce-N"))
		})
	}
}

// What a browser loads before it shows the first page stays small: the files that index.html names, compressed.
func TestFirstLoadIsSmall(t *testing.T) {
	index := get(t, console.Config{}, "/").Body.String()
	loaded := regexp.MustCompile(`(?:src|href)="\./(assets/[^"]+)"`).FindAllStringSubmatch(index, -1)
	require.GreaterOrEqual(t, len(loaded), 2)
	require.NotContains(t, index, "<script>", "the policy forbids it")
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	for _, m := range loaded {
		content, err := os.ReadFile(filepath.Join("dist", m[1]))
		require.NoError(t, err)
		_, err = w.Write(content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.Less(t, zipped.Len(), 180<<10)
}

// The build must not tell where it was made, or two machines would build different files.
func TestBuildNamesNoFolder(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join("dist", "assets", "*"))
	require.NoError(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(content), here, file)
	}
}
