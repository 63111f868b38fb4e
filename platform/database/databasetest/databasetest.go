// Package databasetest opens throw-away databases for tests: SQLite in a temporary folder, and PostgreSQL from the
// programs on the machine (Debian: apt-get install postgresql), started once per test process, or from
// TEST_POSTGRES_URL, an address whose role may create databases.
//
// A database with migrations is a copy of one that is migrated once per test process.
//
// Without PostgreSQL a test is skipped, loudly; with CI=true or TRIVET_TEST_REQUIRE=1 it fails.
package databasetest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Option changes the configuration that a test's database is opened with.
type Option func(*database.Config)

// Each runs test on a fresh, migrated SQLite database and on a fresh, migrated PostgreSQL one, as subtests.
func Each(t *testing.T, m database.Migrations, test func(t *testing.T, db *database.DB), options ...Option) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t, m, options...)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t, m, options...)) })
}

// SQLite returns a fresh, migrated SQLite database, closed when the test ends.
func SQLite(t testing.TB, m database.Migrations, options ...Option) *database.DB {
	t.Helper()
	return Open(t, database.Config{
		URL:    settings.NewSecret("sqlite://" + filepath.Join(t.TempDir(), "test.db")),
		Schema: m.Service, Synchronous: "NORMAL",
	}, m, options...)
}

// Postgres returns a fresh, migrated PostgreSQL database, closed and dropped when the test ends.
func Postgres(t testing.TB, m database.Migrations, options ...Option) *database.DB {
	t.Helper()
	return Open(t, database.Config{URL: settings.NewSecret(MigratedURL(t, m)), Schema: m.Service}, m, options...)
}

// Open opens and migrates a database (unless m has no files) and closes it when the test ends.
func Open(t testing.TB, config database.Config, m database.Migrations, options ...Option) *database.DB {
	t.Helper()
	for _, o := range options {
		o(&config)
	}
	migrated := m.FS != nil && prepared(t, config, m)
	db, err := database.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, db.Close(ctx))
	})
	if m.FS != nil && !migrated {
		require.NoError(t, database.Migrate(t.Context(), db, m))
	}
	return db
}
