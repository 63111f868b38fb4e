// Package swaggerui serves Swagger UI, a page that describes the API and lets people try it. The page needs nothing from
// another host, and its Content-Security-Policy holds it to that.
package swaggerui

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"github.com/trivet-dev/trivet/platform/staticfiles"
)

// Version is that of the npm package swagger-ui-dist.
const Version = "5.35.0"

//go:embed files page
var embedded embed.FS

// policy allows scripts, styles and calls of this origin only. Swagger UI sets styles by script, which needs no permission.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handlers returns the page and its files. The page is at …/docs, a file at …/docs/NAME.
func Handlers() (page, file http.Handler, err error) {
	own, err := open("page")
	if err != nil {
		return nil, nil, err
	}
	swagger, err := open("files")
	if err != nil {
		return nil, nil, err
	}
	page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		own.Serve(w, r, "index.html", staticfiles.NoStore)
	})
	file = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		if name == "index.html" || !own.Serve(w, r, name, staticfiles.Revalidate) && !swagger.Serve(w, r, name, staticfiles.Revalidate) {
			http.NotFound(w, r)
		}
	})
	return page, file, nil
}

func open(folder string) (*staticfiles.Files, error) {
	sub, err := fs.Sub(embedded, folder)
	if err != nil {
		return nil, err
	}
	return staticfiles.Open(sub)
}
