package e2e

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/redistest"
)

// The password and the user of the database, the password of Redis and Clerk's key in PEM change without a restart, and no request is refused.
func TestStoresAndJWTKeysRotateUnderTraffic(t *testing.T) {
	redis := redistest.New(t)
	postgres, at := serverWithRoles(t)
	redis.Do(t, "", "", "ACL", "SETUSER", "limits", "on", ">one", "~*", "+@all")
	redis.Do(t, "", "", "ACL", "SETUSER", "default", "off")
	as := func(role, password string) string { return databasetest.As(t, at, role, password) }
	r := newRotation(t, func(in *installation) map[string]string {
		return map[string]string{"DATABASE_URL": as("app", "one"), "REDIS_URL": redis.As("limits", "one"), "CLERK_JWT_KEY": in.signingKeys()}
	})
	var key struct{ Secret string }
	owner := r.token("user_owner", map[string]any{"ttl": "1h"})
	r.post("/api/v1/apiKeys", owner, `{"name":"server"}`, &key)
	stop := r.startTraffic(owner, key.Secret)

	const services = 3
	r.writeFor("DATABASE_URL", as("app", "two"), services) // PostgreSQL does not know it yet
	postgres.Admin(t, "ALTER ROLE app PASSWORD 'two'")
	r.writeFor("DATABASE_URL", as("app_b", "b"), services)
	postgres.Admin(t, "ALTER ROLE app NOLOGIN")
	redis.Do(t, "limits", "one", "ACL", "SETUSER", "limits", ">two")
	r.write("REDIS_URL", redis.As("limits", "two"))
	redis.Do(t, "limits", "two", "ACL", "SETUSER", "limits", "<one")

	r.step("CLERK_JWT_KEY", 1, false, func() {
		r.control(http.MethodPost, "/control/clerk/rotate", map[string]any{"keep_old": true}, nil)
		r.replace("CLERK_JWT_KEY", r.signingKeys())
	})
	stop()
	require.Empty(t, r.refused)
	require.NotContains(t, r.log.String(), "Redis does not answer")
	t.Logf("%d requests and webhooks, 0 refused", r.answers.Load())

	// Connections of the earlier logins could hide that the new ones are not used.
	me := func(token string) int { return r.send(http.MethodGet, "/api/v1/me", "", bearer(token)).status }
	postgres.Admin(t, endSessions)
	redis.Do(t, "limits", "two", "CLIENT", "KILL", "USER", "limits", "SKIPME", "yes")
	works := func() bool {
		return me(owner) == http.StatusOK && r.send(http.MethodPost, "/v1/chat/completions", question, bearer(key.Secret)).status == http.StatusOK
	}
	require.Eventually(t, works, time.Minute, 100*time.Millisecond, "the new role is used")
	require.Eventually(t, func() bool {
		if !works() {
			return false
		}
		clients, err := redis.Try(t.Context(), "limits", "two", "CLIENT", "LIST")
		if err != nil {
			return false
		}
		for line := range strings.Lines(clients) {
			if strings.Contains(line, " user=limits ") && !strings.Contains(line, " cmd=client|list ") {
				return true
			}
		}
		return false
	}, time.Minute, 100*time.Millisecond, "the new password of Redis is used")
	r.control(http.MethodPost, "/control/clerk/rotate", map[string]any{}, nil)
	keys := r.readings("CLERK_JWT_KEY")
	r.replace("CLERK_JWT_KEY", r.signingKeys())
	require.Eventually(t, func() bool { return r.readings("CLERK_JWT_KEY") > keys }, time.Minute, 5*time.Millisecond)
	require.Equal(t, http.StatusOK, me(r.token("user_next", nil)))
	require.Eventually(t, func() bool { return me(owner) == http.StatusUnauthorized }, 2*time.Minute, 100*time.Millisecond, "the edge keeps a passport for a minute at most")
}

