package relay

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/cork"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// failing panics when a body is written.
type failing struct{ http.ResponseWriter }

func (failing) Write([]byte) (int, error) { panic("write") }

// wire keeps what is written to a connection.
type wire struct {
	net.Conn
	written string
}

func (w *wire) Write(b []byte) (int, error) {
	w.written += string(b)
	return len(b), nil
}

// The answer to a panic, which others write, is not held back.
func TestAPanicReleasesTheConnection(t *testing.T) {
	out := failing{httptest.NewRecorder()}
	under := &wire{}
	conn := &cork.Conn{Conn: under}
	p := &pushed{answer: answer{w: out}, writer: sse.Over(out), begun: true, events: true}
	p.out = &p.writer
	p.out.Through(conn)
	require.PanicsWithValue(t, "write", func() { _ = p.send(&aiv1.RelayResponse{Body: []byte("data: 1\n\n")}) })
	_, err := conn.Write([]byte("HTTP/1.1 500"))
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 500", under.written)
}
