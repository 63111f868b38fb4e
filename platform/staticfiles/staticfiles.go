// Package staticfiles serves the files of a web page that are embedded in a program.
package staticfiles

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// contentTypes are the kinds of files that a page may have. The table of the system differs from machine to machine.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".png":  "image/png",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// Files are the files of a folder.
type Files struct{ files map[string]*file }

type file struct {
	contentType string
	forms       func() (forms, error)
}

// forms are a file's forms, made when the file is asked for the first time.
type forms struct {
	plain, zipped []byte
	etag          string
}

// Open reads the files of a folder and of those in it. A file NAME.gz is served as NAME. Open fails on a file whose kind
// is not known.
func Open(folder fs.FS) (*Files, error) {
	out := &Files{files: map[string]*file{}}
	err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		served, compressed := strings.CutSuffix(name, ".gz")
		kind, known := contentTypes[path.Ext(served)]
		if !known {
			return fmt.Errorf("the content type of %s is not known", name)
		}
		out.files[served] = &file{contentType: kind, forms: sync.OnceValues(func() (forms, error) { return formsOf(body, compressed) })}
		return nil
	})
	return out, err
}

func formsOf(body []byte, compressed bool) (forms, error) {
	sum := sha256.Sum256(body)
	f := forms{etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	if compressed {
		reader, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return f, err
		}
		f.zipped = body
		f.plain, err = io.ReadAll(reader)
		return f, err
	}
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	if _, err := writer.Write(body); err != nil {
		return f, err
	}
	f.plain = body
	err := writer.Close()
	f.zipped = zipped.Bytes()
	return f, err
}

// Read returns a file's content; ok is false for a name that does not exist.
func (f *Files) Read(name string) (content []byte, ok bool) {
	found, ok := f.files[name]
	if !ok {
		return nil, false
	}
	all, err := found.forms()
	return all.plain, err == nil
}

// What caches may do with a file.
const (
	// NoStore keeps the file out of caches.
	NoStore = "no-store"
	// Revalidate lets caches keep the file, and makes them ask each time whether it is still the same.
	Revalidate = "no-cache"
	// Forever is for files whose name changes with their content.
	Forever = "public, max-age=31536000, immutable"
)

// Serve answers a request with a file; it returns false, and has written nothing, for a name that does not exist.
func (f *Files) Serve(w http.ResponseWriter, r *http.Request, name, cacheControl string) bool {
	found, ok := f.files[name]
	if !ok {
		return false
	}
	all, err := found.forms()
	if err != nil {
		http.Error(w, "The file cannot be read.", http.StatusInternalServerError)
		return true
	}
	h := w.Header()
	h.Set("Content-Type", found.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", all.etag)
	h.Add("Vary", "Accept-Encoding")
	h.Set("Cache-Control", cacheControl)
	if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), all.etag) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	body := all.plain
	if acceptsGzip(r) && len(all.zipped) < len(all.plain) {
		h.Set("Content-Encoding", "gzip")
		body = all.zipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // it fails only when the caller has left
	return true
}

func acceptsGzip(r *http.Request) bool {
	return slices.ContainsFunc(strings.Split(r.Header.Get("Accept-Encoding"), ","), func(part string) bool {
		name, quality, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";")
		weight, err := strconv.ParseFloat(strings.TrimPrefix(quality, "q="), 64)
		return name == "gzip" && (quality == "" || err == nil && weight > 0)
	})
}
