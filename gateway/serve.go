package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/cork"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// unusedTime is how long a connection may stay without a request once the edge stops.
	unusedTime = time.Second
	// farewell is how long requests that outlive the grace period have to send their error.
	farewell = 2 * time.Second
)

// Serve answers requests until ctx ends. Then it accepts no new requests, waits up to Config.ShutdownTimeout for the
// running ones, ends the rest with an error, and returns nil.
func (g *Gateway) Serve(ctx context.Context, listener net.Listener) error {
	base, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(call.ErrStopping)
	server := g.server(base)
	served := make(chan error, 1)
	go func() { served <- g.serveOn(server, cork.Listener{Listener: listener}) }()
	select {
	case err := <-served:
		return fmt.Errorf("HTTP on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	g.shutdown(base, server, stop)
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("HTTP on %s: %w", listener.Addr(), err)
	}
	return nil
}

// server limits everything that a client can draw out. It has no WriteTimeout, because that would end streams; the
// recorder limits each write instead.
func (g *Gateway) server(base context.Context) *http.Server {
	return &http.Server{
		Handler:           g.Handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readHeaderTimeout + g.config.BodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(g.logger.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       cork.Context,
		ConnState:         g.unused.Track,
		// "OPTIONS *" would be answered outside of the edge: without its limits, its headers and its log.
		DisableGeneralOptionsHandler: true,
	}
}

func (g *Gateway) shutdown(base context.Context, server *http.Server, stop context.CancelCauseFunc) {
	g.status.Stop() // its streams would never end
	closing, closed := context.WithCancel(context.WithoutCancel(base))
	var closer sync.WaitGroup
	closer.Go(func() { g.unused.CloseUntil(closing, unusedTime) })
	defer closer.Wait()
	defer closed()
	grace, cancel := context.WithTimeout(context.WithoutCancel(base), g.config.ShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		stop(call.ErrStopping)
		last, cancel := context.WithTimeout(context.WithoutCancel(base), farewell)
		defer cancel()
		if err := server.Shutdown(last); err != nil {
			_ = server.Close()
		}
	}
	g.running.Wait()
}
