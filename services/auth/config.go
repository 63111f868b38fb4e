package auth

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/svix"
)

// Config is auth's settings.
type Config struct {
	// SecretKeys call Clerk's Backend API, newest first.
	SecretKeys settings.Secrets `env:"CLERK_SECRET_KEY" begins:"sk_live_,sk_test_" help:"Clerk's secret key, sk_…; several during a rotation, newest first"`
	// PublishableKey tells the issuer when Issuer is not set.
	PublishableKey string `env:"CLERK_PUBLISHABLE_KEY" begins:"pk_live_,pk_test_" help:"Clerk's publishable key, pk_…; contains the issuer, so CLERK_ISSUER need not be set; the console signs people in with it"`
	// JWTKey verifies tokens without the network.
	JWTKey string `env:"CLERK_JWT_KEY" help:"Clerk's JWT public key in PEM, for verification without the network; several, one after another, during a rotation"`
	// Issuer is compared whole with each token's.
	Issuer string `env:"CLERK_ISSUER" help:"Clerk's frontend API address, such as https://clerk.example.com"`
	// AuthorizedParties are the origins that may ask for tokens.
	AuthorizedParties []string `env:"CLERK_AUTHORIZED_PARTIES" help:"origins that may request session tokens (azp), such as https://app.example.com; default: any"`
	// APIURL is Clerk's Backend API.
	APIURL *url.URL `env:"CLERK_API_URL" default:"https://api.clerk.com" help:"Clerk's Backend API, without /v1"`
	// TemplateAudience lets a JWT template's tokens in.
	TemplateAudience string `env:"CLERK_TEMPLATE_AUDIENCE" help:"audience (aud) of the JWT template whose tokens are accepted although they name no session; default: none"`
	// AllowPending lets sessions with tasks left in.
	AllowPending bool `env:"CLERK_ALLOW_PENDING" default:"false" help:"accept pending sessions (sts: pending), which have tasks left such as choosing an organization"`

	// JWKSRefresh, JWKSMaxStale and Timeout bound how fresh Clerk's keys are.
	JWKSRefresh  time.Duration `env:"CLERK_JWKS_REFRESH" default:"5m" min:"10s" max:"24h" help:"how often Clerk's signing keys are refreshed"`
	JWKSMaxStale time.Duration `env:"CLERK_JWKS_MAX_STALE" default:"24h" min:"1m" max:"168h" help:"how long cached signing keys are used while Clerk is unreachable"`
	Timeout      time.Duration `env:"CLERK_TIMEOUT" default:"5s" min:"100ms" max:"1m" help:"timeout of one call to Clerk"`
	// ReadsPerSecond, Tries, RetryDelay and BreakerFailures say how the Backend API is called.
	ReadsPerSecond  int           `env:"CLERK_READS_PER_SECOND" default:"0" min:"0" max:"10000" help:"maximum reads of Clerk's Backend API per second per process, retries included; 0 = 80 (live key) or 8 (test key), because Clerk allows an instance 100 and 10"`
	Tries           int           `env:"CLERK_TRIES" default:"3" min:"1" max:"10" help:"attempts of a read of Clerk's Backend API before it fails; 1 means no retries"`
	RetryDelay      time.Duration `env:"CLERK_RETRY_DELAY" default:"500ms" min:"0s" max:"8s" help:"longest pause before the first retry of a read of Clerk's Backend API; it doubles with each further retry up to 8s, and each pause is a random part of it"`
	BreakerFailures int           `env:"CLERK_BREAKER_FAILURES" default:"20" min:"0" help:"failed reads of Clerk's Backend API within 10s that stop all reads for a while, if they are half of its reads; 0 never stops them; signing keys are always fetched"`
	// ProbeInterval is how often an idle Clerk is asked; 0 is never.
	ProbeInterval time.Duration `env:"CLERK_PROBE_INTERVAL" default:"30s" min:"0s" max:"1h" help:"how often Clerk is asked for its keys, to check that it answers while nothing else calls it; 0s turns it off"`
	// TokenCache bounds the verified tokens that are remembered.
	TokenCache int `env:"AUTH_TOKEN_CACHE" default:"16384" min:"1" max:"1048576" help:"maximum verified session tokens in the cache"`

	// WebhookSecrets verify Clerk's webhooks.
	WebhookSecrets settings.Secrets `env:"CLERK_WEBHOOK_SECRET" alias:"CLERK_WEBHOOK_SIGNING_SECRET" begins:"whsec_" wanted:"every webhook of Clerk is refused, so that changed, banned and deleted users are seen only by reconciliation" help:"signing secret of Clerk's webhooks, whsec_…; several during a rotation, newest first"`
	// InstanceID tells events of other instances apart.
	InstanceID string `env:"CLERK_INSTANCE_ID" help:"Clerk instance, ins_…; events of another instance are stored and ignored; default: accept any"`
	// ReconcileInterval is how often the store is compared with Clerk; 0 is never.
	ReconcileInterval time.Duration `env:"CLERK_RECONCILE_INTERVAL" default:"24h" min:"0s" max:"720h" help:"how often users, organizations, roles and memberships are compared with Clerk and repaired; 0 turns it off"`

	// Inbox is how webhooks are tried and kept.
	Inbox inbox.Settings

	// APIKeySecrets hash API keys, newest first.
	APIKeySecrets settings.Secrets `env:"TRIVET_API_KEY_SECRET" required:"serve" help:"at least 32 random bytes that API keys are hashed with; several during a rotation, newest first"`

	// MaxAPIKeys bounds the live API keys of an account.
	MaxAPIKeys int `env:"AUTH_MAX_API_KEYS" default:"100" min:"1" max:"10000" help:"maximum live API keys per account"`

	// AdminRoles may decide for an organization's account.
	AdminRoles []string `env:"CLERK_ADMIN_ROLES" default:"admin" help:"roles that may manage an organization's account, API keys and billing, such as admin,billing_manager"`

	// Operators are Clerk user ids.
	Operators []string `env:"TRIVET_OPERATORS" help:"Clerk user ids of the operators, who may call operator RPCs"`
}

