package serve

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/platform/settings"
)

// StandIn says where the sandbox is that stands in for the providers without settings.
type StandIn struct {
	// URL is the sandbox's address; "" means that there is none.
	URL string `env:"TRIVET_SANDBOX_URL" help:"address of a sandbox that stands in, in development, for the providers whose settings are absent; for split mode (trivet dev starts its own); production ignores it"`
	// ClerkWebhookSecret signs the sandbox's Clerk webhooks.
	ClerkWebhookSecret settings.Secret `env:"TRIVET_SANDBOX_CLERK_WEBHOOK_SECRET" help:"secret that the sandbox signs its Clerk webhooks with, whsec_ and base64; default: a published one"`
	// StripeWebhookSecret signs the sandbox's Stripe webhooks.
	StripeWebhookSecret settings.Secret `env:"TRIVET_SANDBOX_STRIPE_WEBHOOK_SECRET" help:"secret that the sandbox signs its Stripe webhooks with; default: a published one"`
}

// WebhookSecrets are the secrets that the sandbox signs webhooks with, by the name of the integration; those that are not set
// are the published ones.
func (s StandIn) WebhookSecrets() map[string]settings.Secret {
	return map[string]settings.Secret{"clerk": s.ClerkWebhookSecret, "stripe": s.StripeWebhookSecret}
}

// Secrets puts the secrets that are set in place of the published ones among a sandbox's settings.
func (s StandIn) Secrets(sandbox map[string]string) map[string]string {
	secrets := s.WebhookSecrets()
	for _, i := range integration.WithWebhooks() {
		if secret := secrets[i.Name]; secret.IsSet() {
			sandbox[i.WebhookSetting] = secret.Reveal()
		}
	}
	return sandbox
}

const (
	clerkInstance = "CLERK_INSTANCE_ID"
	stripeReads   = "STRIPE_READS_PER_SECOND"
	clerkReads    = "CLERK_READS_PER_SECOND"
	// sandboxReads is as good as no limit: the sandbox has none of those that Stripe and Clerk have for a test key.
	sandboxReads = "10000"
)

// IsSet reports whether a setting has a value, its own or a file's.
func IsSet(get func(string) string, name string) bool {
	return get(name) != "" || get(name+"_FILE") != ""
}

// IsReal reports whether the settings mean the provider itself, not the sandbox.
func IsReal(get func(string) string, i integration.Integration) bool {
	return slices.ContainsFunc(i.RealSettings, func(name string) bool { return IsSet(get, name) })
}

// Absent returns the integrations that no setting names.
func Absent(get func(string) string) []integration.Integration {
	return slices.DeleteFunc(integration.All(), func(i integration.Integration) bool { return IsReal(get, i) })
}

// AbsentRequired returns the integrations that no setting names and without which Trivet does not work.
func AbsentRequired(get func(string) string) []integration.Integration {
	return slices.DeleteFunc(Absent(get), func(i integration.Integration) bool { return i.Optional })
}

// SandboxAt returns the settings of a sandbox with default keys at an address. A test compares them with the sandbox's own.
func SandboxAt(url string) map[string]string {
	base := strings.TrimRight(url, "/")
	return map[string]string{ //nolint:gosec // the sandbox's secrets are published on purpose
		"CLERK_SECRET_KEY":      "sk_test_TrivetSandboxTrivetSandboxTrivetSandbox0",
		"CLERK_PUBLISHABLE_KEY": "pk_test_dHJpdmV0LXNhbmRib3gtMC5jbGVyay5hY2NvdW50cy5kZXYk",
		"CLERK_ISSUER":          "https://trivet-sandbox-0.clerk.accounts.dev",
		"CLERK_API_URL":         base + "/clerk/v1",
		clerkInstance:           "ins_MCd0rSNq2PypBckP7Kg02138b2P",
		"CLERK_WEBHOOK_SECRET":  "whsec_dHJpdmV0LXNhbmRib3gtY2xlcmstd2ViaG9va3M=",
		"OPENAI_API_KEY":        "sk-trivet-sandbox",
		"OPENAI_BASE_URL":       base + "/openai/v1",
		"STRIPE_SECRET_KEY":     "sk_test_trivetsandbox",
		"STRIPE_API_URL":        base + "/stripe",
		"STRIPE_WEBHOOK_SECRET": "whsec_trivetsandbox",
	}
}

// FillIn returns a lookup in which the sandbox's settings stand for the absent providers. Webhooks that are signed with a
// secret of the developer's own are accepted beside the sandbox's.
func FillIn(get func(string) string, sandbox map[string]string) (func(string) string, error) {
	values, hidden := map[string]string{}, map[string]bool{}
	for _, i := range Absent(get) {
		for _, name := range i.SandboxSettings {
			values[name] = sandbox[name]
		}
		if i.WebhookSetting == "" {
			continue
		}
		own, err := settings.ReadSecrets(get, i.WebhookSetting, i.WebhookSettingAlias)
		if err != nil {
			return nil, err
		}
		values[i.WebhookSetting] = strings.Join(append(own.Reveal(), values[i.WebhookSetting]), ",")
		hidden[i.WebhookSettingAlias] = true
	}
	for address, reads := range map[string]string{"STRIPE_API_URL": stripeReads, "CLERK_API_URL": clerkReads} {
		if _, ok := values[address]; ok && !IsSet(get, reads) {
			values[reads] = sandboxReads
		}
	}
	if IsSet(get, clerkInstance) {
		delete(values, clerkInstance)
	}
	return settings.Layer(func(name string) string { return values[name] }, func(name string) string {
		if hidden[strings.TrimSuffix(name, "_FILE")] {
			return ""
		}
		return get(name)
	}), nil
}

// withStandIn returns a lookup in which the sandbox at TRIVET_SANDBOX_URL, if there is one, stands in for the absent
// providers, and those providers.
func withStandIn(get func(string) string) (func(string) string, []integration.Integration, error) {
	var at StandIn
	if err := settings.Load(get, &at); err != nil || at.URL == "" || InProduction(get) {
		return get, nil, err
	}
	filled, err := FillIn(get, at.Secrets(SandboxAt(at.URL)))
	return filled, AbsentRequired(get), err
}

// announceStandIns warns of the providers that a process does not reach for real.
func (h *Host) announceStandIns(ctx context.Context, program Program, all []integration.Integration) {
	docs, err := settings.Describe(program.Config)
	if err != nil {
		return // Load has reported it
	}
	for _, i := range all {
		if slices.ContainsFunc(docs, func(d settings.Doc) bool { return d.Name == i.RealSettings[0] }) {
			h.Logger.WarnContext(ctx, "the sandbox stands in for a provider", slog.String("provider", i.Name), slog.String("set_for_the_real_one", i.RealSettings[0]))
		}
	}
}
