// Package console serves Trivet's console, a web page for people and operators. Its built files are in dist and embedded,
// unless the program is built with the tag noconsole. `make console` builds them from src.
package console

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"regexp"
	"strings"

	"github.com/trivet-dev/trivet/platform/staticfiles"
)

// Config is what the page needs to know of the server.
type Config struct {
	// PublishableKey is Clerk's. Without it the page says which setting is missing.
	PublishableKey string
	// ClerkProxy is the path of Clerk's Frontend API on this server; "" for Clerk itself.
	ClerkProxy string
}

// noncePlaceholder is where index.html has the nonce of a response.
const noncePlaceholder = "__CSP_NONCE__"

type handler struct {
	files  *staticfiles.Files
	index  []byte
	config []byte
	policy string // with noncePlaceholder
}

// Handler serves the console. Its paths are those below /console/, without that prefix.
func Handler(config Config) (http.Handler, error) {
	folder, err := fs.Sub(built, "dist")
	if err != nil {
		return nil, err
	}
	files, err := staticfiles.Open(folder)
	if err != nil {
		return nil, err
	}
	index, ok := files.Read("index.html")
	if !ok || !bytes.Contains(index, []byte(noncePlaceholder)) {
		return nil, errors.New("the console's index.html is missing or has no place for a nonce: run `make console`")
	}
	raw, err := json.Marshal(struct {
		PublishableKey string `json:"publishableKey"`
		ClerkProxy     string `json:"clerkProxy"`
	}{config.PublishableKey, config.ClerkProxy})
	return &handler{files: files, index: index, config: raw, policy: policy(config)}, err
}

// ServeHTTP implements http.Handler. A path that is not a file's is one of the page's own, so it gets the page.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	header := w.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	header.Set("Referrer-Policy", "same-origin")
	switch {
	case name == "config.json":
		header.Set("Cache-Control", staticfiles.NoStore)
		header.Set("Content-Type", "application/json")
		_, _ = w.Write(h.config) // it fails only when the caller has left
	case strings.HasPrefix(name, "assets/"):
		if !h.files.Serve(w, r, name, staticfiles.Forever) {
			http.NotFound(w, r)
		}
	default:
		h.serveIndex(w)
	}
}

func (h *handler) serveIndex(w http.ResponseWriter) {
	nonce := rand.Text()
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", staticfiles.NoStore)
	header.Set("Content-Security-Policy", strings.ReplaceAll(h.policy, noncePlaceholder, nonce))
	_, _ = w.Write(bytes.ReplaceAll(h.index, []byte(noncePlaceholder), []byte(nonce)))
}

// policy is the Content-Security-Policy of the page. Clerk's components add style elements, which carry the nonce.
func policy(config Config) string {
	script, connect, image, frame := "'self'", "'self'", "'self' data:", "'none'"
	if host := clerkHost(config.PublishableKey); host != "" && config.ClerkProxy == "" {
		const captcha = "https://challenges.cloudflare.com"
		script += " https://" + host + " " + captcha
		connect += " https://" + host
		image += " https://img.clerk.com"
		frame = captcha
	}
	return "default-src 'none'; script-src " + script + "; style-src 'self' 'nonce-" + noncePlaceholder + "'; img-src " + image +
		"; connect-src " + connect + "; worker-src 'self' blob:; frame-src " + frame +
		"; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
}

var hostName = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)

// clerkHost reads the host of Clerk's Frontend API out of a publishable key: "pk_live_" and the base64 of the host and "$".
// It returns "" for text that is not such a key.
func clerkHost(key string) string {
	_, encoded, found := strings.Cut(strings.TrimPrefix(key, "pk_"), "_")
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	host, whole := strings.CutSuffix(string(raw), "$")
	if !found || err != nil || !whole || !hostName.MatchString(host) {
		return ""
	}
	return host
}
