package allinone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/trivet-dev/trivet/platform/serve"
)

// migrateAll builds the services without running them and applies their migrations.
func migrateAll(ctx context.Context, getenv func(string) string, host *serve.Host) (err error) {
	h, err := build(ctx, getenv, host)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	for _, s := range h.services {
		if err := s.Migrate(ctx); err != nil {
			return fmt.Errorf("migrate %s: %w", s.name, err)
		}
		host.Logger.InfoContext(ctx, "the store is up to date", slog.String("service", s.name))
	}
	return nil
}
