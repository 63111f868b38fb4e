package hook

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/url"
)

// Reach connects to a receiver and, by HTTPS, checks its certificate. It sends no request. No error shows the address.
func Reach(ctx context.Context, address string, private bool) error {
	at, err := url.Parse(address)
	if err != nil || at.Hostname() == "" {
		return errAddress
	}
	port, ok := map[string]string{"http": "80", "https": "443"}[at.Scheme]
	if !ok {
		return errAddress
	}
	port = cmp.Or(at.Port(), port)
	to := net.JoinHostPort(at.Hostname(), port)
	var conn net.Conn
	if at.Scheme == "https" {
		conn, err = (&tls.Dialer{NetDialer: newDialer(private)}).DialContext(ctx, "tcp", to)
	} else {
		conn, err = newDialer(private).DialContext(ctx, "tcp", to)
	}
	if err != nil {
		return unreachable(err)
	}
	_ = conn.Close() // nothing was sent
	return nil
}

const errAddress = settingError("the receiver's address is not a valid http or https URL")
