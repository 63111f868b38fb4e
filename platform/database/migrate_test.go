package database_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

func TestMigrateAndPending(t *testing.T) {
	var log bytes.Buffer
	databasetest.Each(t, database.Migrations{Service: "wallet"}, func(t *testing.T, db *database.DB) {
		log.Reset()
		pending, err := database.Pending(t.Context(), db, wallet)
		require.NoError(t, err)
		require.Equal(t, []string{"00001_wallet.sql"}, pending)
		for range 2 {
			require.NoError(t, database.Migrate(t.Context(), db, wallet))
		}
		pending, err = database.Pending(t.Context(), db, wallet)
		require.NoError(t, err)
		require.Empty(t, pending)
		require.Contains(t, log.String(), "00001_wallet.sql")

		more := database.Migrations{Service: "wallet", FS: fstest.MapFS{
			"00001_wallet.sql": wallet.FS.(fstest.MapFS)["00001_wallet.sql"],
			"00002_more.sql":   {Data: []byte("-- +goose Up\nALTER TABLE wallet ADD COLUMN more TEXT;\n")},
		}}
		pending, err = database.Pending(t.Context(), db, more)
		require.NoError(t, err)
		require.Equal(t, []string{"00002_more.sql"}, pending)
		require.NoError(t, database.Migrate(t.Context(), db, more))
	}, func(c *database.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
}

// A rollback of the program after a change of the schema must not write into a schema that it does not know.
func TestADatabaseOfANewerProgramIsRefused(t *testing.T) {
	newer := database.Migrations{Service: "wallet", FS: fstest.MapFS{
		"00001_wallet.sql": wallet.FS.(fstest.MapFS)["00001_wallet.sql"],
		"00099_more.sql":   {Data: []byte("-- +goose Up\nALTER TABLE wallet ADD COLUMN more TEXT;\n")},
	}}
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		require.NoError(t, database.CheckVersion(t.Context(), db, wallet))
		running := database.SchemaCheck(db, wallet)
		require.NoError(t, running(t.Context()))
		require.NoError(t, database.Migrate(t.Context(), db, newer))
		require.NoError(t, running(t.Context()), "a newer version may migrate while this one still runs")
		for name, err := range map[string]error{
			"start": database.CheckVersion(t.Context(), db, wallet), "migrate": database.Migrate(t.Context(), db, wallet),
			"readiness":   database.SchemaCheck(db, wallet)(t.Context()),
			"migrate all": database.MigrateAll(t.Context(), db, wallet),
		} {
			var ahead *database.NewerError
			require.ErrorAs(t, err, &ahead, name)
			require.Equal(t, database.NewerError{Service: "wallet", Store: "wallet", Version: 99, Known: 1}, *ahead, name)
			require.ErrorContains(t, err, "migration 99", name)
			require.ErrorContains(t, err, "up to 1 only", name)
		}
		require.NoError(t, database.CheckVersion(t.Context(), db, newer))
		other := database.Migrations{Service: "other", FS: wallet.FS}
		require.NoError(t, database.CheckVersion(t.Context(), db, other), "a database that is not migrated yet is not newer")
	})
}

func TestTheLogOfAMigrationNamesItsStore(t *testing.T) {
	var log bytes.Buffer
	db := databasetest.Open(t, database.Config{
		URL: settings.NewSecret("sqlite://" + filepath.Join(t.TempDir(), "x.db")), Schema: "billing", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, wallet)
	require.NoError(t, db.Ping(t.Context()))
	require.Contains(t, log.String(), "service=billing")
	require.Contains(t, log.String(), "migrations=wallet")
}

func TestServicesShareADatabase(t *testing.T) {
	other := database.Migrations{Service: "other", FS: fstest.MapFS{
		"00001_other.sql": {Data: []byte("-- +goose Up\nCREATE TABLE other (id TEXT PRIMARY KEY);\n")},
	}}
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		require.NoError(t, database.Migrate(t.Context(), db, other))
		var n int
		require.NoError(t, db.Reader().QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM other) + (SELECT count(*) FROM wallet)").Scan(&n))
	})
}

func TestMigrationsPerDialect(t *testing.T) {
	m := database.Migrations{Service: "two", FS: fstest.MapFS{
		"sqlite/00001_a.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE kind AS SELECT 'sqlite' AS name;\n")},
		"postgres/00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE kind AS SELECT 'postgres' AS name;\n")},
	}}
	databasetest.Each(t, m, func(t *testing.T, db *database.DB) {
		var name string
		require.NoError(t, db.Reader().QueryRowContext(t.Context(), "SELECT name FROM kind").Scan(&name))
		require.Equal(t, string(db.Dialect()), name)
	})
}

