package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// production is `trivet serve` with a Clerk instance of the test's own, and the sandbox in place of OpenAI and Stripe.
type production struct {
	*installation
	key  *rsa.PrivateKey
	grpc string
}

const productionIssuer = "https://clerk.example.test"

// serveProduction starts it and waits until it is alive.
func serveProduction(t *testing.T, env ...string) *production {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	p := ports(t, 4)
	in := &installation{t: t, edge: "http://" + p[0], sandbox: "http://" + p[3], ops: []string{"http://" + p[2]}, log: &logFile{}}
	in.start("trivet", []string{"sandbox"}, []string{"TRIVET_SANDBOX_ADDR=" + p[3], "TRIVET_DATA_DIR=" + t.TempDir(), "TRIVET_SANDBOX_PACE=20ms"})
	in.await(in.sandbox + "/healthz")
	in.start("trivet", []string{"serve"}, append([]string{
		"TRIVET_HTTP_ADDR=" + p[0], "TRIVET_GRPC_ADDR=" + p[1], "TRIVET_OPS_ADDR=" + p[2], "TRIVET_DATA_DIR=" + t.TempDir(),
		"CLERK_JWT_KEY=" + string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), "CLERK_ISSUER=" + productionIssuer,
		"OPENAI_API_KEY=sk-of-this-test-0123456789", "OPENAI_BASE_URL=" + in.sandbox + "/openai/v1",
		"STRIPE_SECRET_KEY=sk_test_ofthistest0123456789", "STRIPE_API_URL=" + in.sandbox + "/stripe",
		"TRIVET_API_KEY_SECRET=0123456789abcdef0123456789abcdef of this test", "TRIVET_HTP_ADDR=misspelled",
	}, env...))
	in.await(in.ops[0] + "/healthz")
	return &production{installation: in, key: key, grpc: p[1]}
}

// session signs a session token of the test's Clerk.
func (p *production) session(user string, life time.Duration) string {
	p.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: p.key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "ins_test"))
	require.NoError(p.t, err)
	issued := time.Now()
	if life < 0 { // expired that long ago, after a minute's life
		issued = issued.Add(life - time.Minute)
		life = time.Minute
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": productionIssuer, "sub": user, "sid": "sess_" + user, "iat": issued.Unix(), "nbf": issued.Unix(), "exp": issued.Add(life).Unix(), "v": 2, "sts": "active",
	}).Serialize()
	require.NoError(p.t, err)
	return token
}

// Nothing of development is left in production, and what it lacks is said at its start.
func TestServeIsProduction(t *testing.T) {
	in := serveProduction(t)
	in.awaitReady()
	good := in.session("user_production", 10*time.Minute)
	in.get("/api/v1/me", good, &struct{}{})

	for name, token := range map[string]string{
		"the sandbox's": in.token("user_operator", nil), "an expired": in.session("user_production", -time.Minute), "none": "",
	} {
		require.Equal(t, http.StatusUnauthorized, in.call(t.Context(), http.MethodGet, "/api/v1/me", token, "").status, "%s token", name)
	}
	require.Equal(t, http.StatusForbidden, in.call(t.Context(), http.MethodGet, "/api/v1/users", in.session("user_operator", time.Minute), "").status,
		"the operator of development has no rights here")

	conn, err := grpc.NewClient(in.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, codes.Unimplemented, status.Code(err), "no reflection in production")

	log := in.log.String()
	for _, line := range []string{
		`"level":"ERROR","msg":"CLERK_WEBHOOK_SECRET is not set: every webhook of Clerk is refused`,
		`"level":"ERROR","msg":"STRIPE_WEBHOOK_SECRET is not set: every webhook of Stripe is refused`,
		`"level":"WARN","msg":"STRIPE_SECRET_KEY is a test key`,
		`"name":"TRIVET_HTP_ADDR","hint":"did you mean TRIVET_HTTP_ADDR?"`,
	} {
		require.Contains(t, log, line)
	}
	require.NotContains(t, log, "0123456789abcdef")
}

