package sandbox_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// TestSignInPageBehindItsPrefix signs in at /clerk/sign-in, as a browser does: cookies must fit the path.
func TestSignInPageBehindItsPrefix(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	_, err := s.Clerk().MintToken(t.Context(), clerk.TokenSpec{User: "alice"})
	require.NoError(t, err)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(method, path, body string) (status int, location, answer string) {
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := browser.Do(req)
		require.NoError(t, err)
		defer func() { require.NoError(t, resp.Body.Close()) }()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, resp.Header.Get("Location"), string(raw)
	}
	status, location, _ := do("POST", "/clerk/sign-in", "user=alice")
	require.Equal(t, http.StatusSeeOther, status)
	require.Equal(t, "/clerk/sign-in", location)
	_, _, page := do("GET", location, "")
	require.Contains(t, page, "signed in as alice@example.test")
	_, _, body := do("GET", "/clerk/v1/client", "")
	_, rest, found := strings.Cut(body, `"last_active_session_id":"`)
	require.True(t, found, body)
	session, _, _ := strings.Cut(rest, `"`)
	status, _, body = do("POST", "/clerk/v1/client/sessions/"+session+"/tokens", "")
	require.Equal(t, http.StatusOK, status, body)
	root, err := url.Parse(base + "/")
	require.NoError(t, err)
	require.Equal(t, "__session", jar.Cookies(root)[0].Name, "the app on another port sees the token, and not who the browser is")
	for _, c := range jar.Cookies(root) {
		require.NotEqual(t, "__client", c.Name)
	}
}

// TestClerkOutages has the examples of the README.
func TestClerkOutages(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	key := "Bearer " + s.Clerk().SecretKey()
	status := func(path string) int {
		req, err := http.NewRequestWithContext(t.Context(), "GET", base+"/clerk"+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", key)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			return 0
		}
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	for _, test := range []struct {
		fault       string
		jwks, users int
	}{
		{`{"provider":"clerk","kind":"status","status":503}`, 503, 503},
		{`{"provider":"clerk","kind":"close"}`, 0, 0},
		{`{"provider":"clerk","kind":"rate_limit","retry_after":30}`, 429, 429},
		{`{"provider":"clerk","kind":"latency","delay_ms":1}`, 200, 200},
		{`{"provider":"clerk","kind":"status","status":503,"path":"/v1/jwks"}`, 503, 200},
		{`{"provider":"clerk","kind":"close","path":"/v1/users*"}`, 200, 0},
	} {
		_, _ = fetch(t, "POST", base+"/control/faults", test.fault)
		require.Equal(t, test.jwks, status("/v1/jwks"), test.fault)
		require.Equal(t, test.users, status("/v1/users"), test.fault)
		_, body := fetch(t, "DELETE", base+"/control/faults?provider=clerk", "")
		require.JSONEq(t, `{"removed":1}`, body)
	}
	require.Equal(t, 200, status("/v1/jwks"))
	require.Equal(t, 200, status("/sign-in"))
}
