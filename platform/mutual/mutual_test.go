package mutual_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/trivet-dev/trivet/platform/mutual"
	"github.com/trivet-dev/trivet/platform/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority signs certificates.
type authority struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	signer *x509.Certificate
	pem    string
	serial atomic.Int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.signer, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// settings are those of a process with a name, whose certificate is valid until a time.
func (a *authority) settings(name string, until time.Time) mutual.Settings {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial.Add(1) + 1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.signer, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	return mutual.Settings{
		Cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), CA: a.pem,
		Key: settings.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))),
	}
}

func made(t *testing.T, s mutual.Settings) *mutual.TLS {
	t.Helper()
	require.NoError(t, s.Validate(nil))
	out, err := mutual.New(s, time.Now)
	require.NoError(t, err)
	return out
}

// serve answers the health service until the test ends.
func serve(t *testing.T, s *mutual.TLS) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.Creds(s.Server()))
	healthv1.RegisterHealthServer(server, health.NewServer())
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	return listener.Addr().String()
}

func dial(t *testing.T, address string, c credentials.TransportCredentials) healthv1.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return healthv1.NewHealthClient(conn)
}

func ask(c healthv1.HealthClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := c.Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}

// Only a caller with a valid certificate of the authority is served, and only a service with one, and with its name, is called.
func TestBothSidesShowACertificate(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	bare := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	mixed := other.settings("gateway", later)
	mixed.CA = a.pem
	const refused = "refused by the service" // what the caller learns of it differs by timing
	for name, c := range map[string]struct {
		service mutual.Settings
		caller  credentials.TransportCredentials
		want    string
	}{
		"both":                                    {a.settings("auth", later), made(t, a.settings("gateway", later)).Client("auth"), ""},
		"plain text":                              {a.settings("auth", later), insecure.NewCredentials(), refused},
		"no certificate":                          {a.settings("auth", later), bare, refused},
		"another authority's caller":              {a.settings("auth", later), made(t, mixed).Client("auth"), refused},
		"an expired caller":                       {a.settings("auth", later), made(t, a.settings("gateway", past)).Client("auth"), refused},
		"an expired service":                      {a.settings("auth", past), made(t, a.settings("gateway", later)).Client("auth"), "certificate has expired"},
		"another authority's service":             {other.settings("auth", later), made(t, a.settings("gateway", later)).Client("auth"), "unknown authority"},
		"a service with another service's name":   {a.settings("ai", later), made(t, a.settings("gateway", later)).Client("auth"), "not auth"},
		"a service that may only be a caller too": {a.settings("gateway", later), made(t, a.settings("gateway", later)).Client("auth"), "not auth"},
	} {
		t.Run(name, func(t *testing.T) {
			err := ask(dial(t, serve(t, made(t, c.service)), c.caller))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
			if c.want != refused {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

// A certificate is replaced without a connection being cut: calls of an open connection continue, and new connections use the new one.
func TestCertificatesAreReplaced(t *testing.T) {
	old, fresh := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	service, caller := made(t, old.settings("auth", later)), made(t, old.settings("gateway", later))
	address := serve(t, service)
	open := dial(t, address, caller.Client("auth"))
	require.NoError(t, ask(open))
	both := func(s mutual.Settings) mutual.Settings { // while the authority changes, both are accepted
		s.CA = old.pem + fresh.pem
		return s
	}
	require.NoError(t, service.Rotate(both(fresh.settings("auth", later))))
	require.NoError(t, ask(open), "the open connection stays")
	require.ErrorContains(t, ask(dial(t, address, caller.Client("auth"))), "unknown authority", "the caller does not know the new authority")
	require.NoError(t, caller.Rotate(both(fresh.settings("gateway", later))))
	require.NoError(t, ask(dial(t, address, caller.Client("auth"))))
	require.NoError(t, service.Rotate(fresh.settings("auth", later)))
	require.NoError(t, ask(dial(t, address, caller.Client("auth"))))
	require.Error(t, ask(dial(t, address, made(t, both(old.settings("gateway", later))).Client("auth"))), "the old authority is gone")
	require.NoError(t, ask(open))

	wrong := fresh.settings("auth", later)
	wrong.Key = old.settings("auth", later).Key
	require.ErrorContains(t, service.Rotate(wrong), "TRIVET_GRPC_TLS_CERT")
	require.NoError(t, ask(dial(t, address, caller.Client("auth"))), "the earlier certificate stays")
	require.ErrorContains(t, service.Rotate(mutual.Settings{}), "restart")
	require.ErrorContains(t, (*mutual.TLS)(nil).Rotate(wrong), "restart")
	require.NoError(t, (*mutual.TLS)(nil).Rotate(mutual.Settings{}))
}

// The clock decides whether a certificate is valid.
func TestAFutureCertificateIsRefused(t *testing.T) {
	a := newAuthority(t)
	s := a.settings("auth", time.Now().Add(time.Hour))
	early, err := mutual.New(a.settings("gateway", time.Now().Add(time.Hour)), func() time.Time { return time.Now().Add(-3 * time.Hour) })
	require.NoError(t, err)
	require.ErrorContains(t, ask(dial(t, serve(t, made(t, s)), early.Client("auth"))), "not yet valid")
}

func TestSettings(t *testing.T) {
	a := newAuthority(t)
	good := a.settings("auth", time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		change func(*mutual.Settings)
		want   string
	}{
		"all":               {func(*mutual.Settings) {}, ""},
		"none":              {func(s *mutual.Settings) { *s = mutual.Settings{} }, ""},
		"no certificate":    {func(s *mutual.Settings) { s.Cert = "" }, "must be set together"},
		"no key":            {func(s *mutual.Settings) { s.Key = settings.Secret{} }, "must be set together"},
		"no authority":      {func(s *mutual.Settings) { s.CA = "" }, "must be set together"},
		"only an authority": {func(s *mutual.Settings) { *s = mutual.Settings{CA: s.CA} }, "must be set together"},
		"another key":       {func(s *mutual.Settings) { s.Key = a.settings("ai", time.Now()).Key }, "TRIVET_GRPC_TLS_CERT: cannot be used with"},
		"no PEM":            {func(s *mutual.Settings) { s.CA = "x" }, "TRIVET_GRPC_TLS_CA: has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			c.change(&s)
			err := s.Validate(nil)
			if c.want == "" {
				require.NoError(t, err)
				got, err := mutual.New(s, time.Now)
				require.NoError(t, err)
				require.Equal(t, s.On(), got.Server() != nil)
				require.Equal(t, s.On(), got.Client("auth") != nil)
				leaf, err := s.Certificate()
				require.NoError(t, err)
				require.Equal(t, s.On(), leaf != nil)
				return
			}
			require.ErrorContains(t, err, c.want)
			_, err = mutual.New(s, time.Now)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "PRIVATE KEY")
		})
	}
}
