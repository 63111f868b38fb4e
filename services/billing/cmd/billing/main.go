// Command billing runs the billing service as its own process.
package main

import (
	"context"
	"errors"
	"io"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

// config is the program's settings.
type config struct {
	Billing billing.Config
	Store   serve.Store
	Prices  serve.PriceList
}

// Validate checks the plans against the price list.
func (c *config) Validate(settings.Modes) error { return c.Billing.CheckModels(c.Prices.List()) }

// secrets are the settings whose secrets change while the program runs.
type secrets struct {
	Billing billing.Config
	Store   serve.Store
}

func main() { serve.Main("billing", run) }

func run(ctx context.Context, args []string, env settings.Env, stderr io.Writer) error {
	var c config
	program := serve.Program{Name: "billing", Config: &c, Needs: []string{"auth"}, Migrations: billing.Migrations}
	return serve.RunService(ctx, program, args, env, stderr, func(p *serve.Process) (serve.Service, error) {
		p.Add(c.Prices.ReloadPart(p.Logger, c.Billing.CheckModels))
		service, err := billing.New(ctx, c.Billing, billing.Deps{
			Logger: p.Logger, Meter: p.Meter("billing"), Now: p.Now,
			Database: c.Store.For("billing"), Models: c.Prices.List(),
		})
		if err != nil {
			return nil, err
		}
		return service, serve.FollowSecrets(p, nil, func(fresh secrets) error {
			return errors.Join(service.Rotate(fresh.Billing), service.RotateDatabase(fresh.Store.For("billing")))
		})
	})
}