// Some steps differ between the databases: those are in folders, and are applied in the order of all numbers.
func TestMigrationsForBothAndForOne(t *testing.T) {
	m := database.Migrations{Service: "two", FS: fstest.MapFS{
		"00001_a.sql":          {Data: []byte("-- +goose Up\nCREATE TABLE kind (name TEXT NOT NULL);\n")},
		"sqlite/00002_b.sql":   {Data: []byte("-- +goose Up\nINSERT INTO kind VALUES ('sqlite');\n")},
		"postgres/00002_b.sql": {Data: []byte("-- +goose Up\nINSERT INTO kind VALUES ('postgres');\n")},
		"00003_c.sql":          {Data: []byte("-- +goose Up\nUPDATE kind SET name = name || '!';\n")},
	}}
	databasetest.Each(t, m, func(t *testing.T, db *database.DB) {
		var name string
		require.NoError(t, db.Reader().QueryRowContext(t.Context(), "SELECT name FROM kind").Scan(&name))
		require.Equal(t, string(db.Dialect())+"!", name)
		pending, err := database.Pending(t.Context(), db, m)
		require.NoError(t, err)
		require.Empty(t, pending)

		older := database.Migrations{Service: "two", FS: fstest.MapFS{"00001_a.sql": m.FS.(fstest.MapFS)["00001_a.sql"]}}
		var ahead *database.NewerError
		require.ErrorAs(t, database.CheckVersion(t.Context(), db, older), &ahead)
		require.Equal(t, database.NewerError{Service: "two", Store: "two", Version: 3, Known: 1}, *ahead)
	})
}

func TestTwoMigrationsWithOneNumberAreRefused(t *testing.T) {
	same := []byte("-- +goose Up\nSELECT 1;\n")
	databasetest.Each(t, database.Migrations{Service: "two"}, func(t *testing.T, db *database.DB) {
		require.ErrorContains(t, database.Migrate(t.Context(), db, database.Migrations{Service: "two", FS: fstest.MapFS{
			"00001_a.sql": {Data: same}, "sqlite/00001_b.sql": {Data: same}, "postgres/00001_b.sql": {Data: same},
		}}), "two")
	})
}

// A migration that takes two tables meets a writer that takes them in the other order. PostgreSQL ends one of the two.
func TestAMigrationThatMeetsADeadlockBeginsAgain(t *testing.T) {
	db := databasetest.Postgres(t, wallet)
	taking := database.Migrations{Service: "wallet", FS: fstest.MapFS{
		"00001_wallet.sql": wallet.FS.(fstest.MapFS)["00001_wallet.sql"],
		"00002_take.sql": {Data: []byte(`-- +goose Up
LOCK TABLE wallet IN ACCESS EXCLUSIVE MODE;
LOCK TABLE entry IN ACCESS EXCLUSIVE MODE;
ALTER TABLE entry ADD COLUMN more TEXT;
`)},
	}}
	migrated := make(chan error, 1)
	var once sync.Once
	require.NoError(t, db.Write(t.Context(), "writer", func(ctx context.Context, tx database.Tx) error {
		for _, statement := range []string{
			"SET LOCAL deadlock_timeout = '1min'", "SET LOCAL lock_timeout = 0", // so that PostgreSQL ends the migration
			"LOCK TABLE entry IN ROW EXCLUSIVE MODE",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		once.Do(func() { go func() { migrated <- database.Migrate(t.Context(), db, taking) }() })
		require.Eventually(t, func() bool {
			var waiting int
			err := db.Read().QueryRowContext(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'").Scan(&waiting)
			return err == nil && waiting > 0
		}, 30*time.Second, time.Millisecond)
		_, err := tx.ExecContext(ctx, "LOCK TABLE wallet IN ROW EXCLUSIVE MODE")
		return err
	}))
	require.NoError(t, <-migrated)
}

// TestProcessesMigrateAtOnce starts several that find the same empty database.
func TestProcessesMigrateAtOnce(t *testing.T) {
	at := settings.NewSecret(databasetest.PostgresURL(t))
	var all sync.WaitGroup
	for range 4 {
		db := databasetest.Open(t, database.Config{URL: at, Schema: "wallet", Lanes: 1}, database.Migrations{})
		all.Go(func() {
			if err := database.Migrate(t.Context(), db, wallet); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestMigrateTellsWhatFailed(t *testing.T) {
	databasetest.Each(t, database.Migrations{Service: "wallet"}, func(t *testing.T, db *database.DB) {
		bad := database.Migrations{Service: "wallet", FS: fstest.MapFS{
			"00001_bad.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id TEXT);\nNONSENSE;\n")},
		}}
		err := database.Migrate(t.Context(), db, bad)
		require.ErrorContains(t, err, "migration 00001_bad.sql of wallet failed")
		_, err = db.Read().ExecContext(t.Context(), "SELECT * FROM a")
		require.Error(t, err, "all or nothing")

		require.ErrorContains(t, database.Migrate(t.Context(), db, database.Migrations{Service: "wallet", FS: fstest.MapFS{}}), "wallet")
		require.ErrorContains(t, database.Migrate(t.Context(), db, database.Migrations{Service: "No Good", FS: wallet.FS}), "lower-case")
	})
}

func TestSchemaCheckFailsUntilMigrated(t *testing.T) {
	databasetest.Each(t, database.Migrations{Service: wallet.Service}, func(t *testing.T, db *database.DB) {
		check := database.SchemaCheck(db, wallet)
		require.ErrorContains(t, check(t.Context()), "trivet migrate")
		require.NoError(t, database.Migrate(t.Context(), db, wallet))
		require.NoError(t, check(t.Context()))
	})
}
