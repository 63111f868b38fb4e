package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

// migrate applies a program's migrations. It needs no setting but where the database is.
func (p Program) migrate(ctx context.Context, env settings.Env, stderr io.Writer) error {
	var c struct {
		Host  Settings
		Store Store
	}
	if err := settings.Load(WithDefaults(env.Get), &c, settings.Split); err != nil {
		return err
	}
	host, err := NewHost(p.Name, c.Host, stderr)
	if err != nil {
		return err
	}
	if err := host.Announce(ctx, env); err != nil {
		return err
	}
	return host.Migrate(ctx, c.Store, p.Name, p.Migrations)
}

// Migrate brings a service's store up to date.
func (h *Host) Migrate(ctx context.Context, store Store, service string, migrations func() []database.Migrations) (err error) {
	if migrations == nil || len(migrations()) == 0 {
		h.Logger.InfoContext(ctx, "the service has no store", slog.String("service", service))
		return nil
	}
	config := store.ForTool(service)
	config.Logger = h.Logger
	db, err := database.Open(ctx, config)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", service, err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, db.Close(closing))
	}()
	if err := database.MigrateAll(ctx, db, migrations()...); err != nil {
		return fmt.Errorf("migrate %s: %w", service, err)
	}
	h.Logger.InfoContext(ctx, "the store is up to date", slog.String("service", service))
	return nil
}
