package auth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/services/auth"
)

// rotated starts auth with secrets and returns the function that puts others in use.
func rotated(t *testing.T, change func(*auth.Config)) (*fixture, func(func(*auth.Config)) error) {
	t.Helper()
	var present auth.Config
	f := start(t, func(c *auth.Config) {
		change(c)
		present = *c
	})
	return f, func(next func(*auth.Config)) error {
		config := present
		next(&config)
		return f.Rotate(config)
	}
}

// While both secrets are listed, webhooks of both are accepted; afterwards only those of the new one.
func TestWebhookSecretsRotate(t *testing.T) {
	other := webhookSecret("another secret, of theirs")
	f, rotate := rotated(t, func(c *auth.Config) { c.WebhookSecrets = settings.NewSecrets(other) })
	body := event("user.created", userData("user_1", "Ada", 1))
	_, err := f.receive("msg_1", body)
	require.Error(t, err)
	require.NoError(t, rotate(func(c *auth.Config) { c.WebhookSecrets = settings.NewSecrets(webhookSecret(webhookKey), other) }))
	_, err = f.receive("msg_2", body)
	require.NoError(t, err)
	require.ErrorContains(t, rotate(func(c *auth.Config) { c.WebhookSecrets = settings.NewSecrets("whsec_no") }), "CLERK_WEBHOOK_SECRET")
	_, err = f.receive("msg_3", body)
	require.NoError(t, err, "a refused secret changes nothing")
	require.NoError(t, rotate(func(c *auth.Config) { c.WebhookSecrets = settings.NewSecrets(other) }))
	_, err = f.receive("msg_4", body)
	require.Error(t, err)
}

// API keys stay valid while the secret that they were hashed with is listed.
func TestAPIKeySecretsRotate(t *testing.T) {
	first, second := strings.Repeat("1", 32), strings.Repeat("2", 32)
	f, rotate := rotated(t, func(c *auth.Config) { c.APIKeySecrets = settings.NewSecrets(first) })
	make := func() string {
		admin := f.as(t, f.clerk.Token(t, time.Now(), org("admin")))
		return f.newKey(t, admin, &authv1.CreateApiKeyRequest{Name: "server", Scopes: []string{"ai.invoke"}}).GetSecret()
	}
	valid := func(key string) bool {
		_, err := f.authenticate(t, key)
		return err == nil
	}
	old := make()
	require.NoError(t, rotate(func(c *auth.Config) { c.APIKeySecrets = settings.NewSecrets(second, first) }))
	young := make()
	require.True(t, valid(old))
	require.True(t, valid(young))
	require.ErrorContains(t, rotate(func(c *auth.Config) { c.APIKeySecrets = settings.NewSecrets("short") }), "TRIVET_API_KEY_SECRET")
	require.NoError(t, rotate(func(c *auth.Config) { c.APIKeySecrets = settings.NewSecrets(second) }))
	require.False(t, valid(old))
	require.True(t, valid(young))
}

// The secret key of Clerk's Backend API changes for every kind of call, and never to that of the other mode.
func TestClerkKeysRotate(t *testing.T) {
	fake, err := clerk.New(clerk.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	var mu sync.Mutex
	used := map[string][]string{} // keys by the first part of the path
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
		mu.Lock()
		used[kind] = append(used[kind], strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		mu.Unlock()
		r.Header.Set("Authorization", "Bearer "+fake.SecretKey())
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f, rotate := rotated(t, func(c *auth.Config) {
		c.APIURL, err = url.Parse(server.URL)
		require.NoError(t, err)
		c.Issuer, c.PublishableKey, c.SecretKeys = "", fake.PublishableKey(), settings.NewSecrets("sk_test_first")
		c.JWKSRefresh = 0
	})
	require.ErrorContains(t, rotate(func(c *auth.Config) { c.SecretKeys = settings.NewSecrets("sk_live_x") }), "restart to change the instance")
	require.NoError(t, rotate(func(c *auth.Config) { c.SecretKeys = settings.NewSecrets("sk_test_second") }))
	token, err := fake.MintToken(t.Context(), clerk.TokenSpec{User: "user_ada", Org: "org_acme"})
	require.NoError(t, err)
	_, err = f.authenticate(t, token)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(used["users"]) > 0 && len(used["organizations"]) > 0 && len(used["jwks"]) > 0
	}, soon, tick)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, "sk_test_second", used["users"][0])
	require.Equal(t, "sk_test_second", used["organizations"][0])
	require.Equal(t, "sk_test_second", used["jwks"][len(used["jwks"])-1])
}

// Keys in PEM change without a restart. A token of a removed key is refused at once, although it was accepted before.
func TestJWTKeysRotate(t *testing.T) {
	fake, err := clerk.New(clerk.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	pem := func() string {
		text, err := fake.PublicKeyPEM(t.Context())
		require.NoError(t, err)
		return text
	}
	token := func() string {
		made, err := fake.MintToken(t.Context(), clerk.TokenSpec{User: "user_ada"})
		require.NoError(t, err)
		return made
	}
	first, old := pem(), token()
	f, rotate := rotated(t, func(c *auth.Config) {
		c.Issuer, c.PublishableKey, c.SecretKeys, c.JWTKey = "", fake.PublishableKey(), nil, first
	})
	_, err = f.authenticate(t, old)
	require.NoError(t, err)
	_, err = fake.RotateKey(t.Context(), clerk.Rotation{KeepOld: true})
	require.NoError(t, err)
	second, next := pem(), token()
	_, err = f.authenticate(t, next)
	require.Error(t, err)
	require.ErrorContains(t, rotate(func(c *auth.Config) { c.JWTKey = first + "garbage" }), "CLERK_JWT_KEY")
	require.ErrorContains(t, rotate(func(c *auth.Config) { c.JWTKey, c.SecretKeys = "", settings.NewSecrets("sk_test_x") }), "CLERK_JWT_KEY was set or removed")
	require.NoError(t, rotate(func(c *auth.Config) { c.JWTKey = second + first }))
	for _, accepted := range []string{old, next} {
		_, err = f.authenticate(t, accepted)
		require.NoError(t, err)
	}
	require.NoError(t, rotate(func(c *auth.Config) { c.JWTKey = second }))
	_, err = f.authenticate(t, old)
	require.Error(t, err)
	_, err = f.authenticate(t, next)
	require.NoError(t, err)
}
