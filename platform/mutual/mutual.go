// Package mutual secures gRPC between the processes of split mode by TLS in both directions: each side shows a certificate of one authority. The
// certificates are read again when their files change; connections that are open stay.
package mutual

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/trivet-dev/trivet/platform/settings"
)

// Settings say by which certificates a process is known, and which it accepts.
type Settings struct {
	// Cert and Key are the process's own.
	Cert string          `env:"TRIVET_GRPC_TLS_CERT" help:"certificate chain in PEM of this process, for TLS in both directions between the processes of split mode; usually given as TRIVET_GRPC_TLS_CERT_FILE, which is read again when it changes; its DNS names must contain the service's name (auth, ai, billing); empty means plain text"`
	Key  settings.Secret `env:"TRIVET_GRPC_TLS_KEY" help:"private key of TRIVET_GRPC_TLS_CERT in PEM; usually given as TRIVET_GRPC_TLS_KEY_FILE"`
	// CA signs the certificates of the others.
	CA string `env:"TRIVET_GRPC_TLS_CA" help:"certificates in PEM of the authority whose certificates callers and services must show; usually given as TRIVET_GRPC_TLS_CA_FILE; several while the authority changes"`
}

// Names are the settings that change with a certificate and hold no secret.
func Names() []string { return []string{"TRIVET_GRPC_TLS_CERT", "TRIVET_GRPC_TLS_CA"} }

// On reports whether any of the settings is set.
func (s Settings) On() bool { return s.Cert != "" || s.Key.IsSet() || s.CA != "" }

// Validate checks that the settings belong together.
func (s Settings) Validate(settings.Modes) error {
	if !s.On() {
		return nil
	}
	if s.Cert == "" || !s.Key.IsSet() || s.CA == "" {
		return settings.Invalid("TRIVET_GRPC_TLS_CERT", "must be set together with TRIVET_GRPC_TLS_KEY and TRIVET_GRPC_TLS_CA", "set all three, or none if the network itself encrypts")
	}
	_, err := s.parse()
	return err
}

// parsed are settings that can be used.
type parsed struct {
	certificate tls.Certificate
	authorities *x509.CertPool
}

func (s Settings) parse() (*parsed, error) {
	pair, err := tls.X509KeyPair([]byte(s.Cert), []byte(s.Key.Reveal()))
	if err != nil {
		return nil, settings.Invalid("TRIVET_GRPC_TLS_CERT", "cannot be used with TRIVET_GRPC_TLS_KEY: "+err.Error(),
			"give the certificate chain in PEM, the process's own certificate first, and its private key")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(s.CA)) {
		return nil, settings.Invalid("TRIVET_GRPC_TLS_CA", "has no certificate in PEM", "give the certificate of the authority that signs the processes' certificates")
	}
	return &parsed{certificate: pair, authorities: pool}, nil
}

// Certificate is the process's own certificate; nil when the settings are not set.
func (s Settings) Certificate() (*x509.Certificate, error) {
	if !s.On() {
		return nil, nil //nolint:nilnil // plain text
	}
	p, err := s.parse()
	if err != nil {
		return nil, err
	}
	return p.certificate.Leaf, nil
}

// TLS holds the certificates that are in use. A nil *TLS means plain text.
type TLS struct {
	now     func() time.Time
	present atomic.Pointer[parsed]
}

// New returns the TLS of settings; nil when they are not set.
func New(s Settings, now func() time.Time) (*TLS, error) {
	if !s.On() {
		return nil, nil //nolint:nilnil // plain text
	}
	p, err := s.parse()
	if err != nil {
		return nil, err
	}
	t := &TLS{now: now}
	t.present.Store(p)
	return t, nil
}

// Rotate uses other certificates for new connections. After an error the present ones stay.
func (t *TLS) Rotate(s Settings) error {
	if s.On() != (t != nil) {
		return errors.New("TRIVET_GRPC_TLS_CERT was set or removed: restart to change between TLS and plain text")
	}
	if t == nil {
		return nil
	}
	if err := s.Validate(nil); err != nil {
		return err
	}
	p, err := s.parse()
	if err == nil {
		t.present.Store(p)
	}
	return err
}

// Server returns the credentials of a listener: callers without a valid certificate of the authority are refused. It returns nil for plain text.
func (t *TLS) Server() credentials.TransportCredentials {
	if t == nil {
		return nil
	}
	return &live{tls: t}
}

// Client returns the credentials of a connection to a service: its certificate must be one of the authority, with the service's name among its DNS
// names. It returns nil for plain text.
func (t *TLS) Client(service string) credentials.TransportCredentials {
	if t == nil {
		return nil
	}
	return &live{tls: t, service: service}
}

// live are credentials that use the present certificates for each handshake.
type live struct {
	tls     *TLS
	service string // that is called
}

func (l *live) config() *tls.Config {
	p := l.tls.present.Load()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.certificate}, RootCAs: p.authorities, ClientCAs: p.authorities,
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: l.service, Time: l.tls.now,
		SessionTicketsDisabled: true, // a session would outlive a certificate
	}
}

func (l *live) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(l.config()).ClientHandshake(ctx, authority, conn)
}

func (l *live) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(l.config()).ServerHandshake(conn)
}

// Info describes the protocol.
func (l *live) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls", ServerName: l.service} //nolint:staticcheck // gRPC takes the name to verify from here
}

// Clone returns a copy.
func (l *live) Clone() credentials.TransportCredentials {
	c := *l
	return &c
}

// OverrideServerName changes which name the other side's certificate must have.
//
// Deprecated: grpc.WithAuthority is the way of grpc-go; the interface still has this method.
func (l *live) OverrideServerName(name string) error {
	l.service = name
	return nil
}
