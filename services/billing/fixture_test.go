package billing_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/sandbox/webhook"
	"github.com/trivet-dev/trivet/services/billing"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

var secret = bytes.Repeat([]byte{7}, 32)

// fixture is billing behind a server as in production, with its clients.
type fixture struct {
	t       *testing.T
	service *billing.Service
	issuer  *passport.Issuer
	server  *grpcserver.Server
	stripe  *fake.Fake
	log     *bytes.Buffer
	// before is called with each request to Stripe, before Stripe gets it.
	before atomic.Pointer[func(r *http.Request)]
	// alter changes the answers of Stripe.
	alter atomic.Pointer[func(r *http.Request, body []byte) []byte]
	// emitted are the events of the fake Stripe.
	emitted struct {
		sync.Mutex
		bodies []string
	}
	// transport leads to Stripe; nil means the network.
	transport http.RoundTripper
	// sleep replaces the pauses of a reconciliation.
	sleep func(ctx context.Context, d time.Duration) error
	// payURLTime bounds the wait for Stripe's addresses of invoices. Default a minute.
	payURLTime time.Duration
	// database is that of the service.
	database database.Config
	// place makes a new database of the same kind.
	place func(t *testing.T) database.Config
	*billingtest.Clock
}

// config returns the settings for an environment.
func config(t *testing.T, env map[string]string) billing.Config {
	t.Helper()
	var c billing.Config
	require.NoError(t, settings.Load(func(name string) string { return env[name] }, &c))
	return c
}

// each runs a test on both databases, with a fake Stripe. The ledger must be sound when it ends.
func each(t *testing.T, env map[string]string, test func(t *testing.T, h *fixture)) {
	t.Helper()
	for name, place := range map[string]func(t *testing.T) database.Config{"sqlite": onSQLite, "postgres": migrated} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, env, place(t))
			h.place = place
			test(t, h)
			h.sound()
		})
	}
}

// again is another fixture on a database of the same kind.
func (h *fixture) again(env map[string]string) *fixture {
	h.t.Helper()
	return newFixture(h.t, env, h.place(h.t))
}

// sound does what `trivet ledger verify` does, beside the service or after its end.
func (h *fixture) sound() {
	h.t.Helper()
	var found strings.Builder
	require.NoError(h.t, billing.VerifyLedger(h.t.Context(), h.database, &found), "%s", &found)
}

func (h *fixture) emit(e webhook.Event) {
	h.emitted.Lock()
	defer h.emitted.Unlock()
	h.emitted.bodies = append(h.emitted.bodies, string(e.Body))
}

func newFixture(t *testing.T, env map[string]string, place database.Config) *fixture {
	t.Helper()
	h := &fixture{}
	h.Clock = billingtest.NewClock(time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC))
	h.stripe, _ = billingtest.Stripe(t, fakeConfig(h))
	h.begin(t, env, place, "")
	return h
}

// fakeConfig configures the fake Stripe of a fixture.
func fakeConfig(h *fixture) fake.Config {
	return fake.Config{Now: h.Now, AfterRetries: "unpaid", Emit: h.emit, PublicURL: "https://invoice.stripe.com"}
}

// resume is a later process of an earlier one, on its database, at a time. Stripe is at an address, or else the fake of the earlier one.
func resume(t *testing.T, env map[string]string, place database.Config, at time.Time, address string, stripe *fake.Fake) *fixture {
	t.Helper()
	h := &fixture{stripe: stripe, Clock: billingtest.NewClock(at)}
	h.begin(t, env, place, address)
	return h
}