// The user of the database changes behind a PgBouncer, too, for connections through it and for those that go past it.
func TestDatabaseLoginsRotateThroughAPooler(t *testing.T) {
	postgres, at := serverWithRoles(t)
	pooler := databasetest.PoolerWithLogins(t, at, []string{"auth", "ai", "billing"}, map[string]string{"app": "one", "app_b": "b"})
	r := newRotation(t, func(*installation) map[string]string {
		return map[string]string{"DATABASE_URL": pooler("{service}", "app"), "DATABASE_DIRECT_URL": databasetest.As(t, at, "app", "one")}
	})
	var key struct{ Secret string }
	owner := r.token("user_owner", map[string]any{"ttl": "1h"})
	r.post("/api/v1/apiKeys", owner, `{"name":"server"}`, &key)
	stop := r.startTraffic(owner, key.Secret)
	const services = 3
	r.writeFor("DATABASE_URL", pooler("{service}", "app_b"), services)
	r.writeFor("DATABASE_DIRECT_URL", databasetest.As(t, at, "app_b", "b"), services)
	postgres.Admin(t, "ALTER ROLE app NOLOGIN")
	stop()
	require.Empty(t, r.refused)
	t.Logf("%d requests and webhooks, 0 refused", r.answers.Load())

	listens := func(role string) (bool, error) {
		return postgres.Holds(t.Context(), "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND usename = '"+role+"'")
	}
	require.Eventually(t, func() bool { // before their sessions are ended, which would have them connect anew in any case
		earlier, err := listens("app")
		next, err2 := listens("app_b")
		return err == nil && err2 == nil && next && !earlier
	}, time.Minute, 100*time.Millisecond, "each listener uses the new direct login")

	postgres.Admin(t, endSessions) // those of the earlier login could hide that the new one is not used
	require.Eventually(t, func() bool {
		return r.send(http.MethodPost, "/v1/chat/completions", question, bearer(key.Secret)).status == http.StatusOK
	}, time.Minute, 100*time.Millisecond, "the pooler's new login is used")
	require.Eventually(t, func() bool {
		next, err := listens("app_b")
		return err == nil && next
	}, time.Minute, 100*time.Millisecond, "the direct login is used")
}

// endSessions ends all sessions of the roles.
const endSessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('app', 'app_b')"

// serverWithRoles is a server that asks for passwords, with a database and two roles that act as one, as docs/operations.md says. It does not wait for the
// disk: a busy one would refuse requests that a new login does not.
func serverWithRoles(t *testing.T) (server *databasetest.Server, database string) {
	t.Helper()
	server = databasetest.NewServer(t, false)
	database = server.NewDatabase(t)
	server.AskPasswords(t)
	address, err := url.Parse(database)
	require.NoError(t, err)
	for _, statement := range []string{
		"CREATE ROLE app LOGIN PASSWORD 'one'", "ALTER DATABASE " + strings.TrimPrefix(address.Path, "/") + " OWNER TO app",
		"CREATE ROLE app_b LOGIN PASSWORD 'b' IN ROLE app", "ALTER ROLE app_b SET role = app",
	} {
		server.Admin(t, statement)
	}
	return server, database
}

// signingKeys are the keys that the sandbox's Clerk verifies tokens with, in PEM.
func (in *installation) signingKeys() string {
	in.t.Helper()
	request, err := http.NewRequestWithContext(in.t.Context(), http.MethodGet, in.sandbox+"/clerk/.well-known/jwks.json", nil)
	require.NoError(in.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(in.t, err)
	defer func() { _ = response.Body.Close() }()
	var set struct{ Keys []struct{ N, E string } }
	require.NoError(in.t, json.NewDecoder(response.Body).Decode(&set))
	text := ""
	for _, k := range set.Keys {
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		require.NoError(in.t, err)
		e, err := base64.RawURLEncoding.DecodeString(k.E)
		require.NoError(in.t, err)
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())})
		require.NoError(in.t, err)
		text += string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	return text
}
