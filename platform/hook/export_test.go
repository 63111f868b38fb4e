package hook

import "net/netip"

// Public tells whether an address is one of the public internet.
func Public(address string) bool { return public(netip.MustParseAddr(address).Unmap()) }

// CheckAddress is the check of an address before it is connected to.
var CheckAddress = checkAddress
