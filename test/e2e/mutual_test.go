package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificates writes the certificate, the key and the authority of all processes into files, and returns the settings that name them.
func certificates(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, &signer.PublicKey, signer)
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	own := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "trivet"}, DNSNames: []string{"auth", "ai", "billing"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, own, authority, &key.PublicKey, signer)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return []string{
		"TRIVET_GRPC_TLS_CERT_FILE=" + write("tls.crt", "CERTIFICATE", leaf), "TRIVET_GRPC_TLS_KEY_FILE=" + write("tls.key", "PRIVATE KEY", raw),
		"TRIVET_GRPC_TLS_CA_FILE=" + write("ca.crt", "CERTIFICATE", ca),
	}
}

// The processes of split mode reach each other by TLS in both directions, and a caller without a certificate is refused.
func TestTLSBetweenServices(t *testing.T) {
	in := split(t, certificates(t)...)
	in.awaitReport(func(s statusReport) bool {
		return s.Services["auth"] == "operational" && s.Services["ai"] == "operational" && s.Services["billing"] == "operational"
	})
	in.account(in.token("user_alice", nil)) // the edge asks auth and billing
	at := slices.IndexFunc(in.grpc, func(setting string) bool { return strings.HasPrefix(setting, "TRIVET_AUTH_ADDR=") })
	_, address, _ := strings.Cut(in.grpc[at], "=")
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}}).DialContext(t.Context(), "tcp", address)
	if err == nil {
		_, err = conn.Read(make([]byte, 1)) // TLS 1.3 tells of the refusal after the handshake
		require.NoError(t, conn.Close())
	}
	require.ErrorContains(t, err, "certificate required")
}
