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
	"slices"
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
	EachOf(t, []database.Migrations{m}, test, options...)
}

// EachOf is Each with the tables of several migrations, in the schema of the last.
func EachOf(t *testing.T, all []database.Migrations, test func(t *testing.T, db *database.DB), options ...Option) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLiteOf(t, all, options...)) })
	t.Run("postgres", func(t *testing.T) { test(t, PostgresOf(t, all, options...)) })
}

// SQLite returns a fresh, migrated SQLite database, closed when the test ends.
func SQLite(t testing.TB, m database.Migrations, options ...Option) *database.DB {
	t.Helper()
	return SQLiteOf(t, []database.Migrations{m}, options...)
}

// SQLiteOf is SQLite with the tables of several migrations.
func SQLiteOf(t testing.TB, all []database.Migrations, options ...Option) *database.DB {
	t.Helper()
	return open(t, database.Config{
		URL:    settings.NewSecret("sqlite://" + filepath.Join(t.TempDir(), "test.db")),
		Schema: schemaOf(all), Synchronous: "NORMAL",
	}, all, options...)
}

// Postgres returns a fresh, migrated PostgreSQL database, closed when the test ends.
func Postgres(t testing.TB, m database.Migrations, options ...Option) *database.DB {
	t.Helper()
	return PostgresOf(t, []database.Migrations{m}, options...)
}

// PostgresOf is Postgres with the tables of several migrations, in the schema of the last.
func PostgresOf(t testing.TB, all []database.Migrations, options ...Option) *database.DB {
	t.Helper()
	return open(t, database.Config{URL: settings.NewSecret(MigratedURL(t, all...)), Schema: schemaOf(all), Lanes: Lanes}, all, options...)
}

// Lanes is how many connections of a test's PostgreSQL database write. To start each costs the server more than most tests write.
const Lanes = 2

func schemaOf(all []database.Migrations) string { return all[len(all)-1].Service }

// Open opens and migrates a database (unless m has no files) and closes it when the test ends.
func Open(t testing.TB, config database.Config, m database.Migrations, options ...Option) *database.DB {
	t.Helper()
	return open(t, config, []database.Migrations{m}, options...)
}

func open(t testing.TB, config database.Config, all []database.Migrations, options ...Option) *database.DB {
	t.Helper()
	for _, o := range options {
		o(&config)
	}
	all = slices.DeleteFunc(slices.Clone(all), func(m database.Migrations) bool { return m.FS == nil })
	migrated := len(all) > 0 && prepared(t, config, all)
	db, err := database.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, db.Close(ctx))
	})
	if !migrated {
		require.NoError(t, database.MigrateAll(t.Context(), db, all...))
	}
	return db
}
