package auth

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

func load(t *testing.T, env map[string]string, modes ...string) (Config, error) {
	t.Helper()
	var c Config
	err := settings.Load(func(name string) string { return env[name] }, &c, modes...)
	return c, err
}

func publishable(prefix, host string) string {
	return prefix + base64.StdEncoding.EncodeToString([]byte(host))
}

func TestIssuer(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
		says string
	}{
		"told":              {map[string]string{"CLERK_ISSUER": "https://clerk.example.com"}, "https://clerk.example.com", ""},
		"from the live key": {map[string]string{"CLERK_PUBLISHABLE_KEY": publishable("pk_live_", "clerk.example.com$")}, "https://clerk.example.com", ""},
		"from a test key":   {map[string]string{"CLERK_PUBLISHABLE_KEY": publishable("pk_test_", "happy-1.clerk.accounts.dev$")}, "https://happy-1.clerk.accounts.dev", ""},
		"without padding":   {map[string]string{"CLERK_PUBLISHABLE_KEY": strings.TrimRight(publishable("pk_test_", "ab.example.test$"), "=")}, "https://ab.example.test", ""},
		"told wins":         {map[string]string{"CLERK_ISSUER": "https://a.test", "CLERK_PUBLISHABLE_KEY": "rubbish"}, "https://a.test", ""},
		"slash":             {map[string]string{"CLERK_ISSUER": "https://a.test/"}, "", "CLERK_ISSUER"},
		"no address":        {map[string]string{"CLERK_ISSUER": "a.test"}, "", "CLERK_ISSUER"},
		"no prefix":         {map[string]string{"CLERK_PUBLISHABLE_KEY": "sk_test_x"}, "", "pk_live_"},
		"no base64":         {map[string]string{"CLERK_PUBLISHABLE_KEY": "pk_live_%%%"}, "", "CLERK_PUBLISHABLE_KEY"},
		"cut":               {map[string]string{"CLERK_PUBLISHABLE_KEY": publishable("pk_live_", "clerk.example.com")}, "", "CLERK_PUBLISHABLE_KEY"},
		"no host":           {map[string]string{"CLERK_PUBLISHABLE_KEY": publishable("pk_live_", "$")}, "", "CLERK_PUBLISHABLE_KEY"},
		"smuggled":          {map[string]string{"CLERK_PUBLISHABLE_KEY": publishable("pk_live_", "a@evil.test$")}, "", "CLERK_PUBLISHABLE_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := load(t, tc.env)
			if tc.says != "" {
				require.ErrorContains(t, err, tc.says)
				return
			}
			require.NoError(t, err)
			got, err := c.issuer()
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestMissingSettings(t *testing.T) {
	_, err := load(t, nil)
	require.NoError(t, err)
	_, err = load(t, nil, settings.Serve)
	for _, name := range []string{"3 settings are wrong", "CLERK_ISSUER", "CLERK_SECRET_KEY", "TRIVET_API_KEY_SECRET"} {
		require.ErrorContains(t, err, name)
	}
	_, err = load(t, map[string]string{"CLERK_ISSUER": "https://a.test", "CLERK_JWT_KEY": "x", "TRIVET_API_KEY_SECRET": strings.Repeat("k", 32)}, settings.Serve)
	require.ErrorContains(t, err, "1 setting is wrong")
	require.ErrorContains(t, err, "CLERK_JWT_KEY")
	_, err = load(t, map[string]string{"CLERK_PUBLISHABLE_KEY": publishable("pk_test_", "a.test$"), "CLERK_SECRET_KEY": "sk_test_x", "TRIVET_API_KEY_SECRET": strings.Repeat("k", 32)}, settings.Serve)
	require.NoError(t, err)
	_, err = load(t, map[string]string{"TRIVET_API_KEY_SECRET": "hunter2"})
	require.ErrorContains(t, err, "fewer than 32")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestWebhookSettings(t *testing.T) {
	good := "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of 24 bytes ok!"))
	c, err := load(t, map[string]string{"CLERK_WEBHOOK_SECRET": good + "," + good, "CLERK_RECONCILE_INTERVAL": "0"})
	require.NoError(t, err)
	require.Len(t, c.WebhookSecrets, 2)
	require.Zero(t, c.ReconcileInterval)
	_, err = load(t, map[string]string{"CLERK_WEBHOOK_SECRET": good + ",hunter2"})
	require.ErrorContains(t, err, "CLERK_WEBHOOK_SECRET: secret 2 is")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = load(t, map[string]string{"CLERK_RECONCILE_INTERVAL": "5s"})
	require.ErrorContains(t, err, "CLERK_RECONCILE_INTERVAL")
}

func TestKeyMode(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want apikey.Mode
	}{
		"live secret":        {map[string]string{"CLERK_SECRET_KEY": "sk_live_x"}, apikey.Live},
		"test secret":        {map[string]string{"CLERK_SECRET_KEY": "sk_test_x", "CLERK_ISSUER": "https://clerk.example.com"}, apikey.Test},
		"live publishable":   {map[string]string{"CLERK_PUBLISHABLE_KEY": publishable("pk_live_", "clerk.example.com$")}, apikey.Live},
		"issuer alone":       {map[string]string{"CLERK_ISSUER": "https://clerk.example.com"}, apikey.Live},
		"development issuer": {map[string]string{"CLERK_ISSUER": "https://happy-1.clerk.accounts.dev"}, apikey.Test},
		"loopback issuer":    {map[string]string{"CLERK_ISSUER": "http://127.0.0.1:8090"}, apikey.Test},
	} {
		c, err := load(t, tc.env)
		require.NoError(t, err)
		require.Equal(t, tc.want, c.keyMode(), name)
	}
}

func TestBackendAddress(t *testing.T) {
	for address, want := range map[string]string{
		"": "https://api.clerk.com/v1", "http://127.0.0.1:8090/clerk": "http://127.0.0.1:8090/clerk/v1",
		"http://127.0.0.1:8090/clerk/": "http://127.0.0.1:8090/clerk/v1", "https://api.clerk.com/v1": "https://api.clerk.com/v1",
	} {
		c, err := load(t, map[string]string{"CLERK_API_URL": address})
		require.NoError(t, err)
		require.Equal(t, want, c.backend())
	}
}

func TestSettingsAreDescribed(t *testing.T) {
	docs, err := settings.Describe(Config{})
	require.NoError(t, err)
	for _, d := range docs {
		require.NotEmpty(t, d.Help, d.Name)
	}
}
