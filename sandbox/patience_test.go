package sandbox_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox"
)

// TestUnreadAnswerIsCut: its answer must not stay in memory forever.
func TestUnreadAnswerIsCut(t *testing.T) {
	s, base := serve(t, sandbox.Config{Patience: 50 * time.Millisecond})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	const body = `{"model":"gpt-4o-mini","stream":true,"n":3,"messages":[{"role":"user","content":"hi [sandbox tokens=16000]"}]}`
	_, err = fmt.Fprintf(conn, "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		sandbox.OpenAIKey, len(body), body)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.OpenAI().Stats().Cancelled == 1 }, 30*time.Second, 10*time.Millisecond)
}

// TestPatienceIsPerWrite: a stream that takes longer than a client may leave it unread reaches its end, and the connection
// serves the next request however long that takes to come.
func TestPatienceIsPerWrite(t *testing.T) {
	const patience = 200 * time.Millisecond
	_, base := serve(t, sandbox.Config{Patience: patience})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for range 2 {
		const body = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi [sandbox tokens=30 pace=20]"}]}`
		_, err = fmt.Fprintf(conn, "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			sandbox.OpenAIKey, len(body), body)
		require.NoError(t, err)
		resp, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Contains(t, string(raw), "data: [DONE]")
		require.NoError(t, resp.Body.Close())
		time.Sleep(2 * patience) // the connection rests
	}
}
