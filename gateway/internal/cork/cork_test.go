package cork_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/cork"
)

// wire records what is written to it, write by write.
type wire struct {
	net.Conn
	writes [][]byte
	err    error
	closed int
}

func (w *wire) Write(b []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.writes = append(w.writes, bytes.Clone(b))
	return len(b), nil
}

func (w *wire) CloseWrite() error {
	w.closed++
	return nil
}

func write(t *testing.T, c *cork.Conn, text string) {
	t.Helper()
	n, err := c.Write([]byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), n)
}

func TestWritesAreGathered(t *testing.T) {
	w := &wire{}
	c := &cork.Conn{Conn: w}
	write(t, c, "a")
	c.Hold()
	write(t, c, "b")
	write(t, c, "c")
	c.Hold() // holds already
	write(t, c, "d")
	require.Equal(t, [][]byte{[]byte("a")}, w.writes)
	require.NoError(t, c.Release())
	require.NoError(t, c.Release())
	write(t, c, "e")
	require.Equal(t, [][]byte{[]byte("a"), []byte("bcd"), []byte("e")}, w.writes)
	c.Hold()
	require.NoError(t, c.Release())
	require.Len(t, w.writes, 3, "nothing was held")
}

func TestWhatIsHeldIsBounded(t *testing.T) {
	w := &wire{}
	c := &cork.Conn{Conn: w}
	c.Hold()
	large := bytes.Repeat([]byte("x"), 20<<10)
	write(t, c, string(large))
	write(t, c, string(large))
	require.Len(t, w.writes, 1, "the second does not fit beside the first")
	huge := bytes.Repeat([]byte("y"), 32<<10+1)
	write(t, c, string(huge))
	require.Len(t, w.writes, 3, "and this one does not fit at all")
	write(t, c, "z")
	require.NoError(t, c.Release())
	require.Equal(t, string(large)+string(large)+string(huge)+"z", string(bytes.Join(w.writes, nil)))
}

// A client may have a part of a failed write. What followed it would be read as something else.
func TestNothingFollowsAFailure(t *testing.T) {
	failure := errors.New("broken pipe")
	w := &wire{err: failure}
	c := &cork.Conn{Conn: w}
	c.Hold()
	write(t, c, "lost")
	require.ErrorIs(t, c.Release(), failure)
	w.err = nil
	_, err := c.Write([]byte("more"))
	require.ErrorIs(t, err, failure)
	c.Hold()
	_, err = c.Write([]byte("more"))
	require.ErrorIs(t, err, failure)
	require.ErrorIs(t, c.Release(), failure)
	require.ErrorIs(t, c.Release(), failure)
	require.Empty(t, w.writes)
}

func TestAFailureWhileHoldingIsReturned(t *testing.T) {
	failure := errors.New("broken pipe")
	w := &wire{}
	c := &cork.Conn{Conn: w}
	c.Hold()
	write(t, c, string(make([]byte, 30<<10)))
	w.err = failure
	_, err := c.Write(make([]byte, 30<<10))
	require.ErrorIs(t, err, failure)
	require.ErrorIs(t, c.Release(), failure)
}

func TestOf(t *testing.T) {
	c := &cork.Conn{Conn: &wire{}}
	ctx := cork.Context(t.Context(), c)
	require.Same(t, c, cork.Of(ctx, 1))
	require.Nil(t, cork.Of(ctx, 2), "HTTP/2 has many requests on a connection")
	require.Nil(t, cork.Of(t.Context(), 1))
	require.Nil(t, cork.Of(cork.Context(t.Context(), tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS12})), 1), "closing it would wait for Release")
	require.Nil(t, cork.Of(cork.Context(t.Context(), &wire{}), 1))

	var none *cork.Conn
	none.Hold()
	require.NoError(t, none.Release())
}

func TestCloseWrite(t *testing.T) {
	w := &wire{}
	require.NoError(t, (&cork.Conn{Conn: w}).CloseWrite())
	require.Equal(t, 1, w.closed)
	left, right := net.Pipe()
	defer func() { _, _ = left.Close(), right.Close() }()
	require.NoError(t, (&cork.Conn{Conn: left}).CloseWrite(), "a pipe has no half")
}

// counting counts the writes of a connection.
type counting struct {
	net.Listener
	writes chan int
}

type counted struct {
	net.Conn
	writes chan int
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return counted{c, l.writes}, nil
}

func (c counted) Write(b []byte) (int, error) {
	c.writes <- len(b)
	return c.Conn.Write(b)
}

// A piece of 8 KB costs net/http three writes: the beginning of the chunk, the rest, and its end.
func TestAPieceIsOneWrite(t *testing.T) {
	writes := make(chan int, 100)
	piece := bytes.Repeat([]byte("x"), 8<<10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := cork.Of(r.Context(), r.ProtoMajor)
		for range 2 {
			c.Hold()
			_, err := w.Write(piece)
			if err == nil {
				err = http.NewResponseController(w).Flush()
			}
			if err != nil || c.Release() != nil {
				return
			}
		}
	}))
	server.Listener = cork.Listener{Listener: counting{server.Listener, writes}}
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return cork.Context(ctx, c) }
	server.Start()
	defer server.Close()
	answer, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	var got bytes.Buffer
	_, err = got.ReadFrom(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, bytes.Repeat(piece, 2), got.Bytes())
	require.Len(t, writes, 3, "two pieces and the end")
	require.Greater(t, <-writes, len(piece), "the head and the first piece")
}
