package clerk

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// browser is the caller of the Frontend API.
type browser struct {
	client
	w       http.ResponseWriter // for cookies
	secret  string              // under which the client is stored
	known   bool
	cookie  bool   // identified by the sign-in page's cookie
	origin  string // of the page: the azp claim of its tokens
	session string // that the request names; empty means the last active one
}

// browserOf identifies the caller: by the development browser's token, which Clerk's script puts into the query, or by
// the cookie of the sign-in page.
func (f *Fake) browserOf(r *http.Request) (*browser, error) {
	b := &browser{origin: f.originOf(r), session: r.URL.Query().Get("_clerk_session_id")}
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := r.URL.Query(); q.Has("__clerk_db_jwt") {
		b.secret = q.Get("__clerk_db_jwt")
		if b.client, b.known = f.clients.Get(b.secret); !b.known {
			return nil, errUnknownBrowser
		}
		return b, nil
	}
	if cookie, err := r.Cookie(clientCookie); err == nil {
		b.secret, b.cookie = cookie.Value, true
		b.client, b.known = f.clients.Get(b.secret)
	}
	return b, nil
}

var errUnknownBrowser = &failure{http.StatusUnauthorized, apiError{
	Message:     "Browser unauthenticated",
	LongMessage: "Unable to authenticate this browser for your development instance. Check your Clerk cookies and try again.",
	Code:        "dev_browser_unauthenticated",
}}

// originOf is the origin of the page that sends a request. A GET from the same origin has no Origin header; behind the
// edge's proxy, X-Forwarded-Proto and X-Forwarded-Host name the page's address.
func (f *Fake) originOf(r *http.Request) string {
	scheme, host := r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host")
	for _, origin := range []string{r.Header.Get("Origin"), cmp.Or(scheme, "http") + "://" + host} {
		if f.hosts.Own(origin, "") {
			return origin
		}
	}
	return f.cfg.AuthorizedParty
}

// devBrowser is the answer to a new development browser.
type devBrowser struct {
	Object     string `json:"object"`
	ID         string `json:"id"`
	Token      string `json:"token"`
	InstanceID string `json:"instance_id"`
	HomeOrigin string `json:"home_origin"`
	CreatedAt  int64  `json:"created_at"`
	UpdatedAt  int64  `json:"updated_at"`
}

// createDevBrowser registers a browser of a development instance. Its script sends the token with every request.
func (f *Fake) createDevBrowser(_ *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	secret := "dvb_" + rand.Text() + rand.Text()
	c, err := f.rememberClient(secret)
	if err != nil {
		return nil, err
	}
	return devBrowser{"dev_browser", secret, secret, f.cfg.InstanceID, b.origin, c.CreatedAt, c.UpdatedAt}, nil
}

// rememberClient stores a new client under a secret. The lock is held.
func (f *Fake) rememberClient(secret string) (client, error) {
	if f.clients.Len() >= maxClients {
		if err := f.clients.DropOldest(maxClients / 10); err != nil {
			return client{}, err
		}
	}
	now := f.nowMs()
	c := client{ID: f.ids.Next("client_", 27), CreatedAt: now, UpdatedAt: now}
	return c, f.clients.Insert(secret, c)
}

// saveClient stores what a request changed about its client. The lock is held.
func (f *Fake) saveClient(b *browser) error {
	b.UpdatedAt = max(f.nowMs(), b.UpdatedAt+1)
	return f.clients.Insert(b.secret, b.client)
}

// current returns the user of the session that a request is about. The lock is held.
func (f *Fake) current(b *browser) (User, error) {
	for _, s := range f.sessionsOf(b.client) {
		if b.session == "" || s.ID == b.session {
			return f.user(s.UserID)
		}
	}
	return User{}, errSignedOut
}

var errSignedOut = &failure{http.StatusUnauthorized, apiError{
	Message: "Signed out", LongMessage: "This browser is not signed in. Send it to the sign-in page.", Code: "authentication_invalid",
}}

// withTokens adds a fresh token to each session, which saves the script a request. The lock must not be held.
func (f *Fake) withTokens(ctx context.Context, origin string, sessions ...*frontSession) error {
	for _, s := range sessions {
		spec := TokenSpec{User: s.UserID, Org: orEmpty(s.LastActiveOrganizationID), AuthorizedParty: origin, session: s.ID}
		jwt, err := f.MintToken(ctx, spec)
		if err != nil {
			return err
		}
		s.LastActiveToken = &sessionToken{"token", jwt}
	}
	return nil
}

// overridden applies the method that Clerk's script puts into the query, because browsers send a POST without a
// preflight.
func overridden(r *http.Request) *http.Request {
	method := strings.ToUpper(r.URL.Query().Get("_method"))
	if r.Method != http.MethodPost || !slices.Contains([]string{http.MethodPatch, http.MethodPut, http.MethodDelete}, method) {
		return r
	}
	out := r.Clone(r.Context())
	out.Method = method
	return out
}

// form reads the body as a form, whatever the method.
func form(r *http.Request) (url.Values, error) {
	post := r.Clone(r.Context())
	post.Method = http.MethodPost
	if err := post.ParseForm(); err != nil {
		return nil, &failure{http.StatusBadRequest, apiError{Message: "Request body invalid", LongMessage: "The request body is not a form.", Code: "request_body_invalid"}}
	}
	return post.PostForm, nil
}
