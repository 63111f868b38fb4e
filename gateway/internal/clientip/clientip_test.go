package clientip_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/clientip"
)

func TestOf(t *testing.T) {
	proxies, err := clientip.ParseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"})
	require.NoError(t, err)
	cases := map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                    {"198.51.100.1:1234", nil, "198.51.100.1"},
		"an untrusted peer's header":  {"198.51.100.1:1234", []string{"203.0.113.9"}, "198.51.100.1"},
		"one proxy":                   {"10.1.2.3:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"the client's own entry":      {"10.1.2.3:1", []string{"1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		"two proxies":                 {"10.1.2.3:1", []string{"1.1.1.1, 203.0.113.9, 192.0.2.7"}, "203.0.113.9"},
		"in two headers":              {"10.1.2.3:1", []string{"1.1.1.1", "203.0.113.9"}, "203.0.113.9"},
		"only proxies":                {"10.1.2.3:1", []string{"10.9.9.9"}, "10.9.9.9"},
		"no header":                   {"10.1.2.3:1", nil, "10.1.2.3"},
		"invalid entry ends the list": {"10.1.2.3:1", []string{"203.0.113.9, unknown, 10.9.9.9"}, "10.9.9.9"},
		"with a port":                 {"10.1.2.3:1", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		"IPv6":                        {"[2001:db8:1::5]:1", []string{"2001:db8:2::9"}, "2001:db8:2::9"},
		"IPv4 in IPv6":                {"[::ffff:10.1.2.3]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"very many hops":              {"10.1.2.3:1", []string{"203.0.113.9" + strings.Repeat(", 10.0.0.1", 100)}, "10.0.0.1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tc.peer
			if tc.forwarded != nil {
				r.Header["X-Forwarded-For"] = tc.forwarded
			}
			require.Equal(t, tc.want, proxies.Of(r).String())
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "@"
	require.False(t, proxies.Of(r).IsValid(), "a Unix socket has no address")
}

func TestSecure(t *testing.T) {
	proxies, err := clientip.ParseProxies([]string{"10.0.0.0/8"})
	require.NoError(t, err)
	const proxy, stranger = "10.1.2.3:1", "198.51.100.1:1"
	for name, tc := range map[string]struct {
		peer string
		tls  bool
		said []string
		want bool
	}{
		"TLS here":                   {stranger, true, nil, true},
		"TLS here, header differs":   {stranger, true, []string{"http"}, true},
		"TLS at a proxy":             {proxy, false, []string{"https"}, true},
		"TLS at a proxy, upper case": {proxy, false, []string{"HTTPS"}, true},
		"no header":                  {proxy, false, nil, false},
		"empty value":                {proxy, false, []string{""}, false},
		"no TLS at a proxy":          {proxy, false, []string{"http"}, false},
		"two, the first good":        {proxy, false, []string{"https", "http"}, false},
		"two, the last good":         {proxy, false, []string{"http", "https"}, false},
		"two, both good":             {proxy, false, []string{"https", "https"}, false},
		"a list":                     {proxy, false, []string{"https, http"}, false},
		"another word":               {proxy, false, []string{"httpss"}, false},
		"an untrusted peer":          {stranger, false, []string{"https"}, false},
		"no address":                 {"@", false, []string{"https"}, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr, r.TLS = tc.peer, nil
		if tc.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if tc.said != nil {
			r.Header["X-Forwarded-Proto"] = tc.said
		}
		require.Equal(t, tc.want, proxies.Secure(r), name)
	}
}

// A server that ends TLS itself needs no trusted proxy.
func TestSecureOverTLS(t *testing.T) {
	var secure []bool
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { secure = append(secure, clientip.Proxies(nil).Secure(r)) })
	for _, server := range []*httptest.Server{httptest.NewTLSServer(handler), httptest.NewServer(handler)} {
		resp, err := server.Client().Get(server.URL)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		server.Close()
	}
	require.Equal(t, []bool{true, false}, secure)
}

func TestParseProxies(t *testing.T) {
	for _, bad := range []string{"", "10.0.0.0/40", "proxy.local", "*"} {
		_, err := clientip.ParseProxies([]string{bad})
		require.ErrorContains(t, err, "neither an address nor a network")
	}
}

func TestLimiter(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	limiter, err := clientip.NewLimiter(60, func() time.Time { return now })
	require.NoError(t, err)
	one, two := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	for range 15 {
		_, ok := limiter.Allow(one)
		require.True(t, ok, "a burst of a quarter minute")
	}
	wait, ok := limiter.Left(one)
	require.False(t, ok)
	require.Equal(t, time.Second, wait)
	wait, ok = limiter.Allow(one)
	require.False(t, ok)
	require.Equal(t, time.Second, wait)
	wait, ok = limiter.Allow(one)
	require.False(t, ok)
	require.Equal(t, time.Second, wait, "a refused request is not counted")
	_, ok = limiter.Allow(two)
	require.True(t, ok, "other addresses have their own limit")
	now = now.Add(time.Second)
	for range 3 {
		_, ok = limiter.Left(one)
		require.True(t, ok, "Left does not count")
	}
	_, ok = limiter.Allow(one)
	require.True(t, ok)
	_, ok = limiter.Allow(one)
	require.False(t, ok)
}

func TestLimiterSharesAnIPv6Subscriber(t *testing.T) {
	limiter, err := clientip.NewLimiter(4, time.Now)
	require.NoError(t, err)
	_, ok := limiter.Allow(netip.MustParseAddr("2001:db8:1:1::1"))
	require.True(t, ok)
	_, ok = limiter.Allow(netip.MustParseAddr("2001:db8:1:1::2"))
	require.False(t, ok, "one subscriber has a whole /64")
	_, ok = limiter.Allow(netip.MustParseAddr("2001:db8:1:2::1"))
	require.True(t, ok)
}

func TestLimiterExceptions(t *testing.T) {
	off, err := clientip.NewLimiter(0, time.Now)
	require.NoError(t, err)
	strict, err := clientip.NewLimiter(1, time.Now)
	require.NoError(t, err)
	for range 5 {
		_, ok := off.Allow(netip.MustParseAddr("198.51.100.1"))
		require.True(t, ok)
		_, ok = strict.Allow(netip.MustParseAddr("127.0.0.1"))
		require.True(t, ok, "loopback")
		_, ok = strict.Allow(netip.MustParseAddr("::1"))
		require.True(t, ok, "loopback")
		_, ok = strict.Left(netip.Addr{})
		require.True(t, ok)
		_, ok = strict.Allow(netip.Addr{})
		require.True(t, ok, "a peer without an address")
	}
}
