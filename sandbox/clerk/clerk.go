// Package clerk is a stand-in for Clerk: the Backend API over real HTTP, and session tokens with real signatures.
//
// [Fake.MintToken] creates tokens: valid ones and, for tests of a verifier, every kind of invalid one. Users,
// organizations, memberships and sessions live in memory. Given a folder, everything but the sessions is also kept
// there with the signing keys, so that a token and its user survive a restart.
package clerk

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/sandbox/clerk/internal/browserfiles"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/internal/ident"
	"github.com/trivet-dev/trivet/sandbox/internal/local"
	"github.com/trivet-dev/trivet/sandbox/internal/table"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// The names of a fresh instance. None of them is a secret: the sandbox is for tests and development.
const (
	// DefaultSecretKey authorizes calls to the Backend API.
	DefaultSecretKey = "sk_test_TrivetSandboxTrivetSandboxTrivetSandbox0" //nolint:gosec // a made-up key for a made-up instance
	// DefaultHost is the frontend host that the publishable key names.
	DefaultHost = "trivet-sandbox-0.clerk.accounts.dev"
	// DefaultAuthorizedParty is the azp claim of tokens: the front end that they were made for.
	DefaultAuthorizedParty = "http://localhost:3000"
	// DefaultInstanceID is in all events, and is the id of an instance's first signing key.
	DefaultInstanceID = "ins_MCd0rSNq2PypBckP7Kg02138b2P"
)

// TokenLife is how long a session token lives unless its spec says otherwise.
const TokenLife = 60 * time.Second

// Config is what a [Fake] needs; the zero value works.
type Config struct {
	// Dir is where the signing keys and the state are kept; empty keeps them in memory.
	Dir string
	// SecretKey authorizes the Backend API; empty means [DefaultSecretKey].
	SecretKey string
	// Host is the frontend host; empty means [DefaultHost]. The issuer is "https://" and this host.
	Host string
	// AuthorizedParty is the default azp claim; empty means [DefaultAuthorizedParty].
	AuthorizedParty string
	// AllowedHosts are hosts whose pages may use the Frontend API and be returned to, beside this machine's.
	AllowedHosts []string
	// InstanceID is in all events; empty means [DefaultInstanceID].
	InstanceID string
	// Emit gets an event for every change of an object. It is called in the order of the changes and must not block. Nil
	// discards the events.
	Emit func(webhook.Event)
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Faults applies to every request. Nil means a new, empty set.
	Faults *fault.Set
}

// Fake is one Clerk instance as an [http.Handler] that serves /v1/… and /.well-known/jwks.json. It is safe for
// concurrent use.
type Fake struct {
	cfg      Config
	hosts    local.Hosts
	keys     *keyring
	ids      *ident.Source
	eventIDs *ident.Source  // separate, so that identifiers of objects do not depend on whether events are emitted
	api      *http.ServeMux // the Backend API and the pages
	frontAPI *http.ServeMux
	pages    *template.Template
	handler  http.Handler

	mu          sync.Mutex
	origin      origin
	store       *table.Store
	users       *table.Table[User]
	orgs        *table.Table[Organization]
	memberships *table.Table[Membership]
	gone        *table.Table[tombstone] // of users and organizations
	roles       *table.Table[Role]
	permissions *table.Table[Permission]
	transient   *table.Store
	sessions    *table.Table[Session]
	clients     *table.Table[client] // by the secret in the browser's cookie
	emails      map[string]string    // user by address in lower case
	active      map[string]string    // session that the user signed in to last
}

// tombstone marks a deleted object: Clerk never reuses an identifier.
type tombstone struct{}

// New returns an instance without users. Keys kept in cfg.Dir are read now; new ones are made when they are first
// needed, or in the background by [Fake.Warm].
func New(cfg Config) (*Fake, error) {
	cfg.SecretKey = cmp.Or(cfg.SecretKey, DefaultSecretKey)
	cfg.Host = cmp.Or(cfg.Host, DefaultHost)
	cfg.AuthorizedParty = cmp.Or(cfg.AuthorizedParty, DefaultAuthorizedParty)
	cfg.InstanceID = cmp.Or(cfg.InstanceID, DefaultInstanceID)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Faults == nil {
		cfg.Faults = fault.NewSet("clerk")
	}
	keys, err := openKeyring(cfg.Dir, cfg.InstanceID)
	if err != nil {
		return nil, err
	}
	f := &Fake{
		cfg: cfg, hosts: local.NewHosts(cfg.AllowedHosts), keys: keys, ids: ident.NewSource("clerk"), eventIDs: ident.NewSource("clerk events"),
		transient: table.NewStore(""), store: table.NewStore(""),
	}
	if cfg.Dir != "" {
		f.store = table.NewStore(filepath.Join(cfg.Dir, stateFile))
		// Identifiers from before the restart must not be reused.
		f.ids, f.eventIDs = ident.NewSource(rand.Text()), ident.NewSource(rand.Text())
	}
	f.users = table.New[User](f.store, "users")
	f.orgs = table.New[Organization](f.store, "organizations")
	f.memberships = table.New[Membership](f.store, "memberships")
	f.gone = table.New[tombstone](f.store, "gone")
	f.roles = table.New[Role](f.store, "roles")
	f.permissions = table.New[Permission](f.store, "permissions")
	f.sessions = table.New[Session](f.transient, "sessions")
	f.clients = table.New[client](f.transient, "clients")
	if err := f.store.Load(); err != nil {
		return nil, err
	}
	f.index()
	if err := f.seedRoles(); err != nil {
		return nil, err
	}
	if f.pages, err = newPages(); err != nil {
		return nil, err
	}
	f.api, f.frontAPI = f.routes(), f.frontRoutes()
	f.handler = cfg.Faults.Handler(http.HandlerFunc(f.serve), answerStatus)
	return f, nil
}

