package browserfiles

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

func needFiles(t *testing.T) {
	t.Helper()
	var err error
	if !embedded {
		err = errors.New("the test is built without the files")
	}
	skip.Unless(t, "Clerk's browser files", err, "build without the tag nosandboxscripts")
}

// TestChecksums: every file is the one of the package, and each package has its license.
func TestChecksums(t *testing.T) {
	needFiles(t)
	for _, p := range Packages() {
		license, err := fs.ReadFile(files, path.Join("files", p.folder, "LICENSE"))
		require.NoError(t, err)
		require.Contains(t, string(license), "MIT License")
		sums, err := fs.ReadFile(files, path.Join("files", p.folder, "SHA256SUMS"))
		require.NoError(t, err)
		n := 0
		for lines := bufio.NewScanner(bytes.NewReader(sums)); lines.Scan(); n++ {
			want, name, _ := strings.Cut(lines.Text(), "  ")
			_, raw, err := Open(p.Name + "@" + p.Version + "/dist/" + name)
			require.NoError(t, err)
			sum := sha256.Sum256(unzip(t, raw))
			require.Equal(t, want, hex.EncodeToString(sum[:]), name)
		}
		all, err := fs.ReadDir(files, path.Join("files", p.folder))
		require.NoError(t, err)
		require.Len(t, all, n+2, "a file without a checksum")
	}
}

func unzip(t *testing.T, raw []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(raw))
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	return plain
}

func TestServe(t *testing.T) {
	needFiles(t)
	get := func(name, encoding string) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		return w, Serve(w, r, name)
	}
	exact := "@clerk/clerk-js@" + Packages()[0].Version + "/dist/clerk.browser.js"
	zipped, err := get(exact, "br, gzip")
	require.NoError(t, err)
	require.Equal(t, "gzip", zipped.Header().Get("Content-Encoding"))
	require.Contains(t, zipped.Header().Get("Cache-Control"), "immutable")
	require.Equal(t, "text/javascript; charset=utf-8", zipped.Header().Get("Content-Type"))
	for _, encoding := range []string{"", "gzip;q=0", "br"} {
		plain, err := get("@clerk/clerk-js@6/dist/clerk.browser.js", encoding)
		require.NoError(t, err)
		require.Empty(t, plain.Header().Get("Content-Encoding"))
		require.NotContains(t, plain.Header().Get("Cache-Control"), "immutable")
		require.Equal(t, unzip(t, zipped.Body.Bytes()), plain.Body.Bytes())
	}
	for name, want := range map[string]string{
		"@clerk/clerk-js@5/dist/clerk.browser.js":      "the sandbox has no @clerk/clerk-js@5; it has @clerk/clerk-js@" + Packages()[0].Version,
		"@clerk/clerk-js@/dist/clerk.browser.js":       "the sandbox has no",
		"@clerk/clerk-js@64/dist/clerk.browser.js":     "the sandbox has no",
		"react@19/dist/react.js":                       "the sandbox has no react@19",
		"@clerk/ui@1/dist/other.js":                    "has no file dist/other.js",
		"@clerk/ui@1/dist/../LICENSE":                  "must have the form",
		"@clerk/ui@1/dist/":                            "must have the form",
		"@clerk/ui":                                    "must have the form",
		"@clerk/ui@1/package.json":                     "must have the form",
		"@clerk/clerk-js@6/dist/..%2fclerk.browser.js": "has no file",
	} {
		_, err := get(name, "gzip")
		require.ErrorContains(t, err, want, name)
	}
}
