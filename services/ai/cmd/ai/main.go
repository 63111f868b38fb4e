// Command ai runs the ai service as a process of its own.
package main

import (
	"context"
	"errors"
	"io"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
)

// secrets are the settings whose secrets change while the program runs.
type secrets struct {
	AI    ai.Config
	Store serve.Store
}

func main() { serve.Main("ai", run) }

func run(ctx context.Context, args []string, env settings.Env, stderr io.Writer) error {
	var c struct {
		AI     ai.Config
		Store  serve.Store
		Prices serve.PriceList
	}
	program := serve.Program{Name: "ai", Config: &c, Needs: []string{"auth", "billing"}, Migrations: ai.Migrations}
	return serve.RunService(ctx, program, args, env, stderr, func(p *serve.Process) (serve.Service, error) {
		service, err := ai.New(ctx, c.AI, ai.Deps{
			Logger: p.Logger, Meter: p.Meter("ai"), Now: p.Now, Models: c.Prices.List(), Secrets: p.Secrets,
			Database: c.Store.For("ai"), Billing: billingv1.NewBillingServiceClient(p.Conn("billing")),
		})
		if err != nil {
			return nil, err
		}
		p.Add(c.Prices.ReloadPart(p.Logger, service.CheckModels))
		return service, serve.FollowSecrets(p, service.SecretNames, func(fresh secrets) error {
			return errors.Join(service.Rotate(fresh.AI), service.RotateDatabase(fresh.Store.For("ai")))
		})
	})
}
