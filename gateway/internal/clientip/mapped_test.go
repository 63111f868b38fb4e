package clientip_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/clientip"
)

// The operator, the kernel and proxies may all write IPv4 addresses as IPv6.
func TestMappedAddresses(t *testing.T) {
	for _, proxy := range []string{"10.0.0.1", "::ffff:10.0.0.1", "10.0.0.0/24", "::ffff:10.0.0.0/120", "::ffff:0:0/96"} {
		for _, peer := range []string{"10.0.0.1:1234", "[::ffff:10.0.0.1]:1234"} {
			p, err := clientip.ParseProxies([]string{proxy})
			require.NoError(t, err, proxy)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = peer
			r.Header.Set("X-Forwarded-For", "::ffff:203.0.113.7")
			r.Header.Set("X-Forwarded-Proto", "https")
			require.Equal(t, "203.0.113.7", p.Of(r).String(), "%s behind %s", peer, proxy)
			require.True(t, p.Secure(r), "%s behind %s", peer, proxy)
			r.RemoteAddr = "[::ffff:192.0.2.1]:1234"
			if proxy != "::ffff:0:0/96" {
				require.Equal(t, "192.0.2.1", p.Of(r).String(), "only %s is trusted", proxy)
				require.False(t, p.Secure(r))
			}
		}
	}
}
