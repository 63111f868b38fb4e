package clerk

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
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

// client is one browser, and what it has begun.
type client struct {
	ID        string `json:"id"`
	CreatedAt int64  `json:"created_at"`
	UpdatedAt int64  `json:"updated_at"`

	signIn, signUp *attempt // nil when none is under way; never changed in place
}

// frontHandler answers one call of a browser. Its value is shown as the route's [answerForm] says.
type frontHandler func(r *http.Request, b *browser) (any, error)

// answerForm is what surrounds the value of a handler.
type answerForm int

const (
	bare    answerForm = iota // the value alone
	read                      // {"response": value, "client": null}
	written                   // {"response": value, "client": the client as it is now}
)

type frontRoute struct {
	form   answerForm
	handle frontHandler
	// open routes also serve browsers that are not known yet.
	open bool
}

// frontRoutes are Clerk's Frontend API: what its script, or one of your own, calls from a browser.
func (f *Fake) frontRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, route := range map[string]frontRoute{
		"POST /v1/dev_browser":  {bare, f.createDevBrowser, true},
		"GET /v1/environment":   {bare, f.getEnvironment, true},
		"PATCH /v1/environment": {bare, f.getEnvironment, true},
		"GET /v1/client":        {read, f.getClient, true},
		"PUT /v1/client":        {read, f.putClient, false},
		"POST /v1/client":       {read, f.putClient, false},
		"DELETE /v1/client":     {written, f.removeSessions, false},

		"POST /v1/client/sign_ins":                             {written, f.createSignIn, false},
		"GET /v1/client/sign_ins/{id}":                         {read, f.getSignIn, false},
		"POST /v1/client/sign_ins/{id}/prepare_first_factor":   {written, f.prepareSignIn, false},
		"POST /v1/client/sign_ins/{id}/attempt_first_factor":   {written, f.attemptSignIn, false},
		"POST /v1/client/sign_ups":                             {written, f.createSignUp, false},
		"GET /v1/client/sign_ups/{id}":                         {read, f.getSignUp, false},
		"PATCH /v1/client/sign_ups/{id}":                       {written, f.updateSignUp, false},
		"POST /v1/client/sign_ups/{id}/prepare_verification":   {written, f.prepareSignUp, false},
		"POST /v1/client/sign_ups/{id}/attempt_verification":   {written, f.attemptSignUp, false},
		"DELETE /v1/client/sessions":                           {written, f.removeSessions, false},
		"GET /v1/client/sessions/{session}":                    {read, f.getOwnSession, false},
		"POST /v1/client/sessions/{session}/tokens":            {bare, f.refreshToken, false},
		"POST /v1/client/sessions/{session}/tokens/{template}": {bare, f.refreshToken, false},
		"POST /v1/client/sessions/{session}/touch":             {written, f.touchSession, false},
		"POST /v1/client/sessions/{session}/end":               {written, f.leaveSession("ended"), false},
		"POST /v1/client/sessions/{session}/remove":            {written, f.leaveSession("removed"), false},

		"GET /v1/me":                          {read, f.getMe, false},
		"PATCH /v1/me":                        {written, f.updateMe, false},
		"GET /v1/me/organization_memberships": {read, f.listMyMemberships, false},
		"GET /v1/me/organization_invitations": {read, f.listNothing, false},
		"GET /v1/me/organization_suggestions": {read, f.listNothing, false},
		"GET /v1/me/sessions/active":          {bare, f.listMySessions, false},

		"POST /v1/organizations":                          {written, f.createMyOrganization, false},
		"GET /v1/organizations/{org}":                     {read, f.getMyOrganization, false},
		"GET /v1/organizations/{org}/memberships":         {read, f.listMembers, false},
		"GET /v1/organizations/{org}/roles":               {read, f.listMyRoles, false},
		"GET /v1/organizations/{org}/invitations":         {read, f.listNothingOf, false},
		"GET /v1/organizations/{org}/domains":             {read, f.listNothingOf, false},
		"GET /v1/organizations/{org}/membership_requests": {read, f.listNothingOf, false},
	} {
		mux.Handle(pattern, f.front(route))
	}
	mux.HandleFunc("OPTIONS /", f.preflight)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_ = f.allowOrigin(w, r)
		unknownPath(w, r)
	})
	return mux
}

// isFront tells a browser's request from a back end's: some paths belong to both APIs.
func isFront(r *http.Request) bool {
	q := r.URL.Query()
	for _, prefix := range []string{"/v1/client", "/v1/me", "/v1/environment", "/v1/dev_browser"} {
		if r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, prefix+"/") {
			return true
		}
	}
	return strings.HasPrefix(r.URL.Path, "/v1/organizations") && (q.Has("__clerk_db_jwt") || q.Has("_clerk_session_id"))
}

// mux returns the routes that serve a request, and the request with its method.
func (f *Fake) mux(r *http.Request) (*http.ServeMux, *http.Request) {
	if isFront(r) {
		return f.frontAPI, overridden(r)
	}
	return f.api, r
}

