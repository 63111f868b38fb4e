// Command auth runs the auth service as a process of its own.
package main

import (
	"context"
	"errors"
	"io"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/services/auth"
)

func main() { serve.Main("auth", run) }

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	return serve.RunService(ctx, "auth", args, getenv, stderr, func(p *serve.Process) (serve.Service, error) {
		var c auth.Config
		if err := p.Load(&c); err != nil {
			return nil, err
		}
		issuer, err := p.Issuer()
		if err != nil {
			return nil, err
		}
		ai, err1 := p.Conn("ai")
		billing, err2 := p.Conn("billing")
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return auth.New(ctx, c, auth.Deps{
			Logger: p.Logger, Meter: p.Meter("auth"), Now: p.Now, Passports: issuer,
			AI: aiv1.NewAIServiceClient(ai), Billing: billingv1.NewBillingServiceClient(billing),
		})
	})
}
