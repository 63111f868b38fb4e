package staticfiles_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/staticfiles"
)

var long = strings.Repeat("let a = 1;\n", 100)

func zip(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func open(t *testing.T) *staticfiles.Files {
	t.Helper()
	files, err := staticfiles.Open(fstest.MapFS{
		"index.html": {Data: []byte("<p>")}, "assets/a.js": {Data: []byte(long)}, "b.css.gz": {Data: zip(t, long)}, "bad.js.gz": {Data: []byte("not gzip")},
	})
	require.NoError(t, err)
	return files
}

func TestServe(t *testing.T) {
	files := open(t)
	cases := map[string]struct {
		name, accept string
		body         string
		kind         string
		zipped       bool
		cache        string
	}{
		"plain":             {name: "assets/a.js", body: long, kind: "text/javascript; charset=utf-8", cache: staticfiles.Revalidate},
		"compressed":        {name: "assets/a.js", accept: "br, gzip", body: long, kind: "text/javascript; charset=utf-8", zipped: true, cache: staticfiles.Revalidate},
		"stored compressed": {name: "b.css", accept: "gzip;q=0.5", body: long, kind: "text/css; charset=utf-8", zipped: true, cache: staticfiles.Revalidate},
		"unpacked":          {name: "b.css", accept: "gzip;q=0, br", body: long, kind: "text/css; charset=utf-8", cache: staticfiles.Revalidate},
		"too small":         {name: "index.html", accept: "gzip", body: "<p>", kind: "text/html; charset=utf-8", cache: staticfiles.Revalidate},
		"forever":           {name: "assets/a.js", body: long, kind: "text/javascript; charset=utf-8", cache: staticfiles.Forever},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.Header.Set("Accept-Encoding", tc.accept)
			w := httptest.NewRecorder()
			require.True(t, files.Serve(w, r, tc.name, tc.cache))
			h := w.Result().Header
			body := w.Body.String()
			require.Equal(t, tc.zipped, h.Get("Content-Encoding") == "gzip")
			if tc.zipped {
				reader, err := gzip.NewReader(w.Body)
				require.NoError(t, err)
				raw, err := io.ReadAll(reader)
				require.NoError(t, err)
				body = string(raw)
			}
			require.Equal(t, tc.body, body)
			require.Equal(t, tc.kind, h.Get("Content-Type"))
			require.Equal(t, tc.cache, h.Get("Cache-Control"))
			require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		})
	}
}

func TestAnUnchangedFileIsNotSentAgain(t *testing.T) {
	files := open(t)
	first := httptest.NewRecorder()
	require.True(t, files.Serve(first, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), "b.css", staticfiles.Revalidate))
	for tag, status := range map[string]int{first.Header().Get("ETag"): 304, `"other", ` + first.Header().Get("ETag"): 304, `"other"`: 200} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		require.True(t, files.Serve(w, r, "b.css", staticfiles.Revalidate))
		require.Equal(t, status, w.Code, tag)
		require.Equal(t, status == 304, w.Body.Len() == 0)
	}
}

func TestFilesThatCannotBeServed(t *testing.T) {
	files := open(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	for _, name := range []string{"", "a.js", "assets", "b.css.gz", "../index.html", "/index.html"} {
		w := httptest.NewRecorder()
		require.False(t, files.Serve(w, r, name, staticfiles.NoStore), name)
		require.Empty(t, w.Header())
		_, ok := files.Read(name)
		require.False(t, ok)
	}
	w := httptest.NewRecorder()
	require.True(t, files.Serve(w, r, "bad.js", staticfiles.NoStore))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	_, ok := files.Read("bad.js")
	require.False(t, ok)
	content, ok := files.Read("index.html")
	require.True(t, ok)
	require.Equal(t, "<p>", string(content))
	_, err := staticfiles.Open(fstest.MapFS{"a.exe": {Data: []byte("x")}})
	require.ErrorContains(t, err, "a.exe")
}
