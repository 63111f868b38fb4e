// Package linkpage serves a page that lists what a server has, for a person who opens its address.
package linkpage

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"strings"
)

// Page is what the page shows.
type Page struct {
	Title string
	// Text says what the server is.
	Text  string
	Links []Link
}

// Link is one entry. Address may be relative; without one, the entry is only text.
type Link struct{ Address, Name, Text string }

const style = `:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
dt { margin-top: 1rem; font-weight: 600; }
dd { margin: 0; opacity: .8; }
`

// Handler serves the page at whatever path it is asked for. Its Content-Security-Policy allows nothing but its style.
func Handler(p Page) http.Handler {
	body := []byte(p.html())
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body) // it fails only when the caller has left
	})
}

func (p Page) html() string {
	title := html.EscapeString(p.Title)
	var b strings.Builder
	b.WriteString(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>` + title + `</title>
<link rel="icon" href="data:,">
<style>` + style + `</style>
</head>
<body>
<main>
<h1>` + title + `</h1>
<p>` + html.EscapeString(p.Text) + `</p>
<dl>
`)
	for _, link := range p.Links {
		name := html.EscapeString(link.Name)
		if link.Address != "" {
			name = `<a href="` + html.EscapeString(link.Address) + `">` + name + `</a>`
		}
		b.WriteString("<dt>" + name + "</dt><dd>" + html.EscapeString(link.Text) + "</dd>\n")
	}
	b.WriteString("</dl>\n</main>\n</body>\n</html>\n")
	return b.String()
}
