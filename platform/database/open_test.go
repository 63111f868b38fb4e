package database_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

func TestOpenRefuses(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, []byte("this is not a database, but long enough to be taken for one"), 0o600))
	for name, tc := range map[string]struct {
		url, says string
		config    database.Config
	}{
		"nothing":             {url: "", says: "DATABASE_URL is not set"},
		"another kind":        {url: "mysql://u:hunter2@h/d", says: "must begin with sqlite:// or postgres://"},
		"no path":             {url: "sqlite://", says: "has no path"},
		"in memory":           {url: "sqlite://:memory:", says: "not supported"},
		"parameters":          {url: "sqlite://x.db?mode=ro", says: "takes no parameters"},
		"odd synchronous":     {url: "sqlite://x.db", says: "must be FULL or NORMAL", config: database.Config{Synchronous: "off"}},
		"no folder":           {url: "sqlite://" + blocked + "/x.db", says: "folder of the SQLite file"},
		"a folder":            {url: "sqlite://" + filepath.Dir(blocked), says: "can't be opened"},
		"not a database":      {url: "sqlite://" + blocked, says: "check that the path in DATABASE_URL is a database"},
		"bad address":         {url: "postgres://u:hunter2%zz@h/d", says: "percent-encode"},
		"bad port":            {url: "postgres://u:hunter2@h:port/d", says: "not a valid address"},
		"bad parameter":       {url: "postgres://u:hunter2@h/d?sslmode=hunter2", says: "can't be used"},
		"password in query":   {url: "postgres://h/d?password=hunter2&sslmode=x", says: "can't be used"},
		"nobody there":        {url: "postgres://u:hunter2@127.0.0.1:1/d", says: "PostgreSQL does not answer"},
		"schema with a quote": {url: "postgres://u:hunter2@h/d", says: "must be lower-case letters", config: database.Config{Schema: `a"b`}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.config.URL = settings.NewSecret(tc.url)
			_, err := database.Open(t.Context(), tc.config)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestFor(t *testing.T) {
	for given, want := range map[string]string{
		"sqlite://data":            "sqlite://data/billing.db",
		"sqlite:///var/lib/trivet": "sqlite:///var/lib/trivet/billing.db",
		"sqlite://data/trivet.db":  "sqlite://data/trivet.billing.db",
		"postgres://h/d":           "postgres://h/d",
		"sqlite://":                "sqlite://",
		"":                         "",
	} {
		config := database.For("billing", settings.NewSecret(given))
		require.Equal(t, want, config.URL.Reveal())
		require.Equal(t, "billing", config.Schema)
	}
}

func TestSQLiteFileIsItsOwnersAndDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "100%_ä #&.db")
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret("sqlite://" + path)}, wallet)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "2000", "query_only": "0",
		} {
			var got string
			require.NoError(t, tx.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got))
			require.Equal(t, want, got, pragma)
		}
		return nil
	}))
	_, err = db.Read().ExecContext(t.Context(), "DELETE FROM wallet")
	require.ErrorContains(t, err, "readonly", "what reads can't write")
}

func TestPostgresSession(t *testing.T) {
	db := databasetest.Postgres(t, wallet)
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		for setting, want := range map[string]string{
			"timezone": "UTC", "search_path": "wallet", "application_name": "trivet wallet", "synchronous_commit": "on",
		} {
			var got string
			require.NoError(t, tx.QueryRowContext(ctx, "SELECT current_setting($1)", setting).Scan(&got))
			require.Equal(t, want, got, setting)
		}
		return nil
	}))
}

// TestTimes writes times of other zones and finer than a microsecond, and reads the same instant, in UTC, on both.
func TestTimes(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 2, 3, 456789123, time.FixedZone("east", 5*3600))
	want := time.Date(2026, 11, 22, 20, 2, 3, 456789000, time.UTC)
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		var written time.Time
		require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
			for id, when := range map[string]any{"value": at, "pointer": &at, "null": sql.NullTime{Time: at, Valid: true}} {
				const insert = "INSERT INTO wallet (id, balance, at) VALUES ($1, 0, $2) RETURNING at"
				if err := tx.QueryRowContext(ctx, insert, id, when).Scan(&written); err != nil {
					return err
				}
				require.Equal(t, want, written)
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO wallet (id, balance, at) VALUES ($1, 0, $2)", "none", (*time.Time)(nil))
			return err
		}))
		rows, err := db.Reader().QueryContext(t.Context(), "SELECT at FROM wallet WHERE at = $1 ORDER BY id", at)
		require.NoError(t, err)
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var read time.Time
			require.NoError(t, rows.Scan(&read))
			require.Equal(t, want, read)
		}
		require.NoError(t, rows.Err())
		require.Equal(t, 3, n)
	})
}

func TestTimestamptzIsUTC(t *testing.T) {
	db := databasetest.Postgres(t, wallet)
	var at time.Time
	require.NoError(t, db.Read().QueryRowContext(t.Context(), "SELECT now()").Scan(&at))
	require.Equal(t, time.UTC, at.Location())
}

func TestErrorKinds(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO wallet (id, balance, note) VALUES ('a', 1, 'n')")
			return err
		}))
		kinds := map[string]func(error) bool{
			"unique": database.IsUnique, "foreign key": database.IsForeignKey, "check": database.IsCheck,
			"unavailable": database.IsUnavailable,
		}
		for query, kind := range map[string]string{
			"INSERT INTO wallet (id, balance) VALUES ('a', 1)":            "unique",
			"INSERT INTO wallet (id, balance, note) VALUES ('b', 1, 'n')": "unique",
			"INSERT INTO entry VALUES ('e', 'none', 1)":                   "foreign key",
			"UPDATE wallet SET balance = -1":                              "check",
			"SELECT nonsense":                                             "",
		} {
			err := db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, query)
				return err
			})
			require.Error(t, err)
			for name, is := range kinds {
				require.Equal(t, name == kind, is(err), "%s: %v", name, err)
			}
		}
	})
	for _, is := range []func(error) bool{database.IsUnique, database.IsForeignKey, database.IsCheck, database.IsUnavailable} {
		require.False(t, is(nil))
		require.False(t, is(context.Canceled))
	}
	require.True(t, database.IsUnavailable(context.DeadlineExceeded))
	require.True(t, database.IsUnavailable(&url.Error{Err: context.DeadlineExceeded}))
}
