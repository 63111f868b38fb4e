package gateway

import (
	"net/url"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/clientip"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Config are the edge's settings.
type Config struct {
	// Environment is "development" or "production"; production adds HSTS.
	Environment string `env:"TRIVET_ENV" default:"development" oneof:"development,production" help:"what kind of installation this is"`
	// AllowedOrigins are the origins whose browser pages may call.
	AllowedOrigins []string `env:"CORS_ALLOWED_ORIGINS" help:"origins whose browser pages may call, such as https://app.example.com, exact and separated by commas; none when empty; trivet dev also lets in pages of this machine"`
	// TrustedProxies are the networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
	TrustedProxies []string `env:"TRIVET_TRUSTED_PROXIES" help:"addresses and networks of the proxies before the edge, such as 10.0.0.0/8; their X-Forwarded-For is believed, and their X-Forwarded-Proto, of one value; in production webhooks are taken over https only"`
	// IPRequestsPerMinute limits each IP address before its credential is looked at; 0 is no limit.
	IPRequestsPerMinute int `env:"TRIVET_IP_REQUESTS_PER_MINUTE" default:"6000" min:"0" max:"10000000" help:"requests a minute from one IP address (IPv6: one /64), before the credential is looked at; webhooks count only when refused; 0 is no limit; loopback has none"`
	// MaxBodyBytes is the largest request body.
	MaxBodyBytes settings.ByteSize `env:"TRIVET_MAX_BODY_BYTES" default:"10MiB" min:"1KiB" max:"30MiB" help:"largest request body"`
	// BodyTimeout is the longest that a request's body may take to arrive.
	BodyTimeout time.Duration `env:"TRIVET_BODY_TIMEOUT" default:"30s" min:"1s" max:"1h" help:"longest time for a request's body to arrive"`
	// WriteTimeout is the longest that a caller may leave a written part of an answer untaken.
	WriteTimeout time.Duration `env:"TRIVET_WRITE_TIMEOUT" default:"30s" min:"1s" max:"1h" help:"longest time for a caller to take one part of an answer"`
	// KeepAlive is the longest silence on a stream before a comment is sent; 0 sends none.
	KeepAlive time.Duration `env:"TRIVET_STREAM_KEEPALIVE" default:"15s" min:"0s" max:"1h" help:"longest silence on a stream before a keep-alive comment; 0s sends none"`
	// ShutdownTimeout is how long running requests may go on after the edge was asked to stop.
	ShutdownTimeout time.Duration `env:"TRIVET_SHUTDOWN_TIMEOUT" default:"25s" min:"0s" max:"1h" help:"how long running requests and streams may go on after a signal to stop"`
}

// Validate finds what the tags can't.
func (c *Config) Validate() error {
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
	return settings.Join(found...)
}

func originProblem(origin string) string {
	quoted := "\"" + origin + "\""
	if strings.Contains(origin, "*") {
		return quoted + " has a wildcard, which would let in origins of strangers"
	}
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != origin {
		return quoted + " is no origin: a scheme and a host, without a path or a slash at the end"
	}
	return ""
}
