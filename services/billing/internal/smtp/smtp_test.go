package smtp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/email"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/smtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "ann-canary@example.test"

// server is a mail server with what a client needs.
type server struct {
	*email.Fake
	config smtp.Config
	log    bytes.Buffer
	health *health.Provider
}

// newServer starts a mail server. encrypted offers TLS and asks for a password; implicit encrypts from the first byte.
func newServer(t *testing.T, encrypted, implicit bool) *server {
	t.Helper()
	s := &server{health: health.NewProvider(time.Now)}
	certificate, roots := certificate(t)
	config := email.Config{}
	if encrypted {
		config = email.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Username: "trivet", Password: "pass-canary"}
	}
	s.Fake = email.New(config)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.config = smtp.Config{Addr: listener.Addr().String(), TLS: smtp.Plain, From: "Acme <billing@acme.test>", ReplyTo: "help@acme.test", Health: s.health}
	if encrypted {
		s.config.TLS, s.config.Username, s.config.Password = smtp.StartTLS, "trivet", settings.NewLive(settings.NewSecret("pass-canary"))
		s.config.TLSConfig = &tls.Config{RootCAs: roots}
	}
	if implicit {
		s.config.TLS = smtp.Implicit
		listener = s.Implicit(listener)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	s.config.Calls = s.calls(t, 100)
	return s
}

// calls counts calls, and stops them after failures.
func (s *server) calls(t *testing.T, failures int) *provider.Transport {
	t.Helper()
	calls, err := provider.New(provider.Config{Integration: "email", Breaker: provider.Breaker{Failures: failures}}, slog.New(slog.NewTextHandler(&s.log, nil)), noop.Meter{})
	require.NoError(t, err)
	return calls
}

func (s *server) client(t *testing.T) *smtp.Client {
	t.Helper()
	client, err := smtp.New(s.config)
	require.NoError(t, err)
	return client
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func mail() smtp.Mail {
	return smtp.Mail{
		ID: "ntc_1", To: canary, Subject: "Zahlung fällig – €20", Text: "A text-canary.\n\nÜber 20 €\n", HTML: "<p>Über 20&nbsp;€</p>\n", Date: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
	}
}

func TestAMailIsSent(t *testing.T) {
	for name, mode := range map[string][2]bool{"plain": {false, false}, "STARTTLS": {true, false}, "TLS": {true, true}} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, mode[0], mode[1])
			client := s.client(t)
			require.NoError(t, client.Check(t.Context()))
			require.Empty(t, s.Mails(), "a check sends no mail")
			require.NoError(t, client.Send(t.Context(), mail()))
			require.Len(t, s.Mails(), 1)
			got := s.Mails()[0]
			require.Equal(t, "billing@acme.test", got.From)
			require.Equal(t, []string{canary}, got.To)
			require.Equal(t, "Zahlung fällig – €20", got.Subject)
			require.Equal(t, "<ntc_1@acme.test>", got.MessageID)
			require.Equal(t, "A text-canary.\n\nÜber 20 €\n", got.Text)
			require.Equal(t, "<p>Über 20&nbsp;€</p>\n", got.HTML)
			require.Equal(t, "<mailto:help@acme.test?subject=unsubscribe>", got.Unsubscribe)
			require.Equal(t, mode[0], got.Encrypted)
			require.Equal(t, health.Operational, s.health.Condition().GetStatus())
			require.Contains(t, s.log.String(), "integration=email method=send status=250 success=true")
			require.NotContains(t, s.log.String(), "canary")
		})
	}
}

