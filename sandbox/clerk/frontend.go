package clerk

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// The cookies of a browser, named as Clerk names them.
const (
	clientCookie  = "__client"     // who the browser is; only the sandbox reads it
	sessionCookie = "__session"    // the session token; the app reads it
	signedInAt    = "__client_uat" // when the browser signed in, in seconds; 0 is signed out
)

// maxClients bounds the browsers that are remembered; the oldest are forgotten first.
const maxClients = 10_000

// client is one browser.
type client struct {
	ID        string `json:"id"`
	CreatedAt int64  `json:"created_at"`
	UpdatedAt int64  `json:"updated_at"`
}

// frontRoutes are what a browser calls: Clerk's Frontend API, as far as a small script needs it, and the pages.
func (f *Fake) frontRoutes(mux *http.ServeMux) {
	for pattern, handle := range map[string]frontHandler{
		"GET /v1/client":                                       f.getClient,
		"DELETE /v1/client":                                    f.removeSessions,
		"DELETE /v1/client/sessions":                           f.removeSessions,
		"POST /v1/client/sessions/{session}/tokens":            f.refreshToken,
		"POST /v1/client/sessions/{session}/tokens/{template}": f.refreshToken,
		"POST /v1/client/sessions/{session}/touch":             f.touchSession,
		"POST /v1/client/sessions/{session}/end":               f.leaveSession("ended"),
		"POST /v1/client/sessions/{session}/remove":            f.leaveSession("removed"),
	} {
		mux.Handle(pattern, f.front(handle))
	}
	mux.HandleFunc("OPTIONS /v1/client/", f.preflight)
	mux.HandleFunc("OPTIONS /v1/client", f.preflight)
	mux.HandleFunc("GET /sign-in", f.showSignIn)
	mux.HandleFunc("POST /sign-in", f.submitSignIn)
	mux.HandleFunc("GET /sign-out", f.showSignOut)
	mux.HandleFunc("POST /sign-out", f.submitSignOut)
}

// frontHandler makes the answer of one endpoint for a known browser; it may set cookies.
type frontHandler func(w http.ResponseWriter, r *http.Request, c client) (any, error)

// front lets in browsers that have signed in, from pages on this machine only.
func (f *Fake) front(handle frontHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.allowOrigin(w, r) {
			writeErrors(w, http.StatusForbidden, apiError{
				Message: "Invalid HTTP Origin header", LongMessage: "The sandbox serves pages on this machine only, not " + r.Header.Get("Origin") + ".", Code: "origin_invalid",
			})
			return
		}
		respond(w, r, func(r *http.Request) (any, error) {
			c, ok := f.clientOf(r)
			if !ok {
				return nil, &failure{http.StatusUnauthorized, apiError{
					Message: "Signed out", LongMessage: "This browser is not signed in; send it to the sign-in page.", Code: "authentication_invalid",
				}}
			}
			return handle(w, r, c)
		})
	})
}

// allowOrigin sets the CORS headers for pages of this machine and rejects others, which could act for the signed-in
// user.
func (f *Fake) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	w.Header().Add("Vary", "Origin")
	if origin == "" {
		return true
	}
	if !f.hosts.Own(origin, "") {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	return true
}

func (f *Fake) preflight(w http.ResponseWriter, r *http.Request) {
	if !f.allowOrigin(w, r) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// clientOf returns the browser that a request comes from.
func (f *Fake) clientOf(r *http.Request) (client, bool) {
	cookie, err := r.Cookie(clientCookie)
	if err != nil {
		return client{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clients.Get(cookie.Value)
}

// newClient remembers a browser and returns the value of its cookie. The lock is held.
func (f *Fake) newClient() (client, string, error) {
	if f.clients.Len() >= maxClients {
		if err := f.clients.DropOldest(maxClients / 10); err != nil {
			return client{}, "", err
		}
	}
	now := f.nowMs()
	c := client{ID: f.ids.Next("client_", 27), CreatedAt: now, UpdatedAt: now}
	secret := rand.Text() + rand.Text()
	return c, secret, f.clients.Insert(secret, c)
}

// setCookie sets a cookie for the host, whatever the port: the app on another port of it sees the cookie too.
func setCookie(w http.ResponseWriter, name, value, path string, hidden bool) {
	age := 0
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // plain HTTP on this machine, and the app's script reads the token, as Clerk's does
		Name: name, Value: value, Path: path, MaxAge: age, HttpOnly: hidden, SameSite: http.SameSiteLaxMode,
	})
}

// sessionsOf returns the active sessions of a browser, newest first. The lock is held.
func (f *Fake) sessionsOf(c client) []Session {
	now := f.nowMs()
	list := f.sessions.All(func(s Session) bool { return s.ClientID == c.ID && s.status(now) == "active" })
	slices.Reverse(list)
	return list
}

// frontSession is a session as a browser sees it, with its user but without what is private to the back end.
type frontSession struct {
	Session
	User        User         `json:"user"`
	Memberships []Membership `json:"organization_memberships"`
}

func (f *Fake) frontView(s Session) frontSession {
	u, _ := f.users.Get(s.UserID)
	u.PrivateMetadata = emptyObject()
	v := frontSession{Session: s, User: u, Memberships: []Membership{}}
	for _, m := range f.memberships.All(func(m Membership) bool { return m.UserID == s.UserID }) {
		m = f.membershipView(m)
		m.PrivateMetadata = emptyObject()
		if m.Organization != nil {
			o := *m.Organization
			o.PrivateMetadata = emptyObject()
			m.Organization = &o
		}
		v.Memberships = append(v.Memberships, m)
	}
	return v
}

// frontAnswer is the form of all answers about a client.
type frontAnswer struct {
	Response any `json:"response"`
}

type clientView struct {
	Object              string         `json:"object"`
	ID                  string         `json:"id"`
	Sessions            []frontSession `json:"sessions"`
	LastActiveSessionID *string        `json:"last_active_session_id"`
	CreatedAt           int64          `json:"created_at"`
	UpdatedAt           int64          `json:"updated_at"`
}

func (f *Fake) getClient(_ http.ResponseWriter, _ *http.Request, c client) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := clientView{Object: "client", ID: c.ID, Sessions: []frontSession{}, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt}
	for _, s := range f.sessionsOf(c) {
		v.Sessions = append(v.Sessions, f.frontView(s))
	}
	if len(v.Sessions) > 0 {
		v.LastActiveSessionID = &v.Sessions[0].ID
	}
	return frontAnswer{v}, nil
}

