// Package browserfiles has the files of Clerk's npm packages that a browser loads, so that a page of the sandbox needs no
// network. They are unmodified, compressed, and embedded unless the program is built with the tag nosandboxscripts.
package browserfiles

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Package is one npm package.
type Package struct {
	Name    string // "@clerk/clerk-js"
	Version string
	folder  string
}

// Packages are those that are embedded.
func Packages() []Package {
	return []Package{{"@clerk/clerk-js", "6.40.0", "clerk-js"}, {"@clerk/ui", "1.34.0", "ui"}}
}

// Open returns the package and the compressed file that a path such as "@clerk/ui@1/dist/ui.browser.js" names. The version
// is the whole one or its beginning. The error says what is there instead.
func Open(name string) (Package, []byte, error) {
	p, file, err := find(name)
	if err != nil {
		return Package{}, nil, err
	}
	if !embedded {
		return Package{}, nil, errors.New("this program was built without Clerk's browser files (tag nosandboxscripts)")
	}
	raw, err := fs.ReadFile(files, path.Join("files", p.folder, file+".gz"))
	if errors.Is(err, fs.ErrNotExist) {
		return Package{}, nil, fmt.Errorf("%s@%s has no file dist/%s, or the sandbox leaves it out", p.Name, p.Version, file)
	}
	return p, raw, err
}

// find splits a path into package and file.
func find(name string) (Package, string, error) {
	scoped, file, ok := strings.Cut(name, "/dist/")
	at := strings.LastIndex(scoped, "@")
	if !ok || at < 1 || file == "" || strings.Contains(file, "/") {
		return Package{}, "", errors.New("the path must have the form @clerk/clerk-js@6/dist/clerk.browser.js")
	}
	var have []string
	for _, p := range Packages() {
		if p.Name == scoped[:at] && p.is(scoped[at+1:]) {
			return p, file, nil
		}
		have = append(have, p.Name+"@"+p.Version)
	}
	return Package{}, "", fmt.Errorf("the sandbox has no %s; it has %s", scoped, strings.Join(have, " and "))
}

// is reports whether version is the package's, or its beginning: "6", "6.40".
func (p Package) is(version string) bool {
	return version == p.Version || version != "" && strings.HasPrefix(p.Version, version+".")
}

// Serve answers a request for the file under a path. Pages of any origin may load it: it is public.
func Serve(w http.ResponseWriter, r *http.Request, name string) error {
	p, raw, err := Open(name)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "max-age=300")
	if strings.HasPrefix(name, p.Name+"@"+p.Version+"/") {
		h.Set("Cache-Control", "max-age=31536000, immutable")
	}
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		_, err = w.Write(raw)
		return err
	}
	plain, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, plain) //nolint:gosec // our own files
	return err
}

func acceptsGzip(r *http.Request) bool {
	return slices.ContainsFunc(strings.Split(r.Header.Get("Accept-Encoding"), ","), func(part string) bool {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		return strings.TrimSpace(name) == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0"
	})
}
