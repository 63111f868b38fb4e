// Package local decides whether a host name or address belongs to the machine that the sandbox runs on.
package local

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Hosts are the host names under which clients may reach a sandbox, and whose pages may use it: those of this machine,
// and those that are allowed by name.
type Hosts struct{ named map[string]bool }

// NewHosts allows names beside this machine's. A port in a name is ignored.
func NewHosts(names []string) Hosts {
	h := Hosts{named: map[string]bool{}}
	for _, name := range names {
		if name = plain(name); name != "" {
			h.named[name] = true
		}
	}
	return h
}

// Serve reports whether a Host header is allowed. The unspecified address is, because it reaches this machine and is not a
// DNS name that could be rebound.
func (h Hosts) Serve(host string) bool {
	name := plain(host)
	ip, err := netip.ParseAddr(name)
	return h.Has(name) || err == nil && ip.IsUnspecified()
}

// Own reports whether an Origin header names a page of this machine, of an allowed host, or of the host that the request
// was sent to. Check the latter with [Hosts.Serve] first.
func (h Hosts) Own(origin, host string) bool {
	name, ok := hostOf(origin)
	return ok && (h.Has(name) || name == plain(host))
}

// Named reports whether an Origin header names a page of a host that was allowed by name.
func (h Hosts) Named(origin string) bool {
	name, ok := hostOf(origin)
	return ok && h.named[name]
}

// Has reports whether a host name or address is one of this machine, or allowed by name.
func (h Hosts) Has(name string) bool {
	name = plain(name)
	return h.named[name] || Loopback(name)
}

// Loopback reports whether a host name or address always refers to this machine.
func Loopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// hostOf is the host of an Origin header, which is a scheme and a host and nothing else.
func hostOf(origin string) (string, bool) {
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return "", false
	}
	return plain(u.Host), true
}

// plain is a host in lower case without its port, brackets and final dot.
func plain(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
