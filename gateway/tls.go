package gateway

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/platform/settings"
)

// Limits of HTTP/2, which browsers and load balancers use over TLS.
const (
	// maxStreams bounds the concurrent requests of one connection.
	maxStreams = 100
	// pingAfter is the silence after which a connection is tested, and pingTimeout how long the answer may take.
	pingAfter, pingTimeout = 30 * time.Second, 15 * time.Second
)

// errPair says what the settings of TLS need.
var errPair = errors.New("gateway: TRIVET_TLS_CERT and TRIVET_TLS_KEY belong together: set both or none")

// validateTLS checks that the certificate and the key belong together.
func (c *Config) validateTLS() error {
	if c.TLSCert == "" && !c.TLSKey.IsSet() {
		return nil
	}
	if c.TLSCert == "" || !c.TLSKey.IsSet() {
		return settings.Invalid("TRIVET_TLS_CERT", "and TRIVET_TLS_KEY belong together, and only one of them is set", "set both, or none where a proxy ends TLS")
	}
	if _, err := c.certificate(); err != nil {
		return settings.Invalid("TRIVET_TLS_CERT", "cannot be used with TRIVET_TLS_KEY: "+err.Error(),
			"give the certificate chain in PEM, the server's own certificate first, and its private key")
	}
	return nil
}

// certificate returns the edge's certificate; nil without one.
func (c *Config) certificate() (*tls.Certificate, error) {
	if c.TLSCert == "" {
		return nil, nil //nolint:nilnil // a proxy ends TLS, or nothing does
	}
	pair, err := tls.X509KeyPair([]byte(c.TLSCert), []byte(c.TLSKey.Reveal()))
	return &pair, err
}

// CertificateNames are the settings that change with a certificate and hold no secret.
func CertificateNames() []string { return []string{"TRIVET_TLS_CERT"} }

// TLS reports whether the edge answers HTTPS.
func (c *Config) TLS() bool { return c.TLSCert != "" }

// TLS reports whether the edge answers HTTPS.
func (g *Gateway) TLS() bool { return g.certificate.Load() != nil }

// Rotate uses the certificate of a configuration for new connections. Only the certificate and its key may differ from the present
// configuration. After an error the present certificate stays.
func (g *Gateway) Rotate(config Config) error {
	if config.TLS() != (g.certificate.Load() != nil) {
		return errPair
	}
	made, err := config.certificate()
	if err != nil {
		return err
	}
	g.certificate.Store(made)
	return nil
}

// serveOn answers on a listener, over TLS if there is a certificate.
func (g *Gateway) serveOn(server *http.Server, listener net.Listener) error {
	if g.certificate.Load() == nil {
		return server.Serve(listener)
	}
	server.TLSConfig = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.certificate.Load(), nil },
	}
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: g.config.WriteTimeout}
	return server.ServeTLS(listener, "", "")
}
