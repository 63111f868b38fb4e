package database_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
		"nothing":                        {url: "", says: "DATABASE_URL is not set"},
		"another kind":                   {url: "mysql://u:hunter2@h/d", says: "must begin with sqlite:// or postgres://"},
		"no path":                        {url: "sqlite://", says: "has no path"},
		"in memory":                      {url: "sqlite://:memory:", says: "names a database in memory"},
		"parameters":                     {url: "sqlite://x.db?mode=ro", says: "FOLDER takes none"},
		"odd synchronous":                {url: "sqlite://x.db", says: "must be FULL or NORMAL", config: database.Config{Synchronous: "off"}},
		"no folder":                      {url: "sqlite://" + blocked + "/x.db", says: "TRIVET_DATA_DIR"},
		"a folder":                       {url: "sqlite://" + filepath.Dir(blocked), says: "cannot be opened: check that this process may write it"},
		"not a database":                 {url: "sqlite://" + blocked, says: blocked + " is not a SQLite database"},
		"bad address":                    {url: "postgres://u:hunter2%zz@h/d", says: "percent-encode"},
		"bad port":                       {url: "postgres://u:hunter2@h:port/d", says: "not a valid address"},
		"bad parameter":                  {url: "postgres://u:hunter2@h/d?sslmode=hunter2", says: "is not usable"},
		"password in query":              {url: "postgres://h/d?password=hunter2&sslmode=x", says: "is not usable"},
		"nobody there":                   {url: "postgres://u:hunter2@127.0.0.1:1/d", says: "PostgreSQL does not answer"},
		"a pooler's address for a file":  {url: "sqlite://x.db", says: "DATABASE_DIRECT_URL is set", config: database.Config{DirectURL: settings.NewSecret("postgres://u:hunter2@h/d")}},
		"a direct address of a file":     {url: "postgres://u:hunter2@h/d", says: "DATABASE_DIRECT_URL is not a valid address", config: database.Config{DirectURL: settings.NewSecret("sqlite://x.db")}},
		"a direct address with mistakes": {url: "postgres://u:hunter2@h/d", says: "DATABASE_DIRECT_URL is not usable", config: database.Config{DirectURL: settings.NewSecret("postgres://u:hunter2@h/d?sslmode=hunter2")}},
		"schema with a quote":            {url: "postgres://u:hunter2@h/d", says: "must be lower-case letters", config: database.Config{Schema: `a"b`}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.config.URL = settings.NewSecret(tc.url)
			_, err := database.Open(t.Context(), tc.config)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// An error of a server that answers must not send the operator to look for one that does not.
func TestPostgresErrorsSayWhatIsWrong(t *testing.T) {
	good := databasetest.PostgresURL(t)
	at, err := url.Parse(good)
	require.NoError(t, err)
	name := strings.TrimPrefix(at.Path, "/")
	for _, tc := range []struct {
		url, says string
	}{
		{strings.Replace(good, "/"+name, "/nodb", 1), "PostgreSQL has no such database: check the name in DATABASE_URL"},
		{withUser(*at, "nobody"), "PostgreSQL refused the role"},
	} {
		_, err := database.Open(t.Context(), database.Config{URL: settings.NewSecret(tc.url)})
		require.ErrorContains(t, err, tc.says)
		require.NotContains(t, err.Error(), "does not answer")
	}
}

func withUser(at url.URL, user string) string {
	at.User = url.User(user)
	return at.String()
}

func TestOneProcessOwnsTheFolderOfASQLiteFile(t *testing.T) {
	folder := t.TempDir()
	open := func(name string, beside bool) (*database.DB, error) {
		return database.Open(t.Context(), database.Config{URL: settings.NewSecret("sqlite://" + filepath.Join(folder, name)), Beside: beside})
	}
	// Locks of two descriptors exclude each other as those of two processes do.
	other, err := os.OpenFile(filepath.Join(folder, "trivet.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	_, err = other.WriteString("4711\n")
	require.NoError(t, err)
	lock := func() error { return syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	require.NoError(t, lock())
	_, err = open("a.db", false)
	require.ErrorContains(t, err, "process 4711")
	require.ErrorContains(t, err, "TRIVET_DATA_DIR")
	require.NoFileExists(t, filepath.Join(folder, "a.db"), "nothing was touched")
	_, err = open("a.db", true)
	require.ErrorContains(t, err, "name the folder of a Trivet that has run")
	require.NoFileExists(t, filepath.Join(folder, "a.db"), "a tool makes no file")

	require.NoError(t, syscall.Flock(int(other.Fd()), syscall.LOCK_UN))
	a, err := open("a.db", false)
	require.NoError(t, err)
	tool, err := open("a.db", true)
	require.NoError(t, err, "a tool may look while the owner has the folder")
	require.NoError(t, tool.Close(t.Context()))
	require.ErrorIs(t, lock(), syscall.EWOULDBLOCK, "and takes no lock away")
	b, err := open("b.db", false)
	require.NoError(t, err, "the services of one process share the folder")
	require.NoError(t, a.Close(t.Context()))
	require.ErrorIs(t, lock(), syscall.EWOULDBLOCK)
	require.NoError(t, b.Close(t.Context()))
	require.NoError(t, b.Close(t.Context()))
	require.NoError(t, lock(), "the last one gives it up")
	require.NoError(t, syscall.Flock(int(other.Fd()), syscall.LOCK_UN))

	require.NoError(t, os.WriteFile(filepath.Join(folder, "c.db"), []byte("not a database, but long enough to be one"), 0o600))
	_, err = open("c.db", false)
	require.Error(t, err)
	require.NoError(t, lock(), "a failure gives it up too")
	require.NoError(t, other.Close())
}

func TestADamagedSQLiteFileIsFoundAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "billing.db")
	config := database.Config{URL: settings.NewSecret("sqlite://" + path)}
	db, err := database.Open(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, database.Migrate(t.Context(), db, wallet))
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		for i := range 500 {
			if _, err := tx.ExecContext(ctx, "INSERT INTO wallet (id, balance, note) VALUES ($1, 1, $2)",
				fmt.Sprint(i), fmt.Sprint(i, strings.Repeat("x", 200))); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, db.Close(t.Context()))
	db, err = database.Open(t.Context(), config)
	require.NoError(t, err, "a good one opens")
	require.NoError(t, db.Close(t.Context()))

	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = file.WriteAt([]byte(strings.Repeat("damage ", 4096*3/7)), 8*4096)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	_, err = database.Open(t.Context(), config)
	require.ErrorContains(t, err, "the SQLite file "+path+" is damaged")
	require.ErrorContains(t, err, "restore it from a backup")

	require.NoError(t, os.Truncate(path, 256<<20+1)) // sparse
	db, err = database.Open(t.Context(), config)
	require.NoError(t, err, "a large file is not looked through")
	require.NoError(t, db.Close(t.Context()))
}

func TestFor(t *testing.T) {
	for given, want := range map[string]string{
		"sqlite://data":            "sqlite://data/billing.db",
		"sqlite:///var/lib/trivet": "sqlite:///var/lib/trivet/billing.db",
		"sqlite://data/trivet.db":  "sqlite://data/trivet.billing.db",
		"postgres://h/d":           "postgres://h/d",
		"postgres://h/d_{service}": "postgres://h/d_billing",
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
			"idle_in_transaction_session_timeout": "3s", "lock_timeout": "1500ms",
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
