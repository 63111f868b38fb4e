package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A client can neither hold connections open nor fill memory without limit.
func TestServerHasLimits(t *testing.T) {
	g := &Gateway{logger: slog.New(slog.DiscardHandler), config: Config{BodyTimeout: 30 * time.Second}}
	server := g.server(context.Background())
	require.Equal(t, 10*time.Second, server.ReadHeaderTimeout, "slow headers")
	require.Equal(t, 40*time.Second, server.ReadTimeout, "bodies that no handler reads")
	require.Equal(t, 2*time.Minute, server.IdleTimeout)
	require.Equal(t, 64<<10, server.MaxHeaderBytes)
	require.Zero(t, server.WriteTimeout, "it would end streams; each write has its own deadline")
}

// countingWriter records the size of each write and how often the deadline moved.
type countingWriter struct {
	http.ResponseWriter
	writes    []int
	deadlines int
}

func (c *countingWriter) Write(b []byte) (int, error) {
	c.writes = append(c.writes, len(b))
	return len(b), nil
}

func (c *countingWriter) SetWriteDeadline(time.Time) error {
	c.deadlines++
	return nil
}

// A slow but steady client can read a large response.
func TestLargeWritesHaveADeadlineForEachPart(t *testing.T) {
	under := &countingWriter{ResponseWriter: httptest.NewRecorder()}
	r := &recorder{ResponseWriter: under, timeout: 0} // a timeout of 0 moves the deadline with each part
	n, err := r.Write(make([]byte, 2*maxPart+10))
	require.NoError(t, err)
	require.Equal(t, 2*maxPart+10, n)
	require.Equal(t, []int{maxPart, maxPart, 10}, under.writes)
	require.Equal(t, 3, under.deadlines)
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, int64(n), r.bytes)
	n, err = r.Write(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}
