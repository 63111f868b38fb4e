package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/sandbox/email"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

// What the mail server of a test gets, and repeats in its replies.
const (
	canaryPassword  = "canary-smtp-0123456789"
	canaryRecipient = "canary-mail@example.test"
)

// Nothing that the four processes log, measure, answer or store has the password of the mail server, the address or the text of a mail, although the
// server repeats them in each refusal.
func TestCanariesOfMailsInSplitMode(t *testing.T) {
	server, settings := canaryMailServer(t)
	b := audit{t: t, url: databasetest.PostgresURL(t)}
	in := split(t, append(settings,
		"DATABASE_URL="+b.url, "TRIVET_OPERATORS=user_operator", "CORS_ALLOWED_ORIGINS=https://app.example.com", "SMTP_PROBE_INTERVAL=0s",
		"SMTP_BREAKER_FAILURES=0", "TRIVET_INBOX_RETRY_CAP=1s",
	)...)
	in.applyPlans()
	p := in.newPayer("user_payer", canaryRecipient)
	var answers strings.Builder
	states := func() { _, _ = fmt.Fprint(&answers, in.mails("?pageSize=500")) }
	repeated := strings.Join([]string{canaryPassword, canaryRecipient, "A payment of"}, " ")
	for i, path := range []string{"/auth", "/mail", "/rcpt", "/data"} {
		_, err := server.Faults().Add(fault.Fault{Kind: fault.Status, Path: path, Status: 550, Body: "5.7.1 " + repeated, Count: 1})
		require.NoError(t, err)
		require.NoError(t, p.refund())
		require.Eventually(t, func() bool { return server.Faults().Struck() == i+1 }, 2*time.Minute, 20*time.Millisecond, path)
		states()
	}
	require.NoError(t, p.refund())
	require.Eventually(t, func() bool { return len(server.Mails()) > 0 }, time.Minute, 20*time.Millisecond, "the server works")
	states()
	for _, ops := range in.ops {
		response, err := http.Get(ops + "/metrics")
		require.NoError(t, err)
		answers.WriteString(readAll(t, response))
		require.NoError(t, response.Body.Close())
	}
	for _, service := range []string{"auth", "ai", "billing"} {
		answers.WriteString(b.everyRow(service))
	}
	require.Contains(t, answers.String(), "the mail server answered 550")
	for _, canary := range []string{canaryPassword, "canary-mail", "A payment of"} {
		require.NotContains(t, in.log.String(), canary)
		require.NotContains(t, answers.String(), canary)
		require.NotContains(t, answers.String(), hex.EncodeToString([]byte(canary)), "columns of bytes are shown in hexadecimal digits")
	}
	in.stop()
	require.NotContains(t, in.log.String(), "canary-")
}

// canaryMailServer starts a mail server with TLS and a password, and returns the settings that use it.
func canaryMailServer(t *testing.T) (server *email.Fake, settings []string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	server = email.New(email.Config{TLS: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, Username: "trivet", Password: canaryPassword})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return server, []string{
		"SSL_CERT_FILE=" + authority, "SMTP_ADDR=" + listener.Addr().String(), "SMTP_USERNAME=trivet", "SMTP_PASSWORD=" + canaryPassword,
		"SMTP_FROM=Acme <billing@acme.test>",
	}
}

// everyRow is what a service has stored, as text.
func (b audit) everyRow(service string) string {
	b.t.Helper()
	db, end := b.open(service)
	defer end()
	var all strings.Builder
	for _, table := range b.query(db, "SELECT table_name, '' FROM information_schema.tables WHERE table_schema = current_schema()") {
		for _, row := range b.query(db, "SELECT t::text, '' FROM "+table.id+" t") {
			all.WriteString(row.id + "\n")
		}
	}
	require.NotEmpty(b.t, all.String())
	return all.String()
}
