// Command gateway runs the edge as a process of its own.
package main

import (
	"context"
	"io"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/gen"
	"github.com/trivet-dev/trivet/platform/serve"
)

func main() { serve.Main("gateway", run) }

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	return serve.RunEdge(ctx, "gateway", args, getenv, stderr, func(p *serve.Process, edge serve.EdgeConns) (serve.EdgeServer, error) {
		var c gateway.Config
		if err := p.Load(&c); err != nil {
			return nil, err
		}
		return gateway.New(ctx, c, gateway.Deps{
			Auth: edge.Auth, AI: edge.AI, Billing: edge.Billing, OpenAPI: gen.OpenAPI(),
			Logger: p.Logger, Meter: p.Meter("gateway"), Now: p.Now,
		})
	})
}
