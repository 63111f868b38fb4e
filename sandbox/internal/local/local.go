// Package local tells the sandbox's own machine from the rest of the world, by host names and addresses.
package local

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Hosts are the names by which a sandbox may be reached, and whose pages may use it: this machine's, and those that
// are allowed by name.
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

// Serve tells whether a Host header is one by which the sandbox may be reached. The unspecified address is one: it
// reaches this machine, and no DNS name can stand for it.
func (h Hosts) Serve(host string) bool {
	name := plain(host)
	ip, err := netip.ParseAddr(name)
	return h.Has(name) || err == nil && ip.IsUnspecified()
}

// Own tells whether an Origin header names a page of this machine, of an allowed host, or of the host that the request
// was sent to, which [Hosts.Serve] has checked.
func (h Hosts) Own(origin, host string) bool {
	name, ok := hostOf(origin)
	return ok && (h.Has(name) || name == plain(host))
}

// Named tells whether an Origin header names a page of a host that was allowed by name.
func (h Hosts) Named(origin string) bool {
	name, ok := hostOf(origin)
	return ok && h.named[name]
}

// Has tells whether a host name or address is this machine's, or allowed by name.
func (h Hosts) Has(name string) bool {
	name = plain(name)
	return h.named[name] || Loopback(name)
}

// Loopback tells whether a host name or address can only mean this machine.
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
