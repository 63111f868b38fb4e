package hook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	dialTime   = 5 * time.Second
	headerSize = 16 << 10
	idleTime   = time.Minute
)

// ErrPrivate says that an address is not one of the public internet.
var ErrPrivate = errors.New("the receiver's address is private; set BILLING_EVENTS_PRIVATE=true if it is in your own network")

// Client returns a client that follows no redirect and uses no proxy. It connects to public addresses only, unless private is true. The check is
// made of the address that is connected to, after the name is resolved, so that a name cannot lead elsewhere later.
func Client(private bool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: newDialer(private).DialContext, TLSHandshakeTimeout: dialTime, MaxIdleConns: 4, MaxConnsPerHost: 8, IdleConnTimeout: idleTime,
			MaxResponseHeaderBytes: headerSize, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newDialer(private bool) *net.Dialer {
	dialer := &net.Dialer{Timeout: dialTime}
	if !private {
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error { return checkAddress(address) }
	}
	return dialer
}

func checkAddress(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPrivate, err)
	}
	if !public(at.Addr().Unmap()) {
		return ErrPrivate
	}
	return nil
}

// reserved are ranges that netip counts as global although they are private, reserved or translated.
var reserved = []netip.Prefix{ //nolint:gochecknoglobals // never changes
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's services of a machine
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0:0/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	for _, r := range reserved {
		if r.Contains(a) {
			return false
		}
	}
	return true
}
