// Package unused closes connections on which no request ever came. Browsers and HTTP clients open some in advance. An http.Server that
// stops closes idle connections at once, but waits five seconds for each of these.
package unused

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// look is how often CloseUntil looks for connections that have become old enough.
const look = 100 * time.Millisecond

// Conns are the connections of a server that are unused so far. The zero value is ready.
type Conns struct {
	mu     sync.Mutex
	opened map[net.Conn]time.Time
}

// Track is for http.Server.ConnState.
func (c *Conns) Track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateNew {
		delete(c.opened, conn)
		return
	}
	if c.opened == nil {
		c.opened = map[net.Conn]time.Time{}
	}
	c.opened[conn] = time.Now()
}

// CloseUntil closes connections that stay unused for longer than age, until ctx ends.
func (c *Conns) CloseUntil(ctx context.Context, age time.Duration) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		for _, conn := range c.old(age) {
			_ = conn.Close() // the server notices, and forgets it
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *Conns) old(age time.Duration) (found []net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, opened := range c.opened {
		if time.Since(opened) >= age {
			found = append(found, conn)
			delete(c.opened, conn)
		}
	}
	return found
}
