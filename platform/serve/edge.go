package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

// EdgeServer is what the gateway is.
type EdgeServer interface {
	// Serve answers HTTP until ctx ends and running requests have finished.
	Serve(ctx context.Context, listener net.Listener) error
	// Run does the background work until ctx ends.
	Run(ctx context.Context) error
	// TLS reports whether it answers HTTPS.
	TLS() bool
}

// RunEdge runs the edge as a process of its own until ctx ends. at is the part of program.Config that says where it listens.
func RunEdge(
	ctx context.Context, program Program, at *Edge, args []string, env settings.Env, stderr io.Writer, build func(*Process) (EdgeServer, error),
) (err error) {
	if len(args) > 0 {
		return fmt.Errorf("usage: %s; settings are environment variables, docs/settings.md lists them", program.Name)
	}
	p, err := NewProcess(ctx, program, env, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	edge, err := build(p)
	if err != nil {
		return err
	}
	open, err := ListenAll(ctx, Listening{"TRIVET_OPS_ADDR", p.Settings.OpsAddr}, Listening{"TRIVET_HTTP_ADDR", at.HTTPAddr})
	if err != nil {
		return err
	}
	parts, err := p.opsParts(open[0], []telemetry.Check{{Name: "auth", Probe: once(p.Conn("auth").Ready)}})
	if err != nil {
		return err
	}
	scheme := "http://"
	if edge.TLS() {
		scheme = "https://"
	}
	p.Logger.InfoContext(ctx, "up", slog.String("service", program.Name), slog.String("version", Version()),
		slog.String("edge", scheme+at.HTTPAddr), slog.String("ops", "http://"+p.Settings.OpsAddr))
	return p.Run(ctx, append(append(parts, p.added...),
		Part{Name: "background", Run: edge.Run},
		Part{Name: "edge", Run: func(ctx context.Context) error { return edge.Serve(ctx, open[1]) }},
	)...)
}

// once passes for good after probe has passed once. The edge needs auth to start with. It must not leave the rotation when a
// service behind it fails later: all edges would, and nobody would be left to take webhooks or to say what is down.
func once(probe func(context.Context) error) func(context.Context) error {
	var passed atomic.Bool
	return func(ctx context.Context) error {
		if passed.Load() {
			return nil
		}
		err := probe(ctx)
		if err == nil {
			passed.Store(true)
		}
		return err
	}
}
