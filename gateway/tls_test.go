package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/platform/settings"
)

// certified returns settings with a certificate of their own, and the pool that trusts it.
func certified(t *testing.T, name string) (func(*gateway.Config), *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	made := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(chain))
	return func(c *gateway.Config) {
		c.TLSCert, c.TLSKey = string(chain), settings.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	}, pool
}

// asks makes one request over a new connection and returns the protocol.
func asks(t *testing.T, url string, pool *x509.CertPool, version uint16, http2 bool) (string, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MaxVersion: version}, ForceAttemptHTTP2: http2}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/healthz", http.NoBody)
	require.NoError(t, err)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	require.Equal(t, http.StatusOK, response.StatusCode)
	return response.Proto, response.Body.Close()
}

// The edge answers HTTPS by HTTP/2 and HTTP/1.1, refuses old versions of TLS and plain HTTP, and uses a new certificate for new connections.
func TestEdgeEndsTLS(t *testing.T) {
	first, trustsFirst := certified(t, "first")
	second, trustsSecond := certified(t, "second")
	var config gateway.Config
	s := serve(t, "", func(c *gateway.Config) {
		first(c)
		config = *c
	})
	url := "https" + s.url[len("http"):]
	for want, http2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		proto, err := asks(t, url, trustsFirst, 0, http2)
		require.NoError(t, err)
		require.Equal(t, want, proto)
	}
	_, err := asks(t, url, trustsFirst, tls.VersionTLS11, false)
	require.Error(t, err)
	_, err = asks(t, url, trustsSecond, 0, true)
	require.Error(t, err)

	changed := config
	second(&changed)
	require.NoError(t, s.gateway.Rotate(changed))
	_, err = asks(t, url, trustsSecond, 0, true)
	require.NoError(t, err)
	for name, wrong := range map[string]gateway.Config{
		"another key": {TLSCert: changed.TLSCert, TLSKey: config.TLSKey}, "no certificate": {}, "no PEM": {TLSCert: "x", TLSKey: config.TLSKey},
	} {
		require.Error(t, s.gateway.Rotate(wrong), name)
	}
	_, err = asks(t, url, trustsSecond, 0, true)
	require.NoError(t, err, "a refused certificate changes nothing")
	s.stop()
	require.NoError(t, <-s.done)
}

func TestEdgeWithoutTLSStaysSo(t *testing.T) {
	s := serve(t, "", nil)
	change, _ := certified(t, "late")
	var config gateway.Config
	change(&config)
	require.ErrorContains(t, s.gateway.Rotate(config), "belong together")
	require.NoError(t, s.gateway.Rotate(gateway.Config{}))
	require.Equal(t, 200, s.do(t, http.MethodGet, "/healthz", "").status)
	s.stop()
	require.NoError(t, <-s.done)
}

func TestTLSSettings(t *testing.T) {
	good, _ := certified(t, "good")
	other, _ := certified(t, "other")
	for name, change := range map[string]func(*gateway.Config){
		"only one of them is set":            func(c *gateway.Config) { good(c); c.TLSKey = settings.Secret{} },
		"belong together":                    func(c *gateway.Config) { good(c); c.TLSCert = "" },
		"cannot be used with TRIVET_TLS_KEY": func(c *gateway.Config) { good(c); cert := c.TLSCert; other(c); c.TLSCert = cert },
	} {
		var c gateway.Config
		change(&c)
		err := c.Validate(nil)
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "PRIVATE")
	}
	var c gateway.Config
	good(&c)
	require.NoError(t, c.Validate(nil))
}