// Each reply and each break is told by its kind, and no error or log line has an address, the text or the password.
func TestAMailIsNotSent(t *testing.T) {
	status := func(path string, code int) fault.Fault {
		return fault.Fault{Kind: fault.Status, Path: path, Status: code}
	}
	says := func(path string, code int, text string) fault.Fault {
		return fault.Fault{Kind: fault.Status, Path: path, Status: code, Body: text}
	}
	for name, c := range map[string]struct {
		fault              fault.Fault
		stage              string
		code               int
		permanent, unknown bool
		taken              int
		outcome            string
		good               bool
	}{
		"no such mailbox":              {status("/rcpt", 550), "rcpt", 550, true, false, 0, "client_error", true},
		"greylisting":                  {fault.Fault{Kind: fault.RateLimit, Path: "/rcpt"}, "rcpt", 450, false, false, 0, "rate_limited", true},
		"a full disk":                  {status("/rcpt", 452), "rcpt", 452, false, false, 0, "rate_limited", true},
		"a text of a wrong form":       {says("/data", 554, "5.6.0 no"), "data", 554, true, false, 0, "client_error", true},
		"a recipient that is refused":  {says("/rcpt", 554, "5.7.1 no"), "rcpt", 554, false, false, 0, "client_error", true},
		"a sender that is not found":   {says("/rcpt", 554, "5.1.8 no"), "rcpt", 554, false, false, 0, "server_error", false},
		"a sender that is unverified":  {says("/data", 554, "Message rejected: not verified"), "data", 554, false, false, 0, "server_error", false},
		"a local error":                {status("/data", 451), "data", 451, false, false, 0, "rate_limited", true},
		"a sender that is refused":     {status("/mail", 553), "mail", 553, false, false, 0, "server_error", false},
		"a server that closes":         {status("/mail", 421), "mail", 421, false, false, 0, "server_error", false},
		"no service":                   {status("/connect", 554), "connect", 554, false, false, 0, "server_error", false},
		"a greeting that is refused":   {status("/ehlo", 550), "connect", 550, false, false, 0, "server_error", false},
		"a wrong password":             {status("/auth", 535), "connect", 535, false, false, 0, "server_error", false},
		"a cut connection":             {fault.Fault{Kind: fault.Close, Path: "/connect"}, "connect", 0, false, false, 0, "failed", false},
		"a cut before the sender":      {fault.Fault{Kind: fault.Close, Path: "/mail"}, "mail", 0, false, false, 0, "failed", false},
		"a cut after the text":         {fault.Fault{Kind: fault.Close, Path: "/data"}, "data", 0, false, true, 0, "failed", false},
		"a mail that is taken, unsaid": {fault.Fault{Kind: fault.CommitTimeout, Path: "/data"}, "data", 0, false, true, 1, "failed", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, true, false)
			_, err := s.Faults().Add(c.fault)
			require.NoError(t, err)
			err = s.client(t).Send(t.Context(), mail())
			told := (*smtp.Error)(nil)
			require.ErrorAs(t, err, &told)
			require.Equal(t, c.stage, told.Stage, "%v", err)
			require.Equal(t, c.code, told.Code)
			require.Equal(t, c.permanent, told.Permanent)
			require.Equal(t, c.unknown, told.Unknown)
			require.Len(t, s.Mails(), c.taken)
			require.Contains(t, s.log.String(), "outcome="+c.outcome)
			require.NotContains(t, s.log.String()+err.Error(), "canary")
			require.NotContains(t, err.Error(), "sandbox", "the server's text may have addresses")
			want := health.Degraded
			if c.good {
				want = health.Operational
			}
			require.Equal(t, want, s.health.Condition().GetStatus())
			s.Faults().Clear()
			require.NoError(t, s.client(t).Send(t.Context(), mail()))
		})
	}
}

// What a refusal means for this mail and for others.
type meaning int

const (
	dead  meaning = iota // the mail is refused for good
	one                  // this recipient is refused, perhaps for a time
	every                // every mail is refused until an operator has corrected the cause
)

// A refusal is permanent only if it concerns the recipient or the text. One at the recipient that may also concern the sender concerns one recipient at first.
func TestRefusalsAreTold(t *testing.T) {
	for _, c := range []struct {
		path  string
		code  int
		text  string
		means meaning
	}{
		{"/rcpt", 550, "", dead}, // the sandbox's own text
		{"/rcpt", 550, "no such user", dead},
		{"/rcpt", 551, "user not local", dead},
		{"/rcpt", 553, "mailbox name not allowed", dead},
		{"/rcpt", 550, "no such user, ask 5.7.1.9", dead}, // the address of a host, not a status
		{"/rcpt", 550, "5.7.1.9 refused you", dead},
		{"/rcpt", 550, "4.7.1 contradicts itself", dead},
		{"/rcpt", 552, "over quota", one},
		{"/rcpt", 554, "relay access denied", one},
		{"/rcpt", 554, "no such user, ask 5.1.1.9", one},
		{"/rcpt", 530, "sign in first", every},
		{"/rcpt", 530, "5.7.0 authentication required", every},
		{"/rcpt", 503, "5.7.0 send MAIL first", every},
		{"/rcpt", 503, "5.5.1 MAIL comes first", every},
		{"/rcpt", 550, "5.1.1", dead},
		{"/rcpt", 550, "5.1.1 no such user", dead},
		{"/rcpt", 501, "5.1.3 bad address", dead},
		{"/rcpt", 550, "5.1.6 moved", dead},
		{"/rcpt", 556, "5.1.10 takes no mail", dead},
		{"/rcpt", 550, "5.1.0 rejected", one},
		{"/rcpt", 550, "5.1.7 bad sender", every},
		{"/rcpt", 550, "5.1.8 sender's domain not found", every},
		{"/rcpt", 554, "5.2.1 mailbox disabled", dead},
		{"/rcpt", 552, "5.2.2 mailbox full", dead},
		{"/rcpt", 550, "5.0.0 refused", one},
		{"/rcpt", 550, "5.3.4 too large", one},
		{"/rcpt", 550, "5.4.1 access denied", one},
		{"/rcpt", 550, "5.7.1 client host blocked", one},
		{"/rcpt", 553, "5.7.1 sender not owned", one},
		{"/rcpt", 550, "5.7.23 SPF", one},
		{"/rcpt", 550, "5.12.1 unknown subject", one},
		{"/rcpt", 550, "5.22.1 unknown subject", one},
		{"/data", 550, "", every},
		{"/data", 550, "refused", every},
		{"/data", 552, "too large", every},
		{"/data", 554, "Message rejected: Email address is not verified.", every},
		{"/data", 552, "5.2.3 too large for the mailbox", dead},
		{"/data", 552, "5.3.4 too large", dead},
		{"/data", 554, "5.6.0 malformed", dead},
		{"/data", 554, "5.6.9 no SMTPUTF8", dead},
		{"/data", 550, "5.1.1 no such user", every},
		{"/data", 552, "5.2.2 mailbox full", every},
		{"/data", 554, "5.3.0 refused", every},
		{"/data", 554, "5.7.1 refused", every},
		{"/data", 550, "5.7.26 not authenticated", every},
		{"/mail", 550, "5.1.1 no such user", every},
		{"/mail", 553, "5.1.8 sender's domain not found", every},
	} {
		t.Run(fmt.Sprintf("%s %d %s", c.path[1:], c.code, c.text), func(t *testing.T) {
			s := newServer(t, false, false)
			s.config.Calls = s.calls(t, 1)
			_, err := s.Faults().Add(fault.Fault{Kind: fault.Status, Path: c.path, Status: c.code, Body: c.text})
			require.NoError(t, err)
			client := s.client(t)
			told := (*smtp.Error)(nil)
			require.ErrorAs(t, client.Send(t.Context(), mail()), &told)
			require.Equal(t, c.code, told.Code)
			require.Equal(t, c.means == dead, told.Permanent)
			require.Equal(t, c.means == one, told.Single)
			condition, outcome := health.Degraded, "server_error"
			if c.means != every {
				condition, outcome = health.Operational, "client_error"
			}
			require.Equal(t, condition, s.health.Condition().GetStatus())
			require.Contains(t, s.log.String(), "outcome="+outcome)
			s.Faults().Clear()
			err = client.Send(t.Context(), mail())
			if c.means != every {
				require.NoError(t, err, "other mails are sent")
				return
			}
			open := (*provider.OpenError)(nil)
			require.ErrorAs(t, err, &open, "the breaker counts it")
		})
	}
}

