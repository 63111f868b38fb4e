package clerk_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// TestPages has the bounds of limit and offset, on each side.
func TestPages(t *testing.T) {
	s := serve(t, clerk.Config{})
	_, err := s.CreateUsers(clerk.Bulk{Count: 501})
	require.NoError(t, err)
	get := func(query string) (status, n int, first string) {
		status, body := s.call(t, "GET", "/v1/users?order_by=%2Bcreated_at&"+query, "Bearer "+s.SecretKey(), "")
		var users []clerk.User
		if status != http.StatusOK {
			require.Contains(t, body, `"param_name":"`+strings.Split(query, "=")[0]+`"`)
			return status, 0, ""
		}
		require.NoError(t, json.Unmarshal([]byte(body), &users))
		if len(users) > 0 {
			first = users[0].ID
		}
		return status, len(users), first
	}
	for query, want := range map[string]struct {
		n     int
		first string
	}{
		"": {10, "user_bulk_000001"}, "limit=1": {1, "user_bulk_000001"}, "limit=500": {500, "user_bulk_000001"},
		"offset=0": {10, "user_bulk_000001"}, "offset=1": {10, "user_bulk_000002"}, "limit=500&offset=500": {1, "user_bulk_000501"},
		"offset=501": {0, ""}, "offset=9000000000": {0, ""}, "offset=495": {6, "user_bulk_000496"},
	} {
		status, n, first := get(query)
		require.Equal(t, http.StatusOK, status, query)
		require.Equal(t, want.n, n, query)
		require.Equal(t, want.first, first, query)
	}
	for _, query := range []string{"limit=0", "limit=501", "limit=-1", "limit=x", "limit=1.5", "offset=-1", "offset=x", "limit=99999999999999999999"} {
		status, _, _ := get(query)
		require.Equal(t, http.StatusUnprocessableEntity, status, query)
	}
	status, body := s.call(t, "GET", "/v1/users?order_by=password", "Bearer "+s.SecretKey(), "")
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Contains(t, body, "order_by")
}

// TestRedirectTargets: a browser is sent back to this machine and nowhere else, however the address is written.
func TestRedirectTargets(t *testing.T) {
	s := serve(t, clerk.Config{AllowedHosts: []string{"app.test"}})
	s.mint(t, clerk.TokenSpec{User: "alice"})
	for _, bad := range []string{
		"https://evil.test/", "//evil.test", "///evil.test", `/\evil.test`, "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/relative", "localhost:3000",
		"http:localhost:3000", "http:///evil.test", "http://", "http://localhost.evil.test/", "http://evil.test/?localhost", "http://evil.test#localhost",
		"http://127.0.0.1@evil.test/", "http://localhost:3000@evil.test/", `http://evil.test\@localhost/`, "http://10.0.0.1/", "http://0.0.0.0/", "http://2130706433/",
		"http://localhost%2eevil.test/", "http://app.test.evil.test/", "http://notapp.test/", "http://localhost:x/", "http://local\thost/",
	} {
		for _, page := range []string{"/sign-in", "/sign-out"} {
			b := s.browser(t)
			require.Equal(t, http.StatusBadRequest, b.do(t, "GET", page+"?redirect_url="+url.QueryEscape(bad), nil).status, bad)
			r := b.do(t, "POST", page, url.Values{"user": {"alice"}, "redirect_url": {bad}})
			require.Equal(t, http.StatusBadRequest, r.status, bad)
			require.Empty(t, r.location, bad)
			require.Empty(t, b.cookie(t, "__session"), "%s: nobody is signed in", bad)
		}
	}
	for _, good := range []string{
		"http://localhost:3000/a?b=c#d", "https://localhost/", "http://app.localhost:3000/", "http://127.0.0.1:8080/", "https://127.9.9.9/", "http://[::1]:3000/x",
		"http://app.test/", "https://APP.test:8443/",
	} {
		for _, page := range []string{"/sign-in", "/sign-out"} {
			r := s.browser(t).do(t, "POST", page, url.Values{"user": {"alice"}, "redirect_url": {good}})
			require.Equal(t, http.StatusSeeOther, r.status, good)
			require.Equal(t, good, r.location)
		}
	}
}

// TestMoveHost: only names that surely reach the same server are moved to, and only from this machine's.
func TestMoveHost(t *testing.T) {
	s := serve(t, clerk.Config{AllowedHosts: []string{"app.test"}})
	_, port, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), ":")
	for _, test := range []struct{ host, target, want string }{
		{"127.0.0.1:" + port, "localhost:3000", "localhost"},
		{"localhost:" + port, "127.0.0.1:3000", "127.0.0.1"},
		{"localhost:" + port, "app.localhost:3000", "app.localhost"},
		{"localhost:" + port, "localhost:3000", ""},
		{"localhost:" + port, "127.0.0.2:3000", ""},
		{"localhost:" + port, "[::1]:3000", ""},
		{"localhost:" + port, "app.test", ""},
		{"app.test:" + port, "localhost:3000", ""},
	} {
		r := s.browser(t).do(t, "GET", "/sign-in?redirect_url="+url.QueryEscape("http://"+test.target+"/"), nil, "Host", test.host)
		if test.want == "" {
			require.Equal(t, http.StatusOK, r.status, test)
			continue
		}
		require.Equal(t, http.StatusTemporaryRedirect, r.status, test)
		require.True(t, strings.HasPrefix(r.location, fmt.Sprintf("http://%s:%s/sign-in?", test.want, port)), r.location)
	}
}