// ownSession returns the session in the path when it is this browser's and active. The lock is held.
func (f *Fake) ownSession(r *http.Request, c client) (Session, error) {
	s, err := f.session(r.PathValue("session"))
	if err != nil {
		return Session{}, err
	}
	if s.ClientID != c.ID {
		return Session{}, notFound("session", s.ID)
	}
	if s.Status != "active" {
		return Session{}, &failure{http.StatusUnauthorized, apiError{
			Message: "Session is not active", LongMessage: "The session is " + s.Status + "; send the browser to the sign-in page.", Code: "session_not_active",
		}}
	}
	return s, nil
}

// refreshToken signs a new token for a session, and puts it into the cookie too. A script does so every 50 s.
func (f *Fake) refreshToken(w http.ResponseWriter, r *http.Request, c client) (any, error) {
	f.mu.Lock()
	s, err := f.ownSession(r, c)
	if err == nil {
		s.LastActiveAt = f.nowMs()
		err = f.sessions.Insert(s.ID, s)
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	spec := TokenSpec{
		User: s.UserID, Org: orEmpty(s.LastActiveOrganizationID), Template: r.PathValue("template"), AuthorizedParty: r.Header.Get("Origin"), session: s.ID,
	}
	token, err := f.MintToken(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	if spec.Template == "" {
		setCookie(w, sessionCookie, token, "/", false)
	}
	return struct {
		Object string `json:"object"`
		JWT    string `json:"jwt"`
	}{"token", token}, nil
}

// touchSession makes another organization the active one; an empty one is the personal account.
func (f *Fake) touchSession(_ http.ResponseWriter, r *http.Request, c client) (any, error) {
	if err := r.ParseForm(); err != nil {
		return nil, invalid("active_organization_id", "form_param_format_invalid", "cannot be read.")
	}
	defer f.begin(r)()
	s, err := f.ownSession(r, c)
	if err != nil {
		return nil, err
	}
	if org := r.PostForm.Get("active_organization_id"); r.PostForm.Has("active_organization_id") {
		if _, member := f.memberships.Get(membershipKey(org, s.UserID)); org != "" && !member {
			return nil, notFound("organization", org)
		}
		set(&s.LastActiveOrganizationID, &org)
	}
	s.LastActiveAt = f.nowMs()
	if err := f.sessions.Insert(s.ID, s); err != nil {
		return nil, err
	}
	return frontAnswer{f.frontView(s)}, nil
}

// leaveSession makes the handler that ends one session.
func (f *Fake) leaveSession(status string) frontHandler {
	return func(w http.ResponseWriter, r *http.Request, c client) (any, error) {
		defer f.begin(r)()
		s, err := f.ownSession(r, c)
		if err != nil {
			return nil, err
		}
		if s, err = f.endSession(s, status); err != nil {
			return nil, err
		}
		setCookie(w, sessionCookie, "", "/", false)
		return frontAnswer{s}, nil
	}
}

// removeSessions signs the browser out.
func (f *Fake) removeSessions(w http.ResponseWriter, r *http.Request, c client) (any, error) {
	defer f.begin(r)()
	if err := f.signOut(c); err != nil {
		return nil, err
	}
	clearCookies(w)
	return frontAnswer{nil}, nil
}

func (f *Fake) signOut(c client) error {
	for _, s := range f.sessionsOf(c) {
		if _, err := f.endSession(s, "removed"); err != nil {
			return err
		}
	}
	return nil
}

func clearCookies(w http.ResponseWriter) {
	setCookie(w, sessionCookie, "", "/", false)
	setCookie(w, signedInAt, "0", "/", false)
}

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
