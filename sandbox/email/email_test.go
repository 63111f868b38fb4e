package email_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/sandbox/email"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a mail server that encrypts from the first byte, or not at all, and returns what connects to it.
func start(t *testing.T, encrypted bool) (f *email.Fake, dial func() net.Conn) {
	t.Helper()
	web := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer web.Close()
	f = email.New(email.Config{TLS: web.TLS})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	if encrypted {
		listener = f.Implicit(listener)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	transport, ok := web.Client().Transport.(*http.Transport)
	require.True(t, ok)
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "127.0.0.1"}
	return f, func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		if !encrypted {
			return conn
		}
		secure := tls.Client(conn, trust)
		_ = secure.HandshakeContext(t.Context()) // it fails where all connections are taken
		return secure
	}
}

// endless are the faults that last longer than any test.
func endless() map[string]fault.Fault {
	return map[string]fault.Fault{
		"hang":           {Kind: fault.Hang, Path: "/connect"},
		"latency":        {Kind: fault.Latency, Path: "/connect", Delay: time.Hour},
		"commit_timeout": {Kind: fault.CommitTimeout, Path: "/connect", Delay: time.Hour},
	}
}

// A client that leaves gives its connection back, whatever fault it waits for.
func TestConnectionsEndWithTheirClients(t *testing.T) {
	const most = 64
	for name, endless := range endless() {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, encrypted %t", name, encrypted), func(t *testing.T) {
				f, dial := start(t, encrypted)
				_, err := f.Faults().Add(endless)
				require.NoError(t, err)
				conns := make([]net.Conn, most)
				for i := range conns {
					conns[i] = dial()
				}
				require.Eventually(t, func() bool { return f.Faults().Struck() == most }, time.Minute, time.Millisecond)
				for _, conn := range conns {
					require.NoError(t, conn.Close())
				}
				require.Eventually(t, func() bool { // a connection beyond the most is closed, and no fault strikes it
					_ = dial().Close()
					return f.Faults().Struck() > most
				}, time.Minute, 5*time.Millisecond)
			})
		}
	}
}

// Clearing the faults ends what they hold up; a latency has an end of its own.
func TestConnectionsEndWithTheirFaults(t *testing.T) {
	for name, endless := range endless() {
		if endless.Kind == fault.Latency {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f, dial := start(t, false)
			endless.Count = 1 // it is used up before it is cleared
			_, err := f.Faults().Add(endless)
			require.NoError(t, err)
			conn := dial()
			defer func() { require.NoError(t, conn.Close()) }()
			require.Eventually(t, func() bool { return f.Faults().Struck() == 1 }, time.Minute, time.Millisecond)
			f.Faults().Clear()
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			raw, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Empty(t, raw)
		})
	}
}

// A latency delays each command, and loses nothing of what the client sends.
func TestLatencyLosesNothing(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		f, dial := start(t, encrypted)
		_, err := f.Faults().Add(fault.Fault{Kind: fault.Latency, Delay: time.Millisecond})
		require.NoError(t, err)
		client, err := smtp.NewClient(dial(), "127.0.0.1")
		require.NoError(t, err)
		require.NoError(t, client.Mail("billing@acme.test"))
		require.NoError(t, client.Rcpt("ann@example.test"))
		text, err := client.Data()
		require.NoError(t, err)
		_, err = io.WriteString(text, "Subject: Hello\r\n\r\nA text.\r\n")
		require.NoError(t, err)
		require.NoError(t, text.Close())
		require.NoError(t, client.Quit())
		require.Len(t, f.Mails(), 1)
		require.Equal(t, "A text.\n", f.Mails()[0].Text)

		conn := dial()
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		_, err = io.WriteString(conn, "EHLO a\r\nMAIL FROM:<a@acme.test>\r\nRCPT TO:<b@example.test>\r\nQUIT\r\n") // all at once
		require.NoError(t, err)
		replies, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(replies), "250 2.1.0 ok\r\n250 2.1.5 ok\r\n221 2.0.0 bye\r\n")
		require.NoError(t, conn.Close())
	}
}
