package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

// EdgeConns are the edge's connections to the services.
type EdgeConns struct{ Auth, AI, Billing *connect.Conn }

// EdgeServer is what the gateway is.
type EdgeServer interface {
	// Serve answers HTTP until ctx ends and running requests have finished.
	Serve(ctx context.Context, listener net.Listener) error
	// Run does the background work until ctx ends.
	Run(ctx context.Context) error
}

// RunEdge runs the edge as a process of its own until ctx ends.
func RunEdge(ctx context.Context, name string, args []string, getenv func(string) string, stderr io.Writer, build func(*Process, EdgeConns) (EdgeServer, error)) (err error) {
	if len(args) > 0 {
		return fmt.Errorf("usage: %s; settings are environment variables", name)
	}
	p, err := NewProcess(name, getenv, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	var at Edge
	auth, err1 := p.Conn("auth")
	ai, err2 := p.Conn("ai")
	billing, err3 := p.Conn("billing")
	if err := settings.Join(p.Load(&at), err1, err2, err3); err != nil {
		return err
	}
	edge, err := build(p, EdgeConns{Auth: auth, AI: ai, Billing: billing})
	if err != nil {
		return err
	}
	ops, err := Listen(ctx, "TRIVET_OPS_ADDR", p.Settings.OpsAddr)
	if err != nil {
		return err
	}
	http, err := Listen(ctx, "TRIVET_HTTP_ADDR", at.HTTPAddr)
	if err != nil {
		return errors.Join(err, ops.Close())
	}
	p.Logger.InfoContext(ctx, "up", slog.String("service", name), slog.String("edge", "http://"+at.HTTPAddr), slog.String("ops", "http://"+p.Settings.OpsAddr))
	return Run(ctx, p.Logger,
		p.opsPart(ops, []telemetry.Check{{Name: "auth", Probe: auth.Ready}, {Name: "ai", Probe: ai.Ready}, {Name: "billing", Probe: billing.Ready}}),
		Part{Name: "revocations", Run: edge.Run},
		Part{Name: "edge", Run: func(ctx context.Context) error { return edge.Serve(ctx, http) }},
	)
}
