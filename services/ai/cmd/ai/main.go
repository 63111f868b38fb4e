// Command ai runs the ai service as a process of its own.
package main

import (
	"context"
	"io"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/services/ai"
)

func main() { serve.Main("ai", run) }

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	return serve.RunService(ctx, "ai", args, getenv, stderr, func(p *serve.Process) (serve.Service, error) {
		var c ai.Config
		if err := p.Load(&c); err != nil {
			return nil, err
		}
		conn, err := p.Conn("billing")
		if err != nil {
			return nil, err
		}
		return ai.New(ctx, c, ai.Deps{Logger: p.Logger, Meter: p.Meter("ai"), Now: p.Now, Billing: billingv1.NewBillingServiceClient(conn)})
	})
}
