// Command gateway runs the edge as its own process.
package main

import (
	"context"
	"io"
	"slices"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/gen"
	"github.com/trivet-dev/trivet/platform/integration"
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
		dev, err := development(env.Get)
		if err != nil {
			return nil, err
		}
		edge, err := gateway.New(ctx, c.Gateway, gateway.Deps{
			Auth: p.Conn("auth"), AI: p.Conn("ai"), Billing: p.Conn("billing"), OpenAPI: gen.OpenAPI(),
			Logger: p.Logger, Meter: p.Meter("gateway"), Tracer: p.Tracer, Now: p.Now,
			Production: p.Settings.Production(), Development: dev,
		})
		if err != nil {
			return nil, err
		}
		return edge, serve.FollowSecrets(p, gateway.CertificateNames, edge.Rotate)
	})
}

// development forwards to the Clerk of the sandbox at TRIVET_SANDBOX_URL while it stands in for Clerk.
func development(get func(string) string) (gateway.Development, error) {
	var at serve.StandIn
	if err := settings.Load(get, &at); err != nil || at.URL == "" || serve.InProduction(get) {
		return gateway.Development{}, err
	}
	if !slices.ContainsFunc(serve.Absent(get), func(i integration.Integration) bool { return i.Name == "clerk" }) {
		return gateway.Development{}, nil
	}
	clerk, err := gateway.ForwardClerk(at.URL)
	if err != nil {
		return gateway.Development{}, settings.Join(settings.Invalid("TRIVET_SANDBOX_URL", err.Error(), ""))
	}
	return gateway.Development{Clerk: clerk}, nil
}
