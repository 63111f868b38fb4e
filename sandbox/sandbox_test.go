package sandbox_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a sandbox on a real socket; closing it is part of every test.
func serve(t *testing.T, cfg sandbox.Config) (*sandbox.Sandbox, string) {
	t.Helper()
	s, err := sandbox.New(cfg)
	require.NoError(t, err)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		require.NoError(t, s.Close(context.WithoutCancel(t.Context())))
		server.CloseClientConnections()
		server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return s, server.URL
}

func fetch(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, stringReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(raw)
}

// A person who opens the sandbox's address finds what it has, and each link works.
func TestHomePage(t *testing.T) {
	_, base := serve(t, sandbox.Config{})
	read := func(path string) string {
		status, body := fetch(t, http.MethodGet, base+path, "")
		require.Equal(t, http.StatusOK, status, path)
		return body
	}
	links := regexp.MustCompile(`href="([a-z][^":]*)"`).FindAllStringSubmatch(read("/"), -1)
	require.Len(t, links, 3)
	for _, link := range links {
		read("/" + link[1])
	}
}
