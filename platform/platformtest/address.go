package platformtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// Addresses returns n loopback addresses on which nothing listens. Their ports are below those that the system gives to connections, any of
// which could take a port between this call and the start of the program that is to have it.
func Addresses(t testing.TB, n int) []string {
	t.Helper()
	const lowest, below = 20_000, 32_000
	var all []string
	for range 100 * n {
		if len(all) == n {
			break
		}
		port := lowest + rand.IntN(below-lowest) //nolint:gosec // a port to try, not a secret
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer func() { require.NoError(t, listener.Close()) }() // at the end, so that all differ
		all = append(all, listener.Addr().String())
	}
	require.Len(t, all, n, "free ports")
	return all
}
