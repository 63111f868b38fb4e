package checkout

import (
	"net"
	"net/url"
	"slices"
)

// Origins says where Stripe may send people back to.
type Origins struct {
	// Allowed are exact origins, such as "https://app.example.com".
	Allowed []string
	// Loopback allows all origins of this machine, in development.
	Loopback bool
}

// Problem says why an address is refused; "" when it is allowed.
func (o Origins) Problem(address string) string {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return "must not be empty"
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
		return "must be a whole address such as https://app.example.com/billing"
	case slices.Contains(o.Allowed, u.Scheme+"://"+u.Host), o.Loopback && loopback(u.Hostname()):
		return ""
	}
	return "must be an address of an origin in CORS_ALLOWED_ORIGINS"
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
