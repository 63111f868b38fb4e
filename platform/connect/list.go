package connect

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
)

// listScheme is the scheme of targets that are lists of addresses.
const listScheme = "trivet-list"

// Target is what gRPC calls an address, which may be a list, and the option that lets gRPC understand it.
func Target(address string) (target string, lists grpc.DialOption) {
	if strings.Contains(address, ",") {
		address = listScheme + ":///" + strings.ReplaceAll(address, " ", "")
	}
	return address, grpc.WithResolvers(listBuilder{})
}

// CheckAddress reports what is wrong with the address of a service: HOST:PORT, a list of them, or a target of gRPC such as
// dns:///HOST:PORT.
func CheckAddress(address string) error {
	if strings.Contains(address, "://") || strings.HasPrefix(address, "unix:") {
		return nil // gRPC's own forms, which it checks itself
	}
	for one := range strings.SplitSeq(address, ",") {
		host, port, err := net.SplitHostPort(strings.TrimSpace(one))
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || host == "" {
			return fmt.Errorf("%q is not HOST:PORT", one)
		}
	}
	return nil
}

// listBuilder resolves lists of addresses. It looks each of them up in DNS by itself.
type listBuilder struct{}

// Scheme implements resolver.Builder.
func (listBuilder) Scheme() string { return listScheme }

// Build implements resolver.Builder.
func (listBuilder) Build(at resolver.Target, cc resolver.ClientConn, options resolver.BuildOptions) (resolver.Resolver, error) {
	addresses := strings.Split(at.Endpoint(), ",")
	l := &listResolver{cc: cc, found: make([][]resolver.Address, len(addresses)), failed: make([]error, len(addresses))}
	for i, address := range addresses {
		name, err := url.Parse("dns:///" + address)
		if err == nil {
			var one resolver.Resolver
			one, err = resolver.Get("dns").Build(resolver.Target{URL: *name}, &member{ClientConn: cc, list: l, index: i}, options)
			l.members = append(l.members, one)
		}
		if err != nil {
			l.members = l.members[:min(i, len(l.members))]
			l.Close()
			return nil, fmt.Errorf("%s: %w", address, err)
		}
	}
	return l, nil
}

// listResolver joins what the resolvers of its members find.
type listResolver struct {
	cc      resolver.ClientConn
	members []resolver.Resolver

	mu     sync.Mutex
	found  [][]resolver.Address
	failed []error
}

// ResolveNow implements resolver.Resolver.
func (l *listResolver) ResolveNow(options resolver.ResolveNowOptions) {
	for _, m := range l.members {
		m.ResolveNow(options)
	}
}

// Close implements resolver.Resolver.
func (l *listResolver) Close() {
	for _, m := range l.members {
		m.Close()
	}
}

// set notes what one member found, or why it found nothing; its last addresses stay then.
func (l *listResolver) set(index int, addresses []resolver.Address, failed error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed[index] = failed
	if failed == nil {
		l.found[index] = addresses
	}
	var all []resolver.Address
	var endpoints []resolver.Endpoint
	seen := map[string]bool{}
	for _, some := range l.found {
		for _, a := range some {
			if !seen[a.Addr] {
				seen[a.Addr] = true
				all = append(all, a)
				endpoints = append(endpoints, resolver.Endpoint{Addresses: []resolver.Address{a}})
			}
		}
	}
	if len(all) == 0 {
		l.cc.ReportError(errors.Join(l.failed...))
		return failed
	}
	return l.cc.UpdateState(resolver.State{Addresses: all, Endpoints: endpoints})
}

// member is what the resolver of one address reports to.
type member struct {
	resolver.ClientConn
	list  *listResolver
	index int
}

// UpdateState implements resolver.ClientConn.
func (m *member) UpdateState(state resolver.State) error {
	return m.list.set(m.index, state.Addresses, nil)
}

// ReportError implements resolver.ClientConn.
func (m *member) ReportError(err error) { _ = m.list.set(m.index, nil, err) }
