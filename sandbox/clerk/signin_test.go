package clerk_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// browser keeps cookies and follows nothing by itself.
type browser struct {
	*server
	client *http.Client
}

func (s *server) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{s, &http.Client{Transport: s.http.Transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type seen struct {
	status   int
	location string
	body     string
	header   http.Header
}

func (b *browser) do(t *testing.T, method, path string, form url.Values, headers ...string) seen {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return seen{resp.StatusCode, resp.Header.Get("Location"), string(raw), resp.Header}
}

func (b *browser) cookie(t *testing.T, name string) string {
	t.Helper()
	u, err := url.Parse(b.url + "/")
	require.NoError(t, err)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

const app = "http://localhost:3000"

func TestSignInAndOut(t *testing.T) {
	now, h := newClock(), &recorder{}
	s := serve(t, clerk.Config{Now: now.Now, Emit: h.emit})
	s.mint(t, clerk.TokenSpec{User: "alice", Org: "acme"})
	b := s.browser(t)
	h.take()
	page := b.do(t, "GET", "/sign-in", nil)
	require.Equal(t, http.StatusOK, page.status)
	for _, want := range []string{"Alice Example", "alice@example.test", "Acme (Admin)", "New user"} {
		require.Contains(t, page.body, want)
	}
	in := b.do(t, "POST", "/sign-in", url.Values{"user": {"alice"}, "org": {"acme"}, "redirect_url": {app + "/app?x=1"}})
	require.Equal(t, http.StatusSeeOther, in.status, in.body)
	require.Equal(t, app+"/app?x=1", in.location)
	claims := payload(t, b.cookie(t, "__session"))
	require.Equal(t, "alice", claims["sub"])
	require.Equal(t, app, claims["azp"], "the app that it is for")
	require.Equal(t, "acme", claims["o"].(map[string]any)["id"])
	require.Equal(t, "1700000000", b.cookie(t, "__client_uat"))
	require.Equal(t, "email.created session.created user.updated", h.types())
	require.Contains(t, in.header.Values("Set-Cookie")[0], "HttpOnly")
	require.NotContains(t, in.header.Values("Set-Cookie")[1], "HttpOnly", "the app's script reads the token")

	session := claims["sid"].(string)
	now.at = now.at.Add(50 * time.Second)
	again := b.do(t, "POST", "/v1/client/sessions/"+session+"/tokens", nil, "Origin", app)
	require.Equal(t, http.StatusOK, again.status, again.body)
	require.Equal(t, app, again.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "true", again.header.Get("Access-Control-Allow-Credentials"))
	var token struct {
		JWT string `json:"jwt"`
	}
	require.NoError(t, json.Unmarshal([]byte(again.body), &token))
	fresh := payload(t, token.JWT)
	require.Equal(t, session, fresh["sid"])
	require.InDelta(t, claims["exp"].(float64)+50, fresh["exp"], 0)
	require.Equal(t, token.JWT, b.cookie(t, "__session"), "and in the cookie too")

	touched := b.do(t, "POST", "/v1/client/sessions/"+session+"/touch", url.Values{"active_organization_id": {""}})
	require.Equal(t, http.StatusOK, touched.status, touched.body)
	b.do(t, "POST", "/v1/client/sessions/"+session+"/tokens", nil)
	require.NotContains(t, payload(t, b.cookie(t, "__session")), "o", "the personal account")
	require.Equal(t, http.StatusNotFound, b.do(t, "POST", "/v1/client/sessions/"+session+"/touch", url.Values{"active_organization_id": {"other"}}).status)

	me := b.do(t, "GET", "/v1/client", nil)
	require.Contains(t, me.body, `"last_active_session_id":"`+session+`"`)
	require.Contains(t, me.body, `"name":"Acme"`)
	require.NotContains(t, me.body, `"private_metadata":{"`)
	require.Contains(t, b.do(t, "GET", "/sign-in", nil).body, "signed in as alice@example.test")

	h.take()
	out := b.do(t, "GET", "/sign-out?redirect_url="+url.QueryEscape(app), nil)
	require.Contains(t, out.body, "<button>Sign out</button>")
	out = b.do(t, "POST", "/sign-out", url.Values{"redirect_url": {app}})
	require.Equal(t, http.StatusSeeOther, out.status)
	require.Equal(t, app, out.location)
	require.Empty(t, b.cookie(t, "__session"))
	require.Equal(t, "0", b.cookie(t, "__client_uat"))
	require.Equal(t, "session.removed", h.types())
	gone := b.do(t, "POST", "/v1/client/sessions/"+session+"/tokens", nil)
	require.Equal(t, http.StatusUnauthorized, gone.status)
	require.Equal(t, "session_not_active", code(t, gone.body))
}

func TestNewUserSignsUp(t *testing.T) {
	h := &recorder{}
	s := serve(t, clerk.Config{Emit: h.emit})
	b := s.browser(t)
	require.Contains(t, b.do(t, "GET", "/sign-in", nil).body, "There are no users yet.")
	in := b.do(t, "POST", "/sign-in", url.Values{"email": {"ada@example.test"}, "name": {"Ada King Lovelace"}, "org_name": {"Analytical Engines"}})
	require.Equal(t, http.StatusSeeOther, in.status, in.body)
	require.Equal(t, "/sign-in", in.location)
	require.Equal(t, "user.created organization.created organizationMembership.created email.created session.created user.updated", h.types())
	claims := payload(t, b.cookie(t, "__session"))
	u, ok := s.User(claims["sub"].(string))
	require.True(t, ok)
	require.Equal(t, "Ada", *u.FirstName)
	require.Equal(t, "King Lovelace", *u.LastName)
	require.Equal(t, "analytical-engines", claims["o"].(map[string]any)["slg"])
	require.Equal(t, "admin", claims["o"].(map[string]any)["rol"])

	other := s.browser(t)
	in = other.do(t, "POST", "/sign-in", url.Values{"email": {"bob@example.test"}, "org_name": {"Analytical Engines"}})
	require.Equal(t, http.StatusSeeOther, in.status, in.body)
	joined := payload(t, other.cookie(t, "__session"))
	require.Equal(t, claims["o"].(map[string]any)["id"], joined["o"].(map[string]any)["id"])
	require.Equal(t, "member", joined["o"].(map[string]any)["rol"])
	session := joined["sid"].(string)
	require.Equal(t, http.StatusNotFound, b.do(t, "POST", "/v1/client/sessions/"+session+"/tokens", nil).status, "another browser's")
	for status, path := range map[string]string{"ended": "/end", "removed": "/remove"} {
		h.take()
		joined = payload(t, other.cookie(t, "__session"))
		left := other.do(t, "POST", "/v1/client/sessions/"+joined["sid"].(string)+path, nil)
		require.Equal(t, http.StatusOK, left.status, left.body)
		require.Equal(t, "session."+status, h.types())
		require.Empty(t, other.cookie(t, "__session"))
		other.do(t, "POST", "/sign-in", url.Values{"user": {joined["sub"].(string)}})
	}
	require.Equal(t, http.StatusOK, other.do(t, "DELETE", "/v1/client/sessions", nil).status)
	require.Empty(t, other.cookie(t, "__session"))

	for want, form := range map[string]url.Values{
		"is taken":               {"email": {"ADA@example.test"}},
		"valid email":            {"email": {"nowhere"}},
		"email must be included": {"name": {"X"}},
		"No user was found":      {"user": {"nobody"}},
		"No organization":        {"user": {u.ID}, "org": {"other"}},
	} {
		bad := other.do(t, "POST", "/sign-in", form)
		require.Equal(t, http.StatusUnprocessableEntity, bad.status)
		require.Contains(t, bad.body, want)
	}
}

func TestForeignPagesAreRejected(t *testing.T) {
	s := serve(t, clerk.Config{})
	s.mint(t, clerk.TokenSpec{User: "alice"})
	b := s.browser(t)
	for _, bad := range []string{"https://evil.test/", "//evil.test", "javascript:alert(1)", "http://localhost.evil.test/", "http://127.0.0.1@evil.test/", "/relative", "http://10.0.0.1/"} {
		for _, page := range []string{"/sign-in", "/sign-out"} {
			require.Equal(t, http.StatusBadRequest, b.do(t, "GET", page+"?redirect_url="+url.QueryEscape(bad), nil).status, bad)
			r := b.do(t, "POST", page, url.Values{"user": {"alice"}, "redirect_url": {bad}})
			require.Equal(t, http.StatusBadRequest, r.status, bad)
			require.Empty(t, r.location)
		}
	}
	for _, good := range []string{"http://127.0.0.1:8080/", "https://127.9.9.9/", "http://[::1]:3000/x"} {
		require.Equal(t, good, b.do(t, "POST", "/sign-in", url.Values{"user": {"alice"}, "redirect_url": {good}}).location)
	}
	moved := b.do(t, "GET", "/sign-in?redirect_url="+url.QueryEscape("http://localhost:3000/"), nil)
	require.Equal(t, http.StatusTemporaryRedirect, moved.status, "cookies belong to the name that the app uses")
	require.True(t, strings.HasPrefix(moved.location, "http://localhost:"), moved.location)
	require.Contains(t, moved.location, "/sign-in?redirect_url=")
	require.Equal(t, http.StatusOK, b.do(t, "GET", "/sign-in?redirect_url="+url.QueryEscape("http://localhost:3000/"), nil, "Host", "localhost:8090").status)

	session := payload(t, b.cookie(t, "__session"))["sid"].(string)
	for _, origin := range []string{"https://evil.test", "null"} {
		r := b.do(t, "POST", "/v1/client/sessions/"+session+"/tokens", nil, "Origin", origin)
		require.Equal(t, http.StatusForbidden, r.status)
		require.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
		require.NotContains(t, r.body, "jwt")
		require.Equal(t, http.StatusForbidden, b.do(t, "OPTIONS", "/v1/client/sessions/"+session+"/tokens", nil, "Origin", origin).status)
		require.Equal(t, http.StatusForbidden, b.do(t, "POST", "/sign-in", url.Values{"user": {"alice"}}, "Origin", origin).status)
	}
	ok := b.do(t, "OPTIONS", "/v1/client/sessions/"+session+"/tokens", nil, "Origin", app)
	require.Equal(t, http.StatusNoContent, ok.status)
	require.Equal(t, app, ok.header.Get("Access-Control-Allow-Origin"))
	stranger := s.browser(t).do(t, "POST", "/v1/client/sessions/"+session+"/tokens", nil)
	require.Equal(t, http.StatusUnauthorized, stranger.status)
	require.Equal(t, "authentication_invalid", code(t, stranger.body))
}

func TestBannedUserCannotSignIn(t *testing.T) {
	s := serve(t, clerk.Config{})
	b := s.browser(t)
	require.Equal(t, http.StatusSeeOther, b.do(t, "POST", "/sign-in", url.Values{"email": {"mallory@example.test"}}).status)
	claims := payload(t, b.cookie(t, "__session"))
	status, _ := s.call(t, "POST", "/v1/users/"+claims["sub"].(string)+"/ban", "Bearer "+s.SecretKey(), "")
	require.Equal(t, 200, status)
	require.Equal(t, http.StatusUnauthorized, b.do(t, "POST", "/v1/client/sessions/"+claims["sid"].(string)+"/tokens", nil).status)
	in := b.do(t, "POST", "/sign-in", url.Values{"user": {claims["sub"].(string)}})
	require.Equal(t, http.StatusUnprocessableEntity, in.status)
	require.Contains(t, in.body, "is banned")
	require.Contains(t, in.body, "cannot sign in")
}

func TestUnknownClientCookie(t *testing.T) {
	s := serve(t, clerk.Config{})
	b := s.browser(t)
	r := b.do(t, "GET", "/v1/client", nil, "Cookie", "__client=made-up")
	require.Equal(t, http.StatusOK, r.status)
	require.JSONEq(t, `{"response":null,"client":null}`, r.body)
	_, ok := s.User("made-up")
	require.False(t, ok)
}