const stateFile = "clerk-state.jsonl"

// Reset forgets all users, organizations, memberships and sessions, and keeps the keys.
func (f *Fake) Reset() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := errors.Join(f.store.Reset(), f.transient.Reset())
	f.index()
	return errors.Join(err, f.seedRoles())
}

// index rebuilds the maps that follow from the tables.
func (f *Fake) index() {
	f.emails, f.active = map[string]string{}, map[string]string{}
	for _, u := range f.users.All(nil) {
		for _, e := range u.EmailAddresses {
			f.emails[strings.ToLower(e.EmailAddress)] = u.ID
		}
	}
}

// Close closes the state file. Later changes are not saved.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store.Close()
}

// Warm generates the signing key if it does not exist yet. That takes up to a second on a slow machine; call it in the
// background so that the first token does not wait.
func (f *Fake) Warm(ctx context.Context) error {
	_, err := f.keys.current(ctx)
	return err
}

// Faults returns the faults that apply to every request.
func (f *Fake) Faults() *fault.Set { return f.cfg.Faults }

// SecretKey returns the key for the Backend API.
func (f *Fake) SecretKey() string { return f.cfg.SecretKey }

// PublishableKey returns the front end's key, which contains the instance's host.
func (f *Fake) PublishableKey() string {
	return "pk_test_" + base64.StdEncoding.EncodeToString([]byte(f.cfg.Host+"$"))
}

// InstanceID returns the identifier that is in all events.
func (f *Fake) InstanceID() string { return f.cfg.InstanceID }

// Issuer returns the iss claim of the instance's tokens.
func (f *Fake) Issuer() string { return "https://" + f.cfg.Host }

// ServeHTTP answers one API call.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }

func (f *Fake) routes() *http.ServeMux {
	api := http.NewServeMux()
	for pattern, handle := range f.backRoutes() {
		api.Handle(pattern, f.authorized(handle))
	}
	api.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, r *http.Request) { respond(w, r, f.getJWKS) })
	api.HandleFunc("GET /sign-in", f.showSignIn)
	api.HandleFunc("POST /sign-in", f.submitSignIn)
	api.HandleFunc("GET /sign-out", f.showSignOut)
	api.HandleFunc("POST /sign-out", f.submitSignOut)
	api.HandleFunc("GET /npm/{path...}", browserFile)
	api.HandleFunc("/", unknownPath)
	return api
}

// serve answers a request without faults.
func (f *Fake) serve(w http.ResponseWriter, r *http.Request) {
	mux, r := f.mux(r)
	mux.ServeHTTP(w, r)
}

// browserFile serves the script and the components that Clerk's packages for front ends load.
func browserFile(w http.ResponseWriter, r *http.Request) {
	if err := browserfiles.Serve(w, r, r.PathValue("path")); err != nil {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		writeErrors(w, http.StatusNotFound, apiError{Message: "not found", LongMessage: err.Error(), Code: "resource_not_found"})
	}
}

func unknownPath(w http.ResponseWriter, r *http.Request) {
	writeErrors(w, http.StatusNotFound, apiError{
		Message: "not found", LongMessage: "The sandbox does not implement " + r.Method + " " + r.URL.Path + ".", Code: "resource_not_found",
	})
}

// handler makes the answer of one endpoint: a value to be sent as JSON, or an error of type *failure.
type handler func(r *http.Request) (any, error)

func (f *Fake) authorized(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case !ok:
			writeErrors(w, http.StatusUnauthorized, apiError{
				Message:     "Invalid Authorization header format",
				LongMessage: `Invalid Authorization header format. Must be "Bearer <YOUR_API_KEY>"`,
				Code:        "authorization_header_format_invalid",
			})
		case key != f.cfg.SecretKey:
			writeErrors(w, http.StatusUnauthorized, apiError{
				Message:     "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct.",
				LongMessage: "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct.",
				Code:        "clerk_key_invalid",
			})
		default:
			respond(w, r, handle)
		}
	})
}

func (f *Fake) nowMs() int64 { return f.cfg.Now().UnixMilli() }
