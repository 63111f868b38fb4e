package relay_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/cork"
	"github.com/trivet-dev/trivet/gateway/internal/relay"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// written is a write to a connection: when it happened, since the start, and a word of its text.
type written struct {
	at   time.Duration
	text string
}

// recorded records the writes of a connection.
type recorded struct {
	net.Conn
	start  time.Time
	writes *[]written
}

func (c recorded) Write(b []byte) (int, error) {
	*c.writes = append(*c.writes, written{time.Since(c.start), string(bytes.Clone(b))})
	return c.Conn.Write(b)
}

// once is a listener with one connection.
type once struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *once) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *once) Close() error   { close(l.closed); return nil }
func (l *once) Addr() net.Addr { return &net.TCPAddr{} }

// exchange makes a request over a connection in memory, and returns the writes of the answer.
func exchange(t *testing.T, h *relay.Relay, body string) []written {
	t.Helper()
	var writes []written
	client, under := net.Pipe()
	l := &once{make(chan net.Conn, 1), make(chan struct{})}
	l.conn <- recorded{under, time.Now(), &writes}
	server := &http.Server{ConnContext: cork.Context, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := &call.State{}
		h.Endpoint(aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS).ServeHTTP(w, r.WithContext(call.With(r.Context(), state)))
		if state.Broken {
			panic(http.ErrAbortHandler)
		}
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(cork.Listener{Listener: l}) }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://edge/", strings.NewReader(body))
	require.NoError(t, err)
	request.Close = true
	require.NoError(t, request.Write(client))
	_, err = io.Copy(io.Discard, client)
	require.NoError(t, err)
	require.NoError(t, server.Close())
	require.ErrorIs(t, <-done, http.ErrServerClosed)
	return writes
}

// The last part waits a moment for the end of the response, so that net/http sends both with one write.
func TestTheLastPartLeavesWithTheEnd(t *testing.T) {
	const ms = time.Millisecond
	first, closing := "data: "+strings.Repeat("1", 5<<10)+"\n\n", "data: [DONE]\n\n"
	for name, tc := range map[string]struct {
		last  bool
		rest  []late
		pause time.Duration
		want  []written // texts that the writes contain
	}{
		"the end follows":      {true, []late{{10 * ms, closing}}, 0, []written{{0, first}, {10 * ms, closing + "\r\n0\r\n"}}},
		"the end follows soon": {true, []late{{10 * ms, closing}}, ms, []written{{0, first}, {11 * ms, closing + "\r\n0\r\n"}}},
		"the end comes late":   {true, []late{{10 * ms, closing}}, 50 * ms, []written{{0, first}, {12 * ms, closing}, {60 * ms, "0\r\n"}}},
		"more follows":         {true, []late{{10 * ms, closing}, {ms, "data: more\n\n"}}, 0, []written{{0, first}, {11 * ms, "data: more\n\n\r\n0\r\n"}}},
		"it is not the last":   {false, []late{{10 * ms, closing}}, ms, []written{{0, first}, {10 * ms, closing}, {11 * ms, "0\r\n"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := slow{head: &aiv1.RelayHead{Status: 200, Streamed: true}, body: first, rest: tc.rest, last: tc.last, pause: tc.pause}
			bothWays(t, s, 15*time.Second, func(t *testing.T, h *relay.Relay) {
				writes := exchange(t, h, `{"stream":true}`)
				require.Len(t, writes, len(tc.want))
				for i, w := range tc.want {
					require.Equal(t, w.at, writes[i].at)
					require.Contains(t, writes[i].text, w.text)
				}
			})
		})
	}
}

// An answer in one piece is not held back when it has ended, whatever its size.
func TestAWholeAnswerLeaves(t *testing.T) {
	for _, size := range []int{0, 10, 3 << 10, 100 << 10} {
		text := strings.Repeat("x", size)
		s := slow{head: &aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json"}}, body: text, rest: []late{{0, text}}}
		bothWays(t, s, 15*time.Second, func(t *testing.T, h *relay.Relay) {
			var all strings.Builder
			for _, w := range exchange(t, h, `{}`) {
				all.WriteString(w.text)
			}
			require.Equal(t, 2*size, strings.Count(all.String(), "x"))
		})
	}
}
