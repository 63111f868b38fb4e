package allinone

import (
	"context"
	"errors"
	"io"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// Migrate applies the migrations of every service that has a store, and returns. It needs only the settings of the databases.
func Migrate(ctx context.Context, env settings.Env, stderr io.Writer) error {
	var c struct {
		Host  serve.Settings
		Store serve.Store
	}
	if err := settings.Load(withDatabase(env.Get), &c); err != nil {
		return err
	}
	host, err := serve.NewHost("trivet", c.Host, stderr)
	if err != nil {
		return err
	}
	if err := host.Announce(ctx, env); err != nil {
		return err
	}
	return errors.Join(
		host.Migrate(ctx, c.Store, "auth", auth.Migrations),
		host.Migrate(ctx, c.Store, "ai", ai.Migrations),
		host.Migrate(ctx, c.Store, "billing", billing.Migrations),
	)
}
