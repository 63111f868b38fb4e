// Package cork gathers the small writes of net/http into one. The server writes the size of a chunk, the chunk and its end
// through a buffer of 4 KB, so that a piece of 8 KB costs three system calls, each of which costs more than all that the edge
// does with the piece.
package cork

import (
	"context"
	"net"
	"sync"
)

// maxHeld bounds what is held back, in bytes. More is written at once.
const maxHeld = 32 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, maxHeld); return &b }}

// Listener returns connections for which Of works.
type Listener struct{ net.Listener }

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c}, nil
}

// Conn is a connection that can hold back what is written. The zero Conn with a connection in it holds nothing back. Methods of
// a nil *Conn do nothing.
type Conn struct {
	net.Conn

	mu   sync.Mutex
	held *[]byte // nil when nothing is held back
	err  error   // of a write that was held back; the peer may have a part of it, so nothing may follow
}

// Hold holds back what is written until Release.
func (c *Conn) Hold() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool has nothing else
	}
}

// Release writes what was held back. After an error every later write fails with it.
func (c *Conn) Release() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return c.err
	}
	err := c.spill()
	buffers.Put(c.held)
	c.held = nil
	return err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.held == nil {
		return c.Conn.Write(b)
	}
	if len(*c.held)+len(b) > maxHeld {
		if err := c.spill(); err != nil {
			return 0, err
		}
	}
	if len(b) > maxHeld {
		return c.Conn.Write(b)
	}
	*c.held = append(*c.held, b...)
	return len(b), nil
}

// spill writes what is held back. The caller has the lock.
func (c *Conn) spill() error {
	if c.err == nil && len(*c.held) > 0 {
		_, c.err = c.Conn.Write(*c.held)
	}
	*c.held = (*c.held)[:0]
	return c.err
}

// CloseWrite tells the peer that nothing follows. net/http calls it before it closes a connection whose request was not read.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type key struct{}

// Context is for http.Server.ConnContext: requests of the connection carry it. A connection with TLS holds nothing back: a tls.Conn that is closed
// interrupts its own writes to a client that reads nothing, but would wait for one in Release.
func Context(ctx context.Context, c net.Conn) context.Context {
	if corked, ok := c.(*Conn); ok {
		return context.WithValue(ctx, key{}, corked)
	}
	return ctx
}

// Of returns the connection of a request; nil when it cannot hold anything back, or when other requests write to it too.
func Of(ctx context.Context, protoMajor int) *Conn {
	if protoMajor != 1 {
		return nil
	}
	c, _ := ctx.Value(key{}).(*Conn)
	return c
}
