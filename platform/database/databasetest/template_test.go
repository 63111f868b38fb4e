package databasetest

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
)

// Copies of one template are databases of their own, and other migrations make another template.
func TestCopiesAreSeparate(t *testing.T) {
	made := func(service, table string) database.Migrations {
		text := "-- +goose Up\nCREATE TABLE " + table + " (n BIGINT NOT NULL);\n"
		return database.Migrations{Service: service, FS: fstest.MapFS{"00001_init.sql": {Data: []byte(text)}}}
	}
	count := func(t *testing.T, db *database.DB, table string) (n int) {
		t.Helper()
		require.NoError(t, db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}
	Each(t, made("first", "notes"), func(t *testing.T, one *database.DB) {
		require.NoError(t, one.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO notes (n) VALUES (1)")
			return err
		}))
		require.Equal(t, 1, count(t, one, "notes"))
		open := SQLite
		if one.Dialect() == database.Postgres {
			open = Postgres
		}
		require.Zero(t, count(t, open(t, made("first", "notes")), "notes"))
		require.Zero(t, count(t, open(t, made("first", "others")), "others"), "other migrations of the same service")
		require.NoError(t, database.SchemaCheck(one, made("first", "notes"))(t.Context()), "a copy knows its migrations")
	})
}
