package email

import (
	"encoding/json"
	"html/template"
	"net/http"
	"slices"

	"github.com/trivet-dev/trivet/sandbox/internal/webpage"
)

var pages = template.Must(template.New("list").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Mails</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}pre{white-space:pre-wrap;border:1px solid;padding:1rem}</style></head>
<body><main><h1>Mails</h1><p>The newest first. Nothing was delivered.</p>
{{range .}}<article><h2>{{.Subject}}</h2><p>To {{range .To}}{{.}} {{end}}from {{.From}}, {{.ReceiveTime}}</p><pre>{{.Text}}</pre></article>
{{else}}<p>There are no mails.</p>{{end}}</main></body></html>
`))

// mux serves the pages below /email.
func (f *Fake) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		newest := f.Mails()
		slices.Reverse(newest)
		webpage.Render(w, pages, "list", http.StatusOK, newest)
	})
	mux.HandleFunc("GET /messages", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"messages": f.Mails()})
	})
	mux.HandleFunc("DELETE /messages", func(w http.ResponseWriter, _ *http.Request) {
		f.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// ServeHTTP shows the mails: a page at /, and JSON at /messages.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.routes.ServeHTTP(w, r) }

// Route returns the route that handles a request.
func (f *Fake) Route(r *http.Request) string {
	_, pattern := f.routes.Handler(r)
	return pattern
}
