// Command auth runs the auth service as a process of its own.
package main

import (
	"context"
	"io"

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
		return auth.New(ctx, c, auth.Deps{Logger: p.Logger, Meter: p.Meter("auth"), Now: p.Now, Passports: issuer})
	})
}
