package allinone

import (
	"net/url"
	"strings"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

// DevOperator is the operator of trivet dev if TRIVET_OPERATORS is not set.
const DevOperator = "user_operator"

// OperatorSettings holds the settings of the operator's commands: the edge, and a session token of a user in TRIVET_OPERATORS.
type OperatorSettings struct {
	// URL is the address of the edge.
	URL string `env:"TRIVET_URL" help:"address of the edge that the operator's commands call; default: TRIVET_HTTP_ADDR on this machine"`
	// Token is a session token.
	Token settings.Secret `env:"TRIVET_TOKEN" help:"session token for the commands that call the edge: an operator's, or for trivet apikeys that of an admin of the account or an API key with keys.manage; default: one of the sandbox's user_operator"`
}

// Operator reads the settings of the operator's commands. Without TRIVET_URL they call the edge on this machine.
func Operator(get func(string) string) (OperatorSettings, error) {
	var s struct {
		Operator OperatorSettings
		Edge     serve.Edge
		Gateway  gateway.Config
	}
	if err := settings.Load(get, &s); err != nil {
		return OperatorSettings{}, err
	}
	if s.Operator.URL == "" {
		s.Operator.URL = scheme(&s.Gateway) + reachable(s.Edge.HTTPAddr)
	}
	return s.Operator, s.Operator.check()
}

// check also refuses an address with a password, because errors show the address.
func (s *OperatorSettings) check() error {
	s.URL = strings.TrimSuffix(s.URL, "/")
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return settings.Invalid("TRIVET_URL", "is not the address of an edge", "write http:// or https:// and a host, such as https://api.example.com, without user, path or query")
	}
	if strings.ContainsFunc(s.Token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return settings.Invalid("TRIVET_TOKEN", "has white space or characters that no token has", "set it to one session token, such as the output of trivet token")
	}
	return nil
}

// scheme begins the address of the edge.
func scheme(edge *gateway.Config) string {
	if edge.TLS() {
		return "https://"
	}
	return "http://"
}

// GRPCAddress returns the gRPC address of a service: its own in split mode, otherwise that of the all-in-one.
func GRPCAddress(get func(string) string, service string) (string, error) {
	var s struct {
		Addresses serve.Addresses
		Host      serve.Settings
	}
	if err := settings.Load(get, &s); err != nil {
		return "", err
	}
	if own := s.Addresses.Of(service); own != "" {
		return own, nil
	}
	return reachable(s.Host.GRPCAddr), nil
}
