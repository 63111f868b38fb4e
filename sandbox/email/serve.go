package email

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// Serve accepts connections until ctx ends, closes them, and returns when all have ended. It closes the listener.
func (f *Fake) Serve(ctx context.Context, listener net.Listener) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		select {
		case f.slots <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		running.Go(func() {
			defer func() { <-f.slots }()
			f.converse(ctx, conn)
		})
	}
}

// converse serves one connection.
func (f *Fake) converse(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	if secure, ok := conn.(*tls.Conn); ok {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if secure.HandshakeContext(ctx) != nil {
			return
		}
	}
	s := &session{fake: f, ctx: ctx}
	s.use(conn)
	s.run()
}

// Implicit returns a listener whose connections are encrypted from the first byte, as on port 465.
func (f *Fake) Implicit(listener net.Listener) net.Listener {
	return tls.NewListener(listener, f.config.TLS)
}
