package clerk

import (
	"cmp"
	"embed"
	"errors"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/sandbox/internal/local"
	"github.com/trivet-dev/trivet/sandbox/internal/webpage"
)

//go:embed pages/*.html
var pageFiles embed.FS

func newPages() (*template.Template, error) { return template.ParseFS(pageFiles, "pages/*.html") }

// maxShown is how many users the sign-in page lists, newest first.
const maxShown = 50

type signInPage struct {
	Error    string
	Redirect string
	Current  string // the address of who is signed in
	Users    []signInUser
	More     bool
}

type signInUser struct {
	ID, Name, Email string
	Shut            bool // cannot sign in
	Orgs            []signInOrg
}

type signInOrg struct{ ID, Name, Role string }

// target parses the address that a browser returns to, which must be on this machine or an allowed host. It is nil when
// raw is empty.
func (f *Fake) target(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !f.hosts.Has(u.Hostname()) {
		return nil, errors.New("redirect_url must be an address on this machine, such as http://localhost:3000/")
	}
	return u, nil
}

func (f *Fake) showSignIn(w http.ResponseWriter, r *http.Request) {
	to, err := f.target(r.URL.Query().Get("redirect_url"))
	if err != nil {
		f.renderSignIn(w, r, http.StatusBadRequest, "", err.Error())
		return
	}
	if to != nil && moveHost(w, r, to.Hostname()) {
		return
	}
	f.renderSignIn(w, r, http.StatusOK, r.URL.Query().Get("redirect_url"), "")
}

// moveHost redirects a browser that used another name of this machine to the name that its app uses: cookies belong to
// one name, and the app must see them.
func moveHost(w http.ResponseWriter, r *http.Request, name string) bool {
	host, port, err := net.SplitHostPort(r.Host)
	reachable := name == "127.0.0.1" || name == "localhost" || strings.HasSuffix(name, ".localhost")
	if err != nil || host == name || !local.Loopback(host) || !reachable {
		return false
	}
	w.Header().Set("Location", "http://"+net.JoinHostPort(name, port)+r.RequestURI)
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}

func (f *Fake) renderSignIn(w http.ResponseWriter, r *http.Request, status int, redirect, problem string) {
	c, known := f.clientOf(r)
	f.mu.Lock()
	p := signInPage{Error: problem, Redirect: redirect}
	if known {
		for _, s := range f.sessionsOf(c)[:min(1, len(f.sessionsOf(c)))] {
			u, _ := f.users.Get(s.UserID)
			p.Current = cmp.Or(u.PrimaryEmail(), u.ID)
		}
	}
	all := f.users.All(nil)
	slices.Reverse(all)
	p.More = len(all) > maxShown
	for _, u := range all[:min(len(all), maxShown)] {
		p.Users = append(p.Users, f.signInUser(u))
	}
	f.mu.Unlock()
	f.render(w, "sign-in", status, p)
}

func (f *Fake) signInUser(u User) signInUser {
	out := signInUser{ID: u.ID, Name: strings.TrimSpace(orEmpty(u.FirstName) + " " + orEmpty(u.LastName)), Email: u.PrimaryEmail(), Shut: u.signInRefusal() != nil}
	out.Name = cmp.Or(out.Name, u.ID)
	for _, m := range f.memberships.All(func(m Membership) bool { return m.UserID == u.ID }) {
		if o, ok := f.orgs.Get(m.OrganizationID); ok {
			out.Orgs = append(out.Orgs, signInOrg{o.ID, o.Name, m.RoleName})
		}
	}
	return out
}

func (f *Fake) render(w http.ResponseWriter, name string, status int, data any) {
	webpage.Render(w, f.pages, name, status, data)
}

// pageForm reads the form of one of the pages. It rejects forms of other pages, which could sign a person in as a user
// that they did not choose.
func pageForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if origin, err := url.Parse(r.Header.Get("Origin")); err != nil || (origin.Host != "" && origin.Host != r.Host) || origin.String() == "null" {
		http.Error(w, "This form was sent from another page.", http.StatusForbidden)
		return nil, false
	}
	return webpage.Form(w, r)
}

