package local_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/internal/local"
)

func TestServe(t *testing.T) {
	hosts := local.NewHosts([]string{"sandbox", "Dev.Test:8090", "192.168.1.5", ""})
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8090": true, "LOCALHOST.": true, "app.localhost:3000": true, "127.0.0.1:8090": true, "127.9.9.9": true,
		"[::1]:8090": true, "[::1]": true, "::1": true, "[::ffff:127.0.0.1]:80": true, "0.0.0.0:8090": true, "[::]:8090": true,
		"sandbox:8090": true, "SANDBOX": true, "dev.test": true, "dev.test:1": true, "192.168.1.5:8090": true,
		"": false, ":8090": false, "evil.test": false, "rebind.evil.test:8090": false, "localhost.evil.test": false, "notlocalhost": false,
		"127.0.0.1.evil.test": false, "192.168.1.6": false, "sandbox.evil.test": false, "2130706433": false, "0x7f000001": false, "127.1": false,
	} {
		require.Equal(t, want, hosts.Serve(host), host)
	}
}

func TestOwn(t *testing.T) {
	hosts := local.NewHosts([]string{"sandbox"})
	for origin, want := range map[string]bool{
		"http://localhost:3000": true, "https://app.localhost": true, "http://127.0.0.1": true, "http://[::1]:5173": true, "http://sandbox:8090": true,
		"http://0.0.0.0:8090": true, // the same as the Host
		"http://evil.test":    false, "null": false, "": false, "file://": false, "http://localhost@evil.test": false, "http://localhost.evil.test": false,
		"chrome-extension://localhost": false, "http://u:p@localhost": false, "localhost:3000": false, "http://": false,
	} {
		require.Equal(t, want, hosts.Own(origin, "0.0.0.0:8090"), origin)
	}
	require.True(t, hosts.Named("http://sandbox"))
	require.False(t, hosts.Named("http://localhost"))
	require.False(t, hosts.Named("null"))
}
