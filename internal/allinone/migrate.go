package allinone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// migrateAll applies the migrations of every service that has a store. It needs no setting but where that is.
func migrateAll(ctx context.Context, getenv func(string) string, host *serve.Host) error {
	var at serve.Store
	if err := settings.Load(getenv, &at); err != nil {
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
		if err := migrateStore(ctx, host.Logger, s.name, at.DatabaseURL, s.migrations); err != nil {
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
