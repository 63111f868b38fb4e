// Command gateway runs the edge as its own process.
package main

import (
	"context"
	"io"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/gen"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

func main() { serve.Main("gateway", run) }

func run(ctx context.Context, args []string, env settings.Env, stderr io.Writer) error {
	var c struct {
		Edge    serve.Edge
		Gateway gateway.Config
	}
	program := serve.Program{Name: "gateway", Config: &c, Needs: []string{"auth", "ai", "billing"}}
	return serve.RunEdge(ctx, program, &c.Edge, args, env, stderr, func(p *serve.Process) (serve.EdgeServer, error) {
		return gateway.New(ctx, c.Gateway, gateway.Deps{
			Auth: p.Conn("auth"), AI: p.Conn("ai"), Billing: p.Conn("billing"), OpenAPI: gen.OpenAPI(),
			Logger: p.Logger, Meter: p.Meter("gateway"), Now: p.Now,
			Production: p.Settings.Production(),
		})
	})
}
