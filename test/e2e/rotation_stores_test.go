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
	postgres, redis := databasetest.NewServer(t, true), redistest.New(t)
	at := postgres.NewDatabase(t)
	postgres.AskPasswords(t)
	address, err := url.Parse(at)
	require.NoError(t, err)
	for _, statement := range []string{ // as docs/operations.md says
		"CREATE ROLE app LOGIN PASSWORD 'one'", "ALTER DATABASE " + strings.TrimPrefix(address.Path, "/") + " OWNER TO app",
		"CREATE ROLE app_b LOGIN PASSWORD 'b' IN ROLE app", "ALTER ROLE app_b SET role = app",
	} {
		postgres.Admin(t, statement)
	}
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

	me := func(token string) int { return r.call(t.Context(), http.MethodGet, "/api/v1/me", token, "").status }
	require.Equal(t, http.StatusOK, me(owner))
	r.control(http.MethodPost, "/control/clerk/rotate", map[string]any{}, nil)
	keys := r.readings("CLERK_JWT_KEY")
	r.replace("CLERK_JWT_KEY", r.signingKeys())
	require.Eventually(t, func() bool { return r.readings("CLERK_JWT_KEY") > keys }, time.Minute, 5*time.Millisecond)
	require.Equal(t, http.StatusOK, me(r.token("user_next", nil)))
	require.Eventually(t, func() bool { return me(owner) == http.StatusUnauthorized }, 2*time.Minute, 100*time.Millisecond, "the edge keeps a passport for a minute at most")
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