// begin begins the service.
func (h *fixture) begin(t *testing.T, env map[string]string, place database.Config, address string) {
	t.Helper()
	h.t, h.log, h.database = t, &bytes.Buffer{}, place
	if address == "" {
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if before := h.before.Load(); before != nil {
				(*before)(r)
			}
			alter := h.alter.Load()
			if alter == nil {
				h.stripe.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			h.stripe.ServeHTTP(answer, r)
			w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
			w.WriteHeader(answer.Code)
			_, _ = w.Write((*alter)(r, answer.Body.Bytes()))
		}))
		t.Cleanup(front.Close)
		address = front.URL
	}
	c := config(t, env)
	var err error
	c.StripeAPIURL, err = url.Parse(address)
	require.NoError(t, err)
	list, err := models.Default()
	require.NoError(t, err)
	logger := slog.New(slog.NewTextHandler(&lockedWriter{b: h.log}, nil))
	_, noFile := os.Stat(fileOf(place))
	isNew := errors.Is(noFile, fs.ErrNotExist) && !place.OnPostgres()
	h.service, err = billing.New(t.Context(), c, billing.Deps{
		Logger: logger, Meter: noop.Meter{}, Now: h.Now, Database: place, Models: list, PayURLTime: cmp.Or(h.payURLTime, time.Minute), Transport: h.transport, Sleep: h.sleep,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.service.Close(context.Background())) })
	if isNew {
		require.Error(t, h.service.Checks()["billing.schema"](t.Context()), "not ready before it is migrated")
	}
	require.NoError(t, h.service.Migrate(t.Context()))
	for name, check := range h.service.Checks() {
		require.NoError(t, check(t.Context()), name)
	}
	h.serve(logger)
}

type lockedWriter struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (h *fixture) serve(logger *slog.Logger) {
	h.t.Helper()
	var err error
	h.issuer, err = passport.NewIssuer(ed25519.NewKeyFromSeed(secret), time.Now)
	require.NoError(h.t, err)
	passports, err := passport.NewVerifier([]ed25519.PublicKey{h.issuer.PublicKey()}, time.Now)
	require.NoError(h.t, err)
	peers, err := peer.NewVerifier(secret, time.Now)
	require.NoError(h.t, err)
	h.server, err = grpcserver.New(grpcserver.Config{Logger: logger, Meter: noop.Meter{}, Passports: passports, Peers: peers})
	require.NoError(h.t, err)
	h.service.Register(h.server)
}

// from is a client as another service has it.
func (h *fixture) from(service string) billingv1.BillingServiceClient {
	h.t.Helper()
	prover, err := peer.NewProver(service, secret, time.Now)
	require.NoError(h.t, err)
	return billingv1.NewBillingServiceClient(connect.InProcess(h.server.InProcess(), prover))
}

// as is a context that carries a person's passport.
func (h *fixture) as(c passport.Claims) context.Context {
	h.t.Helper()
	token, err := h.issuer.Issue(c, "billing", time.Now().Add(time.Minute))
	require.NoError(h.t, err)
	return passport.Outgoing(h.t.Context(), token)
}

var (
	alice = passport.Claims{UserID: "user_alice", AccountID: "user_alice", Role: "owner"}
	admin = passport.Claims{UserID: "user_admin", AccountID: "org_1", OrganizationID: "org_1", Role: "admin", Admin: true}
	// elsewhere is the same person in another organization.
	elsewhere = passport.Claims{UserID: "user_admin", AccountID: "org_2", OrganizationID: "org_2", Role: "admin", Admin: true}
	member    = passport.Claims{UserID: "user_member", AccountID: "org_1", OrganizationID: "org_1", Role: "member"}
	operator  = passport.Claims{UserID: "user_operator", AccountID: "user_operator", Role: "owner", Operator: true, SessionID: "sess_1"}
)

// run does the background work until the returned function is called.
func (h *fixture) run() (stop func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.service.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(h.t, <-done)
	}
}

func requireReason(t *testing.T, want errorsv1.ErrorReason, err error) *errs.Error {
	t.Helper()
	require.Error(t, err)
	e := errs.From(err)
	require.Equal(t, want, e.Reason, "%v", err)
	return e
}

// listed returns the ids of a list of the fake Stripe.
func (h *fixture) listed(path string) (ids []string) {
	h.t.Helper()
	request := httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, path, http.NoBody)
	request.Header.Set("Authorization", "Bearer sk_test_secret")
	answer := httptest.NewRecorder()
	h.stripe.ServeHTTP(answer, request)
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	require.NoError(h.t, json.Unmarshal(answer.Body.Bytes(), &list))
	for _, o := range list.Data {
		ids = append(ids, o.ID)
	}
	return ids
}