// Validate checks what is set, and in the mode settings.Serve that nothing is missing.
func (c Config) Validate(modes settings.Modes) error {
	var found []error
	if c.JWTKey != "" {
		if _, err := jwks.ParsePEM(c.JWTKey); err != nil {
			found = append(found, settings.Invalid("CLERK_JWT_KEY", err.Error(), "paste the PEM public key that Clerk's dashboard shows"))
		}
	}
	if c.Issuer == "" && c.PublishableKey != "" {
		if _, err := issuerOf(c.PublishableKey); err != nil {
			found = append(found, settings.Invalid("CLERK_PUBLISHABLE_KEY", err.Error(), "copy it whole from Clerk's dashboard"))
		}
	}
	if c.Issuer != "" && !isOrigin(c.Issuer) {
		found = append(found, settings.Invalid("CLERK_ISSUER", "is not an address such as https://clerk.example.com, without a slash at its end",
			"copy the Frontend API URL from Clerk's dashboard"))
	}
	if _, err := svix.New(c.WebhookSecrets.Reveal(), time.Now); err != nil {
		found = append(found, settings.Invalid("CLERK_WEBHOOK_SECRET", err.Error(),
			"copy the signing secret from Clerk's dashboard, under Webhooks"))
	}
	if c.ReconcileInterval > 0 && c.ReconcileInterval < minReconcile {
		found = append(found, settings.Invalid("CLERK_RECONCILE_INTERVAL", "is shorter than a minute", "set 1m or more, or 0 to turn it off"))
	}
	if c.APIKeySecrets.IsSet() {
		if _, err := apikey.NewHasher(c.APIKeySecrets.Reveal()); err != nil {
			found = append(found, settings.Invalid("TRIVET_API_KEY_SECRET", err.Error(), "set at least 32 random bytes"))
		}
	}
	if modes.Has(settings.Serve) {
		found = append(found, c.missing()...)
	}
	return settings.Join(found...)
}