// A deleted API key stops at once: the edge, which remembers credentials for a minute, hears of it.
func TestServeRejectsADeletedKeyAtOnce(t *testing.T) {
	in := serveProduction(t)
	in.awaitReady()
	owner := in.session("user_owner", 10*time.Minute)
	var made struct {
		Secret string
		APIKey struct{ ID string } `json:"apiKey"`
	}
	in.post("/api/v1/apiKeys", owner, `{"name":"to be deleted"}`, &made)
	require.NotEmpty(t, made.Secret)
	use := func() int {
		return in.call(t.Context(), http.MethodGet, "/v1/models", made.Secret, "").status
	}
	require.Equal(t, http.StatusOK, use())
	deleted := in.call(t.Context(), http.MethodDelete, "/api/v1/apiKeys/"+made.APIKey.ID, owner, "")
	require.Equal(t, http.StatusOK, deleted.status, "%s", deleted.body)
	require.Eventually(t, func() bool { return use() == http.StatusUnauthorized }, 15*time.Second, 20*time.Millisecond)
}

// Several replicas start at once on PostgreSQL; their operator migrates once, before.
func TestServeDoesNotMigratePostgreSQL(t *testing.T) {
	url := databasetest.PostgresURL(t)
	in := serveProduction(t, "DATABASE_URL="+url)
	require.Eventually(t, func() bool {
		response, err := http.Get(in.ops[0] + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusServiceUnavailable && strings.Contains(readAll(t, response), "trivet migrate")
	}, 20*time.Second, 50*time.Millisecond)
	out, err := run(t, "trivet", []string{"migrate"}, "DATABASE_URL="+url)
	require.NoError(t, err, out)
	in.awaitReady()
}

// A process that is told to stop leaves the rotation first, and takes requests until load balancers have noticed.
func TestServeStopsInOrder(t *testing.T) {
	in := serveProduction(t, "TRIVET_DRAIN_DELAY=3s")
	in.awaitReady()
	in.control(http.MethodPatch, "/control/openai/settings", map[string]any{"pace_ms": 100, "reply_tokens": 80}, nil)
	token := in.session("user_streams", 10*time.Minute)
	streamed := make(chan answer, 1)
	go func() {
		streamed <- in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hi"}]}`)
	}()
	require.Eventually(t, func() bool { return in.upstream().Calls > 0 }, 10*time.Second, 10*time.Millisecond)

	server := in.running[1]
	require.NoError(t, server.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		response, err := http.Get(in.ops[0] + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusServiceUnavailable && strings.Contains(readAll(t, response), "stopping")
	}, 2*time.Second, 10*time.Millisecond, "readiness fails first")
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := fresh.Get(in.edge + "/healthz")
	require.NoError(t, err, "new connections are accepted meanwhile")
	require.NoError(t, response.Body.Close())

	whole := <-streamed
	require.NoError(t, whole.err)
	require.Contains(t, string(whole.body), "data: [DONE]", "a running stream ends by itself")
	require.NoError(t, server.await(30*time.Second), "the process ends well by itself")
	log := in.log.String()
	for _, line := range []string{
		"stopping: the process is no longer ready", `"msg":"waiting for a component to finish its work","component":"edge"`, `"msg":"component stopped","component":"edge"`, `"msg":"stopped"`,
	} {
		require.Contains(t, log, line)
	}
}

// Whoever presses Ctrl-C twice does not want to wait.
func TestSecondSignalStopsImmediately(t *testing.T) {
	in := serveProduction(t, "TRIVET_DRAIN_DELAY=5m")
	in.awaitReady()
	server := in.running[1]
	require.NoError(t, server.Process.Signal(syscall.SIGINT))
	require.Eventually(t, func() bool { return strings.Contains(in.log.String(), "a second signal ends it at once") }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, server.Process.Signal(syscall.SIGINT))
	require.EqualError(t, server.await(10*time.Second), "signal: interrupt", "the second signal ends it, at once")
}

// await waits for a program that was told to stop, and ends it when it does not.
func (p *program) await(patience time.Duration) (err error) {
	p.once.Do(func() {
		late := time.AfterFunc(patience, func() { _ = p.Process.Kill() })
		err = p.Wait()
		late.Stop()
	})
	return err
}