// front lets in browsers that are known, from pages of this machine only.
func (f *Fake) front(route frontRoute) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.allowOrigin(w, r) {
			writeErrors(w, http.StatusForbidden, apiError{
				Message: "Invalid HTTP Origin header", LongMessage: "The sandbox serves pages on this machine only, not " + r.Header.Get("Origin") + ".", Code: "origin_invalid",
			})
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		respond(w, r, func(r *http.Request) (any, error) {
			b, err := f.browserOf(r)
			switch {
			case err != nil && r.URL.Path == "/v1/dev_browser":
				b = &browser{origin: f.originOf(r)} // one that comes with the token of another instance gets a new one
			case err != nil:
				return nil, err
			case !b.known && !route.open:
				return nil, errSignedOut
			}
			b.w = w
			v, err := route.handle(r, b)
			if err != nil {
				return nil, err
			}
			return f.frontAnswer(r, route.form, b, v)
		})
	})
}

// frontAnswer puts the value of a handler into its form, with a token for each session in it.
func (f *Fake) frontAnswer(r *http.Request, form answerForm, b *browser, v any) (any, error) {
	if form == bare {
		return v, nil
	}
	out := struct {
		Response any         `json:"response"`
		Client   *clientView `json:"client"`
	}{Response: v}
	var sessions []*frontSession
	if s, ok := v.(*frontSession); ok && s.Status == "active" {
		sessions = append(sessions, s)
	}
	if c, ok := v.(*clientView); ok && c != nil {
		sessions = append(sessions, c.Sessions...)
	}
	if form == written {
		f.mu.Lock()
		out.Client = f.viewClient(b.client)
		f.mu.Unlock()
		sessions = append(sessions, out.Client.Sessions...)
	}
	return out, f.withTokens(r.Context(), b.origin, sessions...)
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
	w.Header().Set("Access-Control-Expose-Headers", "Clerk-Db-Jwt")
	return true
}

func (f *Fake) preflight(w http.ResponseWriter, r *http.Request) {
	if !f.allowOrigin(w, r) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	w.Header().Set("Access-Control-Allow-Headers", "Content-Type, Authorization")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// newClient remembers a browser and returns the value of its cookie. The lock is held.
func (f *Fake) newClient() (client, string, error) {
	secret := rand.Text() + rand.Text()
	c, err := f.rememberClient(secret)
	return c, secret, err
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

// getClient answers null to a browser that is signed out and has begun nothing.
func (f *Fake) getClient(_ *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !b.known || len(f.sessionsOf(b.client)) == 0 && b.signIn == nil && b.signUp == nil {
		return nil, nil
	}
	return f.viewClient(b.client), nil
}

// putClient answers the client, also of a browser that is signed out.
func (f *Fake) putClient(_ *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.viewClient(b.client), nil
}

func (f *Fake) getOwnSession(r *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.ownSession(r, b.client)
	if err != nil {
		return nil, err
	}
	return f.frontView(s), nil
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

// refreshToken signs a new token for a session, for its active organization or the one that the form names. A script
// does so every 50 s.
func (f *Fake) refreshToken(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	s, org, err := f.refreshed(r, b, in)
	if err != nil {
		return nil, err
	}
	spec := TokenSpec{User: s.UserID, Org: org, Template: r.PathValue("template"), AuthorizedParty: b.origin, session: s.ID}
	token, err := f.MintToken(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	if spec.Template == "" && b.cookie {
		setCookie(b.w, sessionCookie, token, "/", false)
	}
	return sessionToken{"token", token}, nil
}

// refreshed notes that a session is in use, and returns the organization of its next token.
func (f *Fake) refreshed(r *http.Request, b *browser, in url.Values) (s Session, org string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, err = f.ownSession(r, b.client); err != nil {
		return Session{}, "", err
	}
	if org = orEmpty(s.LastActiveOrganizationID); in.Has("organization_id") {
		org = in.Get("organization_id")
	}
	if _, member := f.memberships.Get(membershipKey(org, s.UserID)); org != "" && !member {
		return Session{}, "", notFound("organization", org)
	}
	s.LastActiveAt = f.nowMs()
	return s, org, f.sessions.Insert(s.ID, s)
}

// touchSession makes another organization the active one; an empty one is the personal account.
func (f *Fake) touchSession(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	defer f.begin(r)()
	s, err := f.ownSession(r, b.client)
	if err != nil {
		return nil, err
	}
	if org := in.Get("active_organization_id"); in.Has("active_organization_id") {
		if _, member := f.memberships.Get(membershipKey(org, s.UserID)); org != "" && !member {
			return nil, notFound("organization", org)
		}
		set(&s.LastActiveOrganizationID, &org)
	}
	s.LastActiveAt = f.nowMs()
	if err := f.sessions.Insert(s.ID, s); err != nil {
		return nil, err
	}
	return f.frontView(s), nil
}

// leaveSession makes the handler that ends one session.
func (f *Fake) leaveSession(status string) frontHandler {
	return func(r *http.Request, b *browser) (any, error) {
		defer f.begin(r)()
		s, err := f.ownSession(r, b.client)
		if err != nil {
			return nil, err
		}
		if s, err = f.endSession(s, status); err != nil {
			return nil, err
		}
		if b.cookie {
			setCookie(b.w, sessionCookie, "", "/", false)
		}
		return f.frontView(s), nil
	}
}

// removeSessions signs the browser out.
func (f *Fake) removeSessions(r *http.Request, b *browser) (any, error) {
	defer f.begin(r)()
	if err := f.signOut(b.client); err != nil {
		return nil, err
	}
	if b.cookie {
		clearCookies(b.w)
	}
	return f.viewClient(b.client), nil
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