func (f *Fake) submitSignIn(w http.ResponseWriter, r *http.Request) {
	form, ok := pageForm(w, r)
	if !ok {
		return
	}
	to, err := f.target(form.Get("redirect_url"))
	if err != nil {
		f.renderSignIn(w, r, http.StatusBadRequest, "", err.Error())
		return
	}
	s, secret, err := f.signInAs(r, form)
	if err != nil {
		f.renderSignIn(w, r, http.StatusUnprocessableEntity, form.Get("redirect_url"), err.Error())
		return
	}
	spec := TokenSpec{User: s.UserID, Org: orEmpty(s.LastActiveOrganizationID), session: s.ID}
	if to != nil {
		spec.AuthorizedParty = to.Scheme + "://" + to.Host
	}
	token, err := f.MintToken(r.Context(), spec)
	if err != nil {
		f.renderSignIn(w, r, http.StatusUnprocessableEntity, form.Get("redirect_url"), err.Error())
		return
	}
	if secret != "" {
		setCookie(w, clientCookie, secret, prefixOf(r)+"/", true)
	}
	setCookie(w, sessionCookie, token, "/", false)
	setCookie(w, signedInAt, seconds(f.cfg.Now()), "/", false)
	location := prefixOf(r) + "/sign-in"
	if to != nil {
		location = to.String()
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

// prefixOf is what a path was stripped of before it came here: "/clerk".
func prefixOf(r *http.Request) string {
	whole, _, _ := strings.Cut(r.RequestURI, "?")
	return strings.TrimSuffix(whole, r.URL.EscapedPath())
}

// clientOf returns the browser that a page's request comes from.
func (f *Fake) clientOf(r *http.Request) (client, bool) {
	cookie, err := r.Cookie(clientCookie)
	if err != nil {
		return client{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clients.Get(cookie.Value)
}

// signInAs begins a session for the user of a form: one that is there, or a new one. The secret is the cookie of a
// browser that was not known before.
func (f *Fake) signInAs(r *http.Request, form url.Values) (s Session, secret string, err error) {
	c, known := f.clientOf(r)
	defer f.begin(r)()
	spec, err := f.specOf(form)
	if err != nil {
		return Session{}, "", err
	}
	u, err := f.ensureUser(spec)
	if err == nil {
		err = u.signInRefusal()
	}
	if err != nil {
		return Session{}, "", err
	}
	if _, _, err := f.ensureOrganization(spec); err != nil {
		return Session{}, "", err
	}
	if !known {
		if c, secret, err = f.newClient(); err != nil {
			return Session{}, "", err
		}
	}
	if err := f.signOut(c); err != nil { // one person per browser
		return Session{}, "", err
	}
	s, err = f.beginSession(u.ID, spec.Org, c.ID)
	return s, secret, err
}

// specOf reads who signs in, and to which organization: "user" and "org", or "email", "name" and "org_name" for a new
// user.
func (f *Fake) specOf(form url.Values) (TokenSpec, error) {
	spec := TokenSpec{User: form.Get("user"), Org: form.Get("org")}
	if spec.User != "" {
		if _, known := f.users.Get(spec.User); !known {
			return spec, notFound("user", spec.User)
		}
		if _, member := f.memberships.Get(membershipKey(spec.Org, spec.User)); spec.Org != "" && !member {
			return spec, notFound("organization", spec.Org)
		}
		return spec, nil
	}
	spec.Email, spec.User = strings.TrimSpace(form.Get("email")), f.ids.Next("user_", 27)
	if spec.Email == "" {
		return spec, missing("email")
	}
	if name := strings.TrimSpace(form.Get("org_name")); name != "" {
		spec.Org, spec.orgName = f.ids.Next("org_", 27), name
		if o, ok := f.orgs.Find(func(o Organization) bool { return o.Name == name || o.Slug == slugOf(name) }); ok {
			spec.Org = o.ID
		}
	}
	first, last, _ := strings.Cut(strings.TrimSpace(form.Get("name")), " ")
	spec.firstName, spec.lastName = cmp.Or(first, nameOf(strings.Split(spec.Email, "@")[0])), last
	return spec, spec.Validate()
}

func (f *Fake) showSignOut(w http.ResponseWriter, r *http.Request) {
	redirect := r.URL.Query().Get("redirect_url")
	if _, err := f.target(redirect); err != nil {
		f.render(w, "sign-out", http.StatusBadRequest, signInPage{Error: err.Error()})
		return
	}
	f.render(w, "sign-out", http.StatusOK, signInPage{Redirect: redirect})
}

func (f *Fake) submitSignOut(w http.ResponseWriter, r *http.Request) {
	form, ok := pageForm(w, r)
	if !ok {
		return
	}
	to, err := f.target(form.Get("redirect_url"))
	if err != nil {
		f.render(w, "sign-out", http.StatusBadRequest, signInPage{Error: err.Error()})
		return
	}
	if c, known := f.clientOf(r); known {
		end := f.begin(r)
		err := f.signOut(c)
		end()
		if err != nil {
			f.render(w, "sign-out", http.StatusInternalServerError, signInPage{Error: err.Error()})
			return
		}
	}
	clearCookies(w)
	location := prefixOf(r) + "/sign-in"
	if to != nil {
		location = to.String()
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}
