package allinone

import (
	"bytes"
	"context"
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox"
	sandboxclerk "github.com/trivet-dev/trivet/sandbox/clerk"
)

// TestStandIn: what the sandbox fills in, beside what the developer has set.
func TestStandIn(t *testing.T) {
	const clerks, stripes = "whsec_bXkgb3duIHNlY3JldCBoZXJl", "whsec_myownsecret"
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(clerks+"\n"), 0o600))
	theirs, anothers := []string{sandbox.ClerkWebhookSecret}, []string{sandbox.StripeWebhookSecret}
	for name, tc := range map[string]struct {
		env           map[string]string
		clerk, stripe []string
		instance, key string
		fails         string
	}{
		"nothing set": {clerk: theirs, stripe: anothers, instance: sandboxclerk.DefaultInstanceID, key: sandbox.ClerkSecretKey},
		"own secrets": {
			env:      map[string]string{"CLERK_WEBHOOK_SECRET": clerks, "STRIPE_WEBHOOK_SECRET": stripes + ", whsec_another"},
			clerk:    []string{clerks, sandbox.ClerkWebhookSecret},
			stripe:   []string{stripes, "whsec_another", sandbox.StripeWebhookSecret},
			instance: sandboxclerk.DefaultInstanceID, key: sandbox.ClerkSecretKey,
		},
		"own secret in a file": {
			env:   map[string]string{"CLERK_WEBHOOK_SECRET_FILE": file},
			clerk: []string{clerks, sandbox.ClerkWebhookSecret}, stripe: anothers,
			instance: sandboxclerk.DefaultInstanceID, key: sandbox.ClerkSecretKey,
		},
		"own instance": {
			env:   map[string]string{"CLERK_INSTANCE_ID": "ins_mine"},
			clerk: theirs, stripe: anothers, instance: "ins_mine", key: sandbox.ClerkSecretKey,
		},
		"the real Clerk": {
			env:   map[string]string{"CLERK_SECRET_KEY": "sk_live_x", "CLERK_ISSUER": "https://clerk.example.com", "CLERK_WEBHOOK_SECRET": clerks},
			clerk: []string{clerks}, stripe: anothers, key: "sk_live_x",
		},
		"a file that is not there": {env: map[string]string{"STRIPE_WEBHOOK_SECRET_FILE": "/nowhere"}, fails: "STRIPE_WEBHOOK_SECRET"},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"TRIVET_DATA_DIR": t.TempDir(), "TRIVET_SANDBOX_ADDR": "127.0.0.1:0", "LOG_LEVEL": "debug"}
			maps.Copy(env, tc.env)
			getenv := func(name string) string { return env[name] }
			logs := &bytes.Buffer{}
			c, err := loadDev(settings.Env{Get: getenv}, DevOptions{})
			if tc.fails != "" {
				require.ErrorContains(t, err, tc.fails)
				return
			}
			require.NoError(t, err)
			host, err := c.host(logs)
			require.NoError(t, err)
			box, part, err := startSandbox(t.Context(), c, host)
			require.NoError(t, err)
			lookup, err := serve.FillIn(getenv, c.StandIn.Secrets(box.Environment()))
			require.NoError(t, err)
			ended, end := context.WithCancel(t.Context())
			end()
			defer func() { require.NoError(t, part.Run(ended)) }()
			var got struct {
				Key      string           `env:"CLERK_SECRET_KEY"`
				Instance string           `env:"CLERK_INSTANCE_ID"`
				Clerk    settings.Secrets `env:"CLERK_WEBHOOK_SECRET"`
				Stripe   settings.Secrets `env:"STRIPE_WEBHOOK_SECRET"`
			}
			require.NoError(t, settings.Load(lookup, &got))
			require.Equal(t, tc.clerk, got.Clerk.Reveal())
			require.Equal(t, tc.stripe, got.Stripe.Reveal())
			require.Equal(t, tc.instance, got.Instance)
			require.Equal(t, tc.key, got.Key)
			require.NotContains(t, logs.String(), "whsec_")
		})
	}
}

// TestSandboxOnAPublicAddress: a sandbox that other machines can reach says so, and serves the names it was given only.
func TestSandboxOnAPublicAddress(t *testing.T) {
	for name, tc := range map[string]struct {
		addr   string
		warned bool
	}{
		"loopback":      {"127.0.0.1:0", false},
		"all addresses": {"0.0.0.0:0", true},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"TRIVET_DATA_DIR": t.TempDir(), "TRIVET_SANDBOX_ADDR": tc.addr, "TRIVET_SANDBOX_ALLOWED_HOSTS": "sandbox"}
			getenv := func(name string) string { return env[name] }
			logs := &bytes.Buffer{}
			c, err := loadDev(settings.Env{Get: getenv}, DevOptions{AllowPublic: true})
			require.NoError(t, err)
			host, err := c.host(logs)
			require.NoError(t, err)
			s, part, err := startSandbox(t.Context(), c, host)
			require.NoError(t, err)
			ended, end := context.WithCancel(t.Context())
			end()
			defer func() { require.NoError(t, part.Run(ended)) }()
			require.Equal(t, tc.warned, strings.Contains(logs.String(), "TRIVET_SANDBOX_ADDR"), logs.String())
			base, err := url.Parse(s.Environment()["STRIPE_API_URL"])
			require.NoError(t, err)
			require.Contains(t, []string{"127.0.0.1", "localhost"}, base.Hostname(), "a browser can open the pages")
			for host, want := range map[string]int{"sandbox:8090": 200, "localhost:8090": 200, "evil.test": 403} {
				request := httptest.NewRequestWithContext(t.Context(), "GET", "/control/environment", nil)
				request.Host = host
				answer := httptest.NewRecorder()
				s.Handler().ServeHTTP(answer, request)
				require.Equal(t, want, answer.Code, host)
			}
		})
	}
}