// minReconcile is the shortest interval: a comparison takes calls that Clerk limits.
const minReconcile = time.Minute

// developmentSecret stands in for a missing TRIVET_API_KEY_SECRET, so that keys outlive a restart in development.
const developmentSecret = "trivet development: everybody knows this secret"

// keyMode is the mode of new API keys: that of the Clerk instance whose users make them.
func (c Config) keyMode() apikey.Mode {
	secret := c.SecretKeys.Newest().Reveal()
	if strings.HasPrefix(secret, "sk_live_") || secret == "" && strings.HasPrefix(c.PublishableKey, "pk_live_") {
		return apikey.Live
	}
	if secret == "" && c.PublishableKey == "" && strings.HasPrefix(c.Issuer, "https://") && !strings.HasSuffix(c.Issuer, ".clerk.accounts.dev") {
		return apikey.Live // only the key and the issuer are set, and it is not a development instance
	}
	return apikey.Test
}

// missing are the settings without which no token can be verified.
func (c Config) missing() (found []error) {
	if c.Issuer == "" && c.PublishableKey == "" {
		found = append(found, settings.Invalid("CLERK_ISSUER", "is not set", "set CLERK_ISSUER or CLERK_PUBLISHABLE_KEY"))
	}
	if c.JWTKey == "" && !c.SecretKeys.IsSet() {
		found = append(found, settings.Invalid("CLERK_SECRET_KEY", "is not set",
			"set CLERK_SECRET_KEY, or CLERK_JWT_KEY to verify without the network"))
	}
	return found
}

// adminRoles are without the "org:" that Clerk's dashboard shows before each.
func (c Config) adminRoles() []string {
	roles := make([]string, 0, len(c.AdminRoles))
	for _, role := range c.AdminRoles {
		roles = append(roles, strings.TrimPrefix(role, "org:"))
	}
	return roles
}

// FrontendAPI is the address of Clerk's Frontend API, which issues session tokens.
func (c Config) FrontendAPI() (string, error) { return c.issuer() }

// issuer is Issuer, or what the publishable key says.
func (c Config) issuer() (string, error) {
	if c.Issuer != "" {
		return c.Issuer, nil
	}
	return issuerOf(c.PublishableKey)
}

// issuerOf reads the frontend host out of a publishable key: "pk_live_" and the base64 of the host with "$" at its end.
func issuerOf(publishable string) (string, error) {
	rest, live := strings.CutPrefix(publishable, "pk_live_")
	rest, test := strings.CutPrefix(rest, "pk_test_")
	if !live && !test {
		return "", errors.New("does not begin with pk_live_ or pk_test_")
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(rest, "="))
	host, whole := strings.CutSuffix(string(raw), "$")
	if err != nil || !whole || !isOrigin("https://"+host) {
		return "", errors.New("does not hold the frontend API's host")
	}
	return "https://" + host, nil
}

// isOrigin reports whether an address is scheme, host and at most a path without a slash at its end.
func isOrigin(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && !strings.HasSuffix(address, "/")
}

// patience says how reads of the Backend API are paced and repeated.
func (c Config) patience() clerk.Patience {
	return clerk.Patience{
		ReadsPerSecond: cmp.Or(c.ReadsPerSecond, clerk.ReadsOf(c.SecretKeys.Newest().Reveal())), Tries: c.Tries, RetryDelay: c.RetryDelay, ReadTimeout: c.Timeout,
	}
}

// backend is the Backend API's address with its version.
func (c Config) backend() string {
	base := strings.TrimRight(c.APIURL.String(), "/")
	return strings.TrimSuffix(base, "/v1") + "/v1"
}
