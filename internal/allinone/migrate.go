package allinone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// Migrate applies the migrations of every service that has a store, and returns. It needs no setting but where that is.
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
	authMigrations, err := auth.Migrations()
	if err != nil {
		return err
	}
	for _, s := range []struct {
		name       string
		migrations []database.Migrations
	}{{"auth", authMigrations}, {"billing", billing.Migrations()}} {
		if err := migrateStore(ctx, host.Logger, s.name, c.Store.DatabaseURL, s.migrations); err != nil {
			return fmt.Errorf("migrate %s: %w", s.name, err)
		}
		host.Logger.InfoContext(ctx, "the store is up to date", slog.String("service", s.name))
	}
	return nil
}

func migrateStore(ctx context.Context, logger *slog.Logger, service string, url settings.Secret, migrations []database.Migrations) (err error) {
	config := database.For(service, url)
	config.Logger = logger
	db, err := database.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, db.Close(closing))
	}()
	return database.MigrateAll(ctx, db, migrations...)
}
