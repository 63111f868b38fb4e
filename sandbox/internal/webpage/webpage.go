// Package webpage serves the HTML pages of the sandbox.
package webpage

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
)

// maxForm is the maximum size of a form in bytes.
const maxForm = 64 << 10

// Render writes the template with the name. It writes an error when the template fails, so that no page is cut off.
func Render(w http.ResponseWriter, pages *template.Template, name string, status int, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "rendering the page failed: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}

// Form reads the form of a page. When that fails, it answers the request and returns false.
func Form(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "invalid form: "+err.Error(), http.StatusBadRequest)
		return nil, false
	}
	return r.PostForm, true
}
