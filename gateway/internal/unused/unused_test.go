package unused_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/unused"
)

// conn notes when it is closed.
type conn struct {
	net.Conn
	closed time.Time
	times  int
}

func (c *conn) Close() error {
	c.closed = time.Now()
	c.times++
	return nil
}

func TestCloseUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var conns unused.Conns
		old, active, idle, gone, young := &conn{}, &conn{}, &conn{}, &conn{}, &conn{}
		for _, c := range []*conn{old, active, idle, gone} {
			conns.Track(c, http.StateNew)
		}
		conns.Track(active, http.StateActive)
		conns.Track(idle, http.StateActive)
		conns.Track(idle, http.StateIdle)
		conns.Track(gone, http.StateClosed)
		time.Sleep(600 * time.Millisecond) // virtual
		conns.Track(young, http.StateNew)

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			conns.CloseUntil(ctx, time.Second)
		}()
		time.Sleep(5 * time.Second) // virtual
		cancel()
		<-done
		require.Equal(t, time.Second, old.closed.Sub(start))
		require.Equal(t, 1600*time.Millisecond, young.closed.Sub(start))
		require.Equal(t, []int{1, 0, 0, 0, 1}, []int{old.times, active.times, idle.times, gone.times, young.times})

		late := &conn{}
		conns.Track(late, http.StateNew)
		time.Sleep(5 * time.Second) // virtual
		synctest.Wait()
		require.Zero(t, late.times, "nothing is closed after the end")
	})
}
