package allinone

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox"
)

// The edge forwards to the sandbox's Clerk only while the sandbox stands in for it, and only for this machine.
func TestDevelopmentForwardsToTheSandboxsClerk(t *testing.T) {
	box, err := sandbox.New(sandbox.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, box.Close(t.Context())) }()
	require.Nil(t, development(box, []string{"openai", "stripe"}).Clerk)
	require.Nil(t, development(nil, nil).Clerk)
	require.True(t, development(nil, nil).LoopbackOrigins)

	handler := development(box, []string{"clerk"}).Clerk
	get := func(host, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+path, nil)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	require.Equal(t, http.StatusOK, get("localhost:8080", "/v1/environment").Code)
	require.Equal(t, http.StatusForbidden, get("evil.test:8080", "/v1/environment").Code, "a name that someone resolves to this machine")
	require.True(t, strings.HasPrefix(get("localhost:8080", "/npm/@clerk/clerk-js@6/dist/clerk.browser.js").Header().Get("Content-Type"), "text/javascript"))
	require.NotEqual(t, http.StatusOK, get("localhost:8080", "/../control/faults").Code, "nothing but Clerk")
}
