package billing_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

// migrated returns a PostgreSQL database that is migrated already. Migrating each would take most of the time of the tests.
func migrated(t *testing.T) database.Config {
	t.Helper()
	place := database.For("billing", settings.NewSecret(databasetest.CopyOf(t, "billing", func(address string) {
		require.NoError(t, migrate(t.Context(), database.For("billing", settings.NewSecret(address))))
	})))
	place.Lanes = databasetest.Lanes
	return place
}

// onSQLite returns a SQLite database that is migrated already.
func onSQLite(t *testing.T) database.Config {
	t.Helper()
	place := unmigrated(t)
	file, err := migratedFile()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(fileOf(place), file, 0o600))
	return place
}

// unmigrated is the place of a SQLite database. No test ends the system, so its commits need not survive that.
func unmigrated(t *testing.T) database.Config {
	t.Helper()
	place := database.For("billing", settings.NewSecret("sqlite://"+t.TempDir()))
	place.Synchronous = "NORMAL"
	return place
}

func fileOf(place database.Config) string { return strings.TrimPrefix(place.URL.Reveal(), "sqlite://") }

// migratedFile is the content of a migrated SQLite database.
var migratedFile = sync.OnceValues(func() (file []byte, err error) { //nolint:gochecknoglobals // one per process is the point
	dir, err := os.MkdirTemp("", "trivet-billing-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	place := database.For("billing", settings.NewSecret("sqlite://"+filepath.Join(dir, "template.db")))
	if err := migrate(context.Background(), place); err != nil {
		return nil, err
	}
	return os.ReadFile(fileOf(place))
})

func migrate(ctx context.Context, place database.Config) error {
	db, err := database.Open(ctx, place)
	if err != nil {
		return err
	}
	return errors.Join(database.MigrateAll(ctx, db, billing.Migrations()...), db.Close(context.WithoutCancel(ctx)))
}

// A service is ready once its database is migrated.
func TestReadyOnceMigrated(t *testing.T) {
	h := newFixture(t, nil, unmigrated(t))
	require.NoError(t, h.service.Checks()["billing.schema"](t.Context()))
	h.call("r1", "org_1", "user_member")
	h.sound()
}
