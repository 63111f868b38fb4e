package auth_test

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/auth/internal/clerktest"
)

// house is a running auth with its Clerk.
type house struct {
	*auth.Service
	clerk    *clerktest.Instance
	rpc      authv1.AuthServiceServer
	verifier *passport.Verifier
	url      string
	database settings.Secret
	stop     func()
	ai       aiFake
	billing  billingFake
}

// registrar catches the service that Register adds.
type registrar struct{ server authv1.AuthServiceServer }

func (r *registrar) RegisterService(_ *grpc.ServiceDesc, impl any) {
	r.server, _ = impl.(authv1.AuthServiceServer)
}

func start(t testing.TB, change func(*auth.Config)) *house {
	t.Helper()
	return startWith(t, change, noop.Meter{})
}

func startWith(t testing.TB, change func(*auth.Config), meter metric.Meter) *house {
	t.Helper()
	return startAt(t, settings.NewSecret("sqlite://"+t.TempDir()), change, meter)
}

// startAt starts the service on a database.
func startAt(t testing.TB, at settings.Secret, change func(*auth.Config), meter metric.Meter) *house {
	t.Helper()
	h := &house{clerk: clerktest.New()}
	h.url = h.clerk.Serve(t).URL
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	issuer, err := passport.NewIssuer(key, time.Now)
	require.NoError(t, err)
	h.verifier, err = passport.NewVerifier([]ed25519.PublicKey{issuer.PublicKey()}, time.Now)
	require.NoError(t, err)

	var config auth.Config
	require.NoError(t, settings.Load(func(string) string { return "" }, &config))
	config.ProbeInterval = 0 // tests count the calls that Clerk gets
	config.Issuer = clerktest.Issuer
	config.SecretKeys = settings.NewSecrets(clerktest.SecretKey)
	config.APIURL, err = url.Parse(h.url)
	require.NoError(t, err)
	if change != nil {
		change(&config)
	}
	h.database = at
	list, err := models.Default()
	require.NoError(t, err)
	deps := auth.Deps{
		Logger: slog.New(slog.DiscardHandler), Meter: meter, Now: time.Now, Database: database.For("auth", at), Passports: issuer, Models: list,
		AI: &h.ai, Billing: &h.billing,
	}
	h.Service, err = auth.New(t.Context(), config, deps)
	require.NoError(t, err)
	require.NoError(t, h.Migrate(t.Context()))
	var r registrar
	h.Register(&r)
	h.rpc = r.server
	h.run(t)
	return h
}

// run runs the background work until the test ends.
func (h *house) run(t testing.TB) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, h.Close(context.Background()))
	})
	t.Cleanup(h.stop)
}

func (h *house) authenticate(t testing.TB, credential string) (*authv1.AuthenticateResponse, error) {
	t.Helper()
	return h.rpc.Authenticate(t.Context(), &authv1.AuthenticateRequest{Credential: credential})
}

// as is the context of an RPC that the credential's owner calls.
func (h *house) as(t testing.TB, credential string) context.Context {
	t.Helper()
	answer, err := h.authenticate(t, credential)
	require.NoError(t, err)
	claims, err := h.verifier.Verify(answer.GetPassports()["auth"], "auth")
	require.NoError(t, err)
	return passport.NewContext(t.Context(), claims)
}

func TestSignInAndMe(t *testing.T) {
	h := start(t, func(c *auth.Config) { c.Operators = []string{"user_1"} })
	token := h.clerk.Token(t, time.Now(), map[string]any{
		"email": "ada@example.test", "firstName": "Ada",
		"o": map[string]any{"id": "org_1", "slg": "acme", "rol": "admin", "per": "read,manage", "fpm": "3,1"}, "fea": "o:billing,u:x,o:seats",
	})
	answer, err := h.authenticate(t, token)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Minute), answer.GetExpireTime().AsTime(), 3*time.Second)
	for _, audience := range []string{"auth", "ai", "billing"} {
		claims, err := h.verifier.Verify(answer.GetPassports()[audience], audience)
		require.NoError(t, err)
		require.Equal(t, "user_1", claims.UserID)
		require.Equal(t, "org_1", claims.AccountID)
		require.Equal(t, "admin", claims.Role)
		require.Equal(t, []string{"org:billing:read", "org:billing:manage", "org:seats:read"}, claims.Permissions)
		require.True(t, claims.Operator)
	}
	me, err := h.rpc.GetMe(h.as(t, token), &authv1.GetMeRequest{})
	require.NoError(t, err)
	require.Equal(t, "ada@example.test", me.GetUser().GetPrimaryEmail())
	require.Equal(t, "Ada", me.GetUser().GetFirstName())
	require.Contains(t, me.GetIdentity().GetScopes(), "billing.write")
}

func TestPersonalAccount(t *testing.T) {
	h := start(t, nil)
	answer, err := h.authenticate(t, h.clerk.Token(t, time.Now(), nil))
	require.NoError(t, err)
	require.Equal(t, "user_1", answer.GetIdentity().GetAccountId())
	require.Equal(t, "owner", answer.GetIdentity().GetRole())
}

func TestPassportNeverOutlivesTheToken(t *testing.T) {
	h := start(t, nil)
	end := time.Now().Unix() + 3
	answer, err := h.authenticate(t, h.clerk.Token(t, time.Now(), map[string]any{"exp": end}))
	require.NoError(t, err)
	require.Equal(t, end, answer.GetExpireTime().AsTime().Unix())
	claims, err := h.verifier.Verify(answer.GetPassports()["ai"], "ai")
	require.NoError(t, err)
	require.Equal(t, end, claims.ExpireTime.Unix())
}

func TestBadTokensLookAlike(t *testing.T) {
	h := start(t, nil)
	for name, token := range map[string]string{
		"garbage": "abc", "expired": h.clerk.Token(t, time.Now().Add(-time.Hour), nil),
		"foreign": h.clerk.Token(t, time.Now(), map[string]any{"iss": "https://clerk.evil.test"}),
	} {
		_, err := h.authenticate(t, token)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, errs.ReasonOf(err), name)
		require.Equal(t, "Invalid token", errs.From(err).Message, name)
	}
}

func TestClerkDownWithoutAKeyIsUnavailable(t *testing.T) {
	h := start(t, func(c *auth.Config) { c.APIURL, _ = url.Parse("http://127.0.0.1:1") })
	_, err := h.authenticate(t, h.clerk.Token(t, time.Now(), nil))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(err))
	require.Positive(t, errs.From(err).RetryAfter)
	require.Error(t, h.Checks()["clerk_keys"](t.Context()))
}

func TestNewNamesEveryMissingSetting(t *testing.T) {
	var config auth.Config
	require.NoError(t, settings.Load(func(string) string { return "" }, &config))
	_, err := auth.New(t.Context(), config, auth.Deps{})
	require.ErrorContains(t, err, "CLERK_ISSUER")
	require.ErrorContains(t, err, "CLERK_SECRET_KEY")
}