// A caller that leaves ends the connection, and says nothing about the server.
func TestAHangEndsWithItsCaller(t *testing.T) {
	for _, path := range []string{"/connect", "/ehlo", "/mail", "/data"} {
		s := newServer(t, false, false)
		_, err := s.Faults().Add(fault.Fault{Kind: fault.Hang, Path: path})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		client := s.client(t)
		go func() { done <- client.Send(ctx, mail()) }()
		require.Eventually(t, func() bool { return s.Faults().Struck() == 1 }, 30*time.Second, time.Millisecond)
		cancel()
		require.Error(t, <-done)
		require.NotEqual(t, health.Degraded, s.health.Condition().GetStatus())
	}
}

func TestEncryptionIsRequired(t *testing.T) {
	s := newServer(t, false, false) // it offers no STARTTLS
	s.config.TLS = smtp.StartTLS
	err := s.client(t).Send(t.Context(), mail())
	require.ErrorContains(t, err, "the server does not offer STARTTLS")
	require.Empty(t, s.Mails())

	s = newServer(t, true, false)
	s.config.TLSConfig = nil // a certificate that nobody vouches for
	err = s.client(t).Send(t.Context(), mail())
	require.ErrorContains(t, err, "the server's certificate is not valid")
}

func TestMailPasswordsRotate(t *testing.T) {
	s := newServer(t, true, false)
	s.config.Password = settings.NewLive(settings.NewSecret("old-canary"))
	client := s.client(t)
	require.ErrorContains(t, client.Check(t.Context()), "the mail server answered 535 to the connection")
	s.config.Password.Replace(settings.NewSecrets("pass-canary"))
	require.NoError(t, client.Check(t.Context()), "the password is read for each connection")
}

func TestWrongAddresses(t *testing.T) {
	s := newServer(t, false, false)
	for _, to := range []string{"", "ann", "ann@example.test\r\nBcc: eve@example.test", "Ann <ann@example.test>, eve@example.test"} {
		m := mail()
		m.To = to
		told := (*smtp.Error)(nil)
		require.ErrorAs(t, s.client(t).Send(t.Context(), m), &told)
		require.True(t, told.Permanent)
		require.Equal(t, "the recipient's address failed: it is not a mail address", told.Error())
	}
	require.Empty(t, s.Mails())
	for _, wrong := range []smtp.Config{
		{Addr: "mail", From: "a@b.test"},
		{Addr: ":25", From: "a@b.test"},
		{Addr: "mail:x", From: "a@b.test"},
		{Addr: "mail:0", From: "a@b.test"},
		{Addr: "mail:65536", From: "a@b.test"},
		{Addr: "mail:25", From: "b.test"},
		{Addr: "mail:25", From: "a@b.test", ReplyTo: "x"},
	} {
		_, err := smtp.New(wrong)
		require.Error(t, err, "%+v", wrong.Addr)
	}
}

func TestAServerThatIsAway(t *testing.T) {
	s := newServer(t, false, false)
	// The port of an open connection belongs to nobody else, and nothing listens on it.
	taken, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.config.Addr)
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	s.config.Addr = taken.LocalAddr().String()
	err = s.client(t).Send(t.Context(), mail())
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), s.config.Addr)
	require.NotErrorIs(t, err, context.Canceled)
}
