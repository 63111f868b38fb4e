package hook

import "net/netip"

// Public tells whether an address is one of the public internet.
func Public(address string) bool { return public(netip.MustParseAddr(address).Unmap()) }
