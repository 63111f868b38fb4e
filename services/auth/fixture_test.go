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
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
)

// fixture is a running auth with its Clerk.
type fixture struct {
	*auth.Service
	clerk    *authtest.Keys
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

func start(t testing.TB, change func(*auth.Config)) *fixture {
	t.Helper()
	return startWith(t, change, noop.Meter{})
}

func startWith(t testing.TB, change func(*auth.Config), meter metric.Meter) *fixture {
	t.Helper()
	return startAt(t, settings.NewSecret("sqlite://"+t.TempDir()), change, meter)
}

// startAt starts the service on a database.
func startAt(t testing.TB, at settings.Secret, change func(*auth.Config), meter metric.Meter) *fixture {
	t.Helper()
	return startBy(t, at, change, meter, time.Now)
}

// startBy starts the service with a clock of its own for passports.
func startBy(t testing.TB, at settings.Secret, change func(*auth.Config), meter metric.Meter, issuing func() time.Time) *fixture {
	t.Helper()
	f := &fixture{clerk: authtest.NewKeys()}
	f.url = f.clerk.Serve(t).URL
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	issuer, err := passport.NewIssuer(key, issuing)
	require.NoError(t, err)
	f.verifier, err = passport.NewVerifier([]ed25519.PublicKey{issuer.PublicKey()}, time.Now)
	require.NoError(t, err)

	var config auth.Config
	require.NoError(t, settings.Load(func(string) string { return "" }, &config))
	config.ProbeInterval = 0 // tests count the calls that Clerk gets
	config.Issuer = authtest.Issuer
	config.SecretKeys = settings.NewSecrets(authtest.SecretKey)
	config.APIURL, err = url.Parse(f.url)
	require.NoError(t, err)
	if change != nil {
		change(&config)
	}
	f.database = at
	list, err := models.Default()
	require.NoError(t, err)
	deps := auth.Deps{
		Logger: slog.New(slog.DiscardHandler), Meter: meter, Now: time.Now, Database: database.For("auth", at), Passports: issuer, Models: list,
		AI: &f.ai, Billing: &f.billing,
	}
	f.Service, err = auth.New(t.Context(), config, deps)
	require.NoError(t, err)
	require.NoError(t, f.Migrate(t.Context()))
	var r registrar
	f.Register(&r)
	f.rpc = r.server
	f.run(t)
	return f
}

// run runs the background work until the test ends.
func (f *fixture) run(t testing.TB) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, f.Close(context.Background()))
	})
	t.Cleanup(f.stop)
}

func (f *fixture) authenticate(t testing.TB, credential string) (*authv1.AuthenticateResponse, error) {
	t.Helper()
	return f.rpc.Authenticate(t.Context(), &authv1.AuthenticateRequest{Credential: credential})
}

// as is the context of an RPC that the credential's owner calls.
func (f *fixture) as(t testing.TB, credential string) context.Context {
	t.Helper()
	answer, err := f.authenticate(t, credential)
	require.NoError(t, err)
	claims, err := f.verifier.Verify(answer.GetPassports()["auth"], "auth")
	require.NoError(t, err)
	return passport.NewContext(t.Context(), claims)
}
