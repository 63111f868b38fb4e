// Package clientip finds a client's IP address behind the proxies that the operator trusts.
package clientip

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

const forwardedFor = "X-Forwarded-For"

// maxHops limits how many addresses of a header are read.
const maxHops = 32

// Proxies lists the networks whose X-Forwarded-For is trusted.
type Proxies []netip.Prefix

// ParseProxies reads addresses ("10.0.0.7") and networks ("10.0.0.0/8").
func ParseProxies(list []string) (Proxies, error) {
	var out Proxies
	for _, text := range list {
		if addr, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		out = append(out, unmapped(prefix).Masked())
	}
	return out, nil
}

// unmapped converts an IPv4 network that is written as IPv6 to IPv4, because addresses are compared in that form.
func unmapped(p netip.Prefix) netip.Prefix {
	const mapped = 96 // bits before the IPv4 address
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p
}

func (p Proxies) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Of returns the client's address. That is the peer's address or, when the peer is a trusted proxy, the rightmost address
// in X-Forwarded-For that is not a trusted proxy. Addresses to the left of it are the client's own claim. The result is
// invalid for a peer without an address, such as a Unix socket.
func (p Proxies) Of(r *http.Request) netip.Addr {
	peer := parse(r.RemoteAddr)
	if len(p) == 0 || !p.trusts(peer) {
		return peer
	}
	client := peer
	for _, addr := range hops(r.Header[forwardedFor]) {
		if !addr.IsValid() {
			break
		}
		client = addr
		if !p.trusts(addr) {
			break
		}
	}
	return client
}

// Secure reports whether the client's connection is HTTPS: TLS ends here, or a trusted proxy says that it ended TLS.
func (p Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	said := r.Header["X-Forwarded-Proto"]
	return p.trusts(parse(r.RemoteAddr)) && len(said) == 1 && strings.EqualFold(said[0], "https")
}

// hops returns the addresses in the headers, the last one first. Text that is not an address becomes an invalid address.
func hops(values []string) []netip.Addr {
	var out []netip.Addr
	for _, value := range slices.Backward(values) {
		parts := strings.Split(value, ",")
		for _, part := range slices.Backward(parts) {
			if len(out) == maxHops {
				return out
			}
			out = append(out, parse(strings.TrimSpace(part)))
		}
	}
	return out
}

// parse reads "address" and "address:port".
func parse(text string) netip.Addr {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
