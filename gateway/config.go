package gateway

import (
	"net/url"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/clientip"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Config holds the settings of the edge.
type Config struct {
	// AllowedOrigins lists the origins whose pages may call the API.
	AllowedOrigins []string `env:"CORS_ALLOWED_ORIGINS" help:"exact origins whose pages may call the API from a browser, and to which Stripe's pages may lead back, such as https://app.example.com, separated by commas; empty allows no origin; trivet dev also allows pages of this machine"`
	// TrustedProxies lists the networks whose X-Forwarded-For and X-Forwarded-Proto are trusted.
	TrustedProxies []string `env:"TRIVET_TRUSTED_PROXIES" help:"addresses and networks of the proxies in front of the edge, such as 10.0.0.0/8; the edge trusts their X-Forwarded-For and their single-valued X-Forwarded-Proto; in production the edge accepts webhooks over HTTPS only"`
	// IPRequestsPerMinute limits each IP address before its credential is checked; 0 means no limit.
	IPRequestsPerMinute int `env:"TRIVET_IP_REQUESTS_PER_MINUTE" default:"6000" min:"0" max:"10000000" help:"maximum requests per minute from one IP address (IPv6: one /64), counted before the credential is checked; only refused webhooks count; 0 means no limit; loopback is not limited"`
	// ConcurrentPerCaller limits the requests that one caller has open.
	ConcurrentPerCaller int `env:"TRIVET_CONCURRENT_PER_CALLER" default:"500" min:"0" max:"1000000" help:"maximum number of requests and streams that one user or API key may have open at once at this edge; all of an account together may have four times as many; 0 means no limit"`
	// MaxBodyBytes is the maximum size of a request body.
	MaxBodyBytes settings.ByteSize `env:"TRIVET_MAX_BODY_BYTES" default:"10MiB" min:"1KiB" max:"30MiB" help:"maximum size of a request body"`
	// MaxUploadBytes is the maximum size of a form with files.
	MaxUploadBytes settings.ByteSize `env:"TRIVET_MAX_UPLOAD_BYTES" default:"26MiB" min:"1KiB" max:"30MiB" help:"maximum size of a request body of /v1/images/edits, /v1/audio/transcriptions and /v1/audio/translations, which is a form with files; OpenAI accepts audio files up to 25 MB. The edge handles at most 32 such forms at once, of which 8 of one account; each may take four times TRIVET_BODY_TIMEOUT to arrive"`
	// BodyTimeout limits how long a request body may take to arrive.
	BodyTimeout time.Duration `env:"TRIVET_BODY_TIMEOUT" default:"30s" min:"1s" max:"1h" help:"maximum time for a request body to arrive"`
	// WriteTimeout limits how long a client may take to read one part of a response.
	WriteTimeout time.Duration `env:"TRIVET_WRITE_TIMEOUT" default:"30s" min:"1s" max:"1h" help:"maximum time for a client to read one part of a response"`
	// KeepAlive is how long a stream may be silent before a comment is sent; 0 disables comments.
	KeepAlive time.Duration `env:"TRIVET_STREAM_KEEPALIVE" default:"15s" min:"0s" max:"1h" help:"how long a stream may be silent before the edge sends a keep-alive comment; 0s disables comments"`
	// ShutdownTimeout is how long requests may run after the edge is told to stop.
	ShutdownTimeout time.Duration `env:"TRIVET_SHUTDOWN_TIMEOUT" default:"25s" min:"0s" max:"1h" help:"how long requests and streams may run after a signal to stop"`
	// TLSCert and TLSKey let the edge answer HTTPS.
	TLSCert string          `env:"TRIVET_TLS_CERT" help:"certificate chain in PEM, with which the edge answers HTTPS and HTTP/2; usually given as TRIVET_TLS_CERT_FILE; empty where a proxy ends TLS"`
	TLSKey  settings.Secret `env:"TRIVET_TLS_KEY" help:"private key of TRIVET_TLS_CERT in PEM; usually given as TRIVET_TLS_KEY_FILE"`
	// Console serves the console at /console/.
	Console bool `env:"TRIVET_CONSOLE" default:"true" help:"whether the edge serves the console, a web page for people and operators, at /console/"`
	// PublishableKey says which Clerk instance the console signs people in with.
	PublishableKey string `env:"CLERK_PUBLISHABLE_KEY" begins:"pk_live_,pk_test_" help:"Clerk's publishable key, pk_…; contains the issuer, so CLERK_ISSUER need not be set; the console signs people in with it"`
}

// Validate checks what the tags cannot express.
func (c *Config) Validate(settings.Modes) error {
	var found []error
	for _, origin := range c.AllowedOrigins {
		if problem := originProblem(origin); problem != "" {
			found = append(found, settings.Invalid("CORS_ALLOWED_ORIGINS", problem,
				"list exact origins such as https://app.example.com"))
		}
	}
	if _, err := clientip.ParseProxies(c.TrustedProxies); err != nil {
		found = append(found, settings.Invalid("TRIVET_TRUSTED_PROXIES", err.Error(), "list addresses and networks"))
	}
	return settings.Join(append(found, c.validateTLS())...)
}

func originProblem(origin string) string {
	quoted := "\"" + origin + "\""
	if strings.Contains(origin, "*") {
		return quoted + " contains a wildcard, which would allow origins that you do not control"
	}
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != origin {
		return quoted + " is not an origin: write a scheme and a host, without a path or a trailing slash"
	}
	return ""
}
