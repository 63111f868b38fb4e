// Command auth runs the auth service as a process of its own.
package main

import (
	"context"
	"errors"
	"io"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
)

// secrets are the settings whose secrets change while the program runs.
type secrets struct {
	Auth  auth.Config
	Store serve.Store
}

func main() { serve.Main("auth", run) }

func run(ctx context.Context, args []string, env settings.Env, stderr io.Writer) error {
	var c struct {
		Auth    auth.Config
		Store   serve.Store
		Signing serve.SigningKey
		Prices  serve.PriceList
	}
	program := serve.Program{Name: "auth", Config: &c, Needs: []string{"ai", "billing"}, Migrations: auth.Migrations}
	return serve.RunService(ctx, program, args, env, stderr, func(p *serve.Process) (serve.Service, error) {
		issuer, err := p.Signer(c.Signing)
		if err != nil {
			return nil, err
		}
		p.Add(c.Prices.ReloadPart(p.Logger))
		service, err := auth.New(ctx, c.Auth, auth.Deps{
			Logger: p.Logger, Meter: p.Meter("auth"), Now: p.Now,
			Database: c.Store.For("auth"), Models: c.Prices.List(), Passports: issuer,
			AI: aiv1.NewAIServiceClient(p.Conn("ai")), Billing: billingv1.NewBillingServiceClient(p.Conn("billing")),
		})
		if err != nil {
			return nil, err
		}
		return service, serve.FollowSecrets(p, service.SecretNames, func(fresh secrets) error {
			return errors.Join(service.Rotate(fresh.Auth), service.RotateDatabase(fresh.Store.For("auth")))
		})
	})
}
