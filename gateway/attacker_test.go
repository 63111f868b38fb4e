package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// smallBuffer is the size of socket buffers that fill soon.
const smallBuffer = 4 << 10

// narrow is a listener whose connections buffer little of what the client does not read.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = errors.Join(err, tcp.SetWriteBuffer(smallBuffer))
	}
	return conn, err
}

// attacker is a client that sends frames of its own making.
type attacker struct {
	*http2.Framer
	conn   *tls.Conn
	out    *bufio.Writer
	block  bytes.Buffer
	hpack  *hpack.Encoder
	stream uint32
	// statuses counts the answers by their status, and resets the streams that the server ended.
	statuses [600]atomic.Int32
	resets   atomic.Int32
	// ended receives what the server said when it ended the connection. Nothing reads before listen.
	ended chan http2.ErrCode
}

// newAttacker connects to the edge and begins HTTP/2 with settings.
func newAttacker(t *testing.T, s *served, pool *x509.CertPool, settings ...http2.Setting) *attacker {
	t.Helper()
	raw, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.url[len("http://"):])
	require.NoError(t, err)
	tcp, ok := raw.(*net.TCPConn)
	require.True(t, ok)
	require.NoError(t, tcp.SetReadBuffer(smallBuffer))
	conn := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.HandshakeContext(t.Context()))
	require.Equal(t, "h2", conn.ConnectionState().NegotiatedProtocol)
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	a := &attacker{conn: conn, out: bufio.NewWriter(conn), stream: 1, ended: make(chan http2.ErrCode, 1)}
	a.hpack = hpack.NewEncoder(&a.block)
	a.Framer = http2.NewFramer(a.out, conn)
	a.AllowIllegalWrites = true
	_, err = a.out.WriteString(http2.ClientPreface)
	require.NoError(t, errors.Join(err, a.WriteSettings(settings...), a.out.Flush()))
	return a
}

// listen reads what the server sends until it ends the connection.
func (a *attacker) listen() {
	code := http2.ErrCode(1 << 31) // the connection ended without a reason
	decoder := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if n, err := strconv.Atoi(f.Value); f.Name == ":status" && err == nil && n < len(a.statuses) {
			a.statuses[n].Add(1)
		}
	})
	for {
		frame, err := a.ReadFrame()
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			_, _ = decoder.Write(frame.HeaderBlockFragment()) // a wrong one would show in the counts
		case *http2.RSTStreamFrame:
			a.resets.Add(1)
		case *http2.GoAwayFrame:
			code = frame.ErrCode
		}
		if err != nil {
			a.ended <- code
			return
		}
	}
}

// header encodes the header of a request.
func (a *attacker) header(method, path string, fields ...hpack.HeaderField) []byte {
	a.block.Reset()
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "127.0.0.1"}, {Name: ":path", Value: path},
	}, fields...) {
		_ = a.hpack.WriteField(f) // into memory
	}
	return a.block.Bytes()
}

// ask sends a request without a body on a stream of its own.
func (a *attacker) ask(block []byte) error {
	id := a.stream
	a.stream += 2
	const most = 16 << 10 // of one frame
	first := block[:min(most, len(block))]
	err := a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndHeaders: len(first) == len(block), EndStream: true})
	for rest := block[len(first):]; err == nil && len(rest) > 0; {
		piece := rest[:min(most, len(rest))]
		rest = rest[len(piece):]
		err = a.WriteContinuation(id, len(rest) == 0, piece)
	}
	return err
}

// chat sends a whole chat request on a stream of its own and returns the stream.
func (a *attacker) chat() (uint32, error) {
	id := a.stream
	a.stream += 2
	block := a.header("POST", chatPath, hpack.HeaderField{Name: "authorization", Value: "Bearer " + goodToken})
	return id, errors.Join(a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}), a.WriteData(id, true, []byte(wantsStream)))
}

// repeat sends frames at most n times, until the server ends the connection.
func (a *attacker) repeat(n int, frames func() error) error {
	for i := range n {
		if err := frames(); err != nil {
			return fmt.Errorf("after %d times: %w", i, err)
		}
	}
	return a.out.Flush()
}
