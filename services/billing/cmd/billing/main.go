// Command billing runs the billing service as a process of its own.
package main

import (
	"context"
	"io"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/services/billing"
)

func main() { serve.Main("billing", run) }

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	return serve.RunService(ctx, "billing", args, getenv, stderr, func(p *serve.Process) (serve.Service, error) {
		var c struct {
			Billing billing.Config
			Store   serve.Store
			Prices  serve.PriceList
		}
		if err := p.Load(&c); err != nil {
			return nil, err
		}
		prices, err := models.Load(c.Prices.ModelsFile)
		if err != nil {
			return nil, err
		}
		return billing.New(ctx, c.Billing, billing.Deps{
			Logger: p.Logger, Meter: p.Meter("billing"), Now: p.Now, Database: database.For("billing", c.Store.DatabaseURL), Models: prices,
		})
	})
}
