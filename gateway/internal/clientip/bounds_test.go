package clientip_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/clientip"
)

func forwarded(value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:1234"
	r.Header.Set("X-Forwarded-For", value)
	return r
}

// Only the last 32 addresses of X-Forwarded-For are read, even if all of them are trusted proxies.
func TestForwardedForIsReadToABound(t *testing.T) {
	proxies, err := clientip.ParseProxies([]string{"10.0.0.0/8"})
	require.NoError(t, err)
	for hops, want := range map[int]string{31: "203.0.113.9", 32: "10.1.0.0", 40: "10.1.0.8"} {
		list := []string{"203.0.113.9"}
		for n := range hops {
			list = append(list, fmt.Sprintf("10.1.0.%d", n))
		}
		require.Equal(t, want, proxies.Of(forwarded(strings.Join(list, ", "))).String(), "%d proxies", hops)
	}
}

// A zone names a network card of the sender's; it must not make another caller of the same address.
func TestZonesAreDropped(t *testing.T) {
	proxies, err := clientip.ParseProxies([]string{"10.0.0.0/8"})
	require.NoError(t, err)
	for _, text := range []string{"fe80::1%eth0", "[fe80::1%eth1]:443", "fe80::1"} {
		require.Equal(t, "fe80::1", proxies.Of(forwarded(text)).String())
	}
}

func TestTheSmallestLimit(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for perMinute, burst := range map[int]int{1: 1, 3: 1, 4: 1, 7: 1, 8: 2} {
		l, err := clientip.NewLimiter(perMinute, func() time.Time { return now })
		require.NoError(t, err)
		addr := netip.MustParseAddr("203.0.113.9")
		for range burst {
			_, ok := l.Allow(addr)
			require.True(t, ok, "%d a minute", perMinute)
		}
		wait, ok := l.Allow(addr)
		require.False(t, ok)
		require.InDelta(t, time.Minute/time.Duration(perMinute), wait, float64(time.Millisecond), "%d a minute", perMinute)
	}
}

// Two subscribers with neighboring networks have a limit each.
func TestNeighborsDoNotShareALimit(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l, err := clientip.NewLimiter(4, func() time.Time { return now })
	require.NoError(t, err)
	for _, text := range []string{"2001:db8:0:2::1", "2001:db8:0:3::1", "203.0.113.8", "203.0.113.9"} {
		_, ok := l.Allow(netip.MustParseAddr(text))
		require.True(t, ok, text)
	}
	_, ok := l.Allow(netip.MustParseAddr("2001:db8:0:2:ffff::"))
	require.False(t, ok, "the same subscriber")
}
