package databasetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

// templates are the migrated databases of this test process: copying one takes a fraction of the time of migrating another.
var templates struct { //nolint:gochecknoglobals // one set per process is the point
	sync.Mutex
	sqlite   map[string][]byte    // the file, by its migrations
	postgres map[string]*original // the database, by its migrations
	copies   map[string]string    // the migrations, by the name of the copy
}

// MigratedURL returns the address of a fresh PostgreSQL database with the migrations, in the schema of the last. Its connections are cut
// when the test ends. Open does not migrate it again.
func MigratedURL(t testing.TB, all ...database.Migrations) string {
	t.Helper()
	if os.Getenv("TEST_POSTGRES_URL") != "" || len(all) == 0 || all[0].FS == nil {
		return PostgresURL(t) // a template would stay on that server
	}
	key := digest(t, all)
	address := CopyOf(t, key, func(address string) {
		migrate(t, database.Config{URL: settings.NewSecret(address), Schema: schemaOf(all)}, all)
	})
	templates.Lock()
	defer templates.Unlock()
	if templates.copies == nil {
		templates.copies = map[string]string{}
	}
	templates.copies[databaseName(address)] = key
	return address
}

// CopyOf returns the address of a fresh copy of the PostgreSQL database that prepare fills once per test process and name. When the test
// ends, its connections are cut. prepare must leave no connection open.
func CopyOf(t testing.TB, name string, prepare func(address string)) string {
	t.Helper()
	if os.Getenv("TEST_POSTGRES_URL") != "" {
		address := PostgresURL(t)
		prepare(address)
		return address
	}
	server := sharedServer(t)
	return server.copied(t, server.template(t, name, prepare))
}

func (s *Server) template(t testing.TB, name string, prepare func(address string)) *original {
	t.Helper()
	templates.Lock()
	defer templates.Unlock()
	if made, ok := templates.postgres[name]; ok {
		return made
	}
	made := &original{database: "template_" + strings.ToLower(randomName())}
	run(t, s.URL("postgres"), "CREATE DATABASE "+made.database)
	prepare(s.URL(made.database))
	made.describe(t, s.URL(made.database))
	if templates.postgres == nil {
		templates.postgres = map[string]*original{}
	}
	templates.postgres[name] = made
	return made
}

// copied returns a copy, which the end of the test gives back. Copying files also copies the cache with which first connections start fast.
func (s *Server) copied(t testing.TB, o *original) string {
	t.Helper()
	free := o.take()
	if free == nil {
		free = &spare{name: createDatabase(t, s.URL("postgres"), " TEMPLATE "+o.database+" STRATEGY file_copy")}
	}
	t.Cleanup(func() { s.giveBack(t, o, free) })
	return s.URL(free.name)
}

// prepared gives a new SQLite database its migrations, and reports whether this database or PostgreSQL's has them.
func prepared(t testing.TB, config database.Config, all []database.Migrations) bool {
	t.Helper()
	address := config.URL.Reveal()
	path, isSQLite := strings.CutPrefix(address, "sqlite://")
	if !isSQLite {
		templates.Lock()
		defer templates.Unlock()
		return config.Schema == schemaOf(all) && templates.copies[databaseName(address)] == digest(t, all)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(path, ".db") || config.Beside || config.Logger != nil {
		return false // a logger receives a line for each migration
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return false // Open makes the folder
	}
	require.NoError(t, os.WriteFile(path, sqliteTemplate(t, all), 0o600))
	return true
}

func sqliteTemplate(t testing.TB, all []database.Migrations) []byte {
	t.Helper()
	key := digest(t, all)
	templates.Lock()
	defer templates.Unlock()
	if made, ok := templates.sqlite[key]; ok {
		return made
	}
	path := filepath.Join(t.TempDir(), "template.db")
	migrate(t, database.Config{URL: settings.NewSecret("sqlite://" + path), Schema: schemaOf(all)}, all)
	made, err := os.ReadFile(path)
	require.NoError(t, err)
	if templates.sqlite == nil {
		templates.sqlite = map[string][]byte{}
	}
	templates.sqlite[key] = made
	return made
}

func migrate(t testing.TB, config database.Config, all []database.Migrations) {
	t.Helper()
	db, err := database.Open(t.Context(), config)
	require.NoError(t, err)
	err = database.MigrateAll(t.Context(), db, all...)
	require.NoError(t, errors.Join(err, db.Close(context.WithoutCancel(t.Context()))))
}

// digest identifies migrations by what they say.
func digest(t testing.TB, all []database.Migrations) string {
	t.Helper()
	sum := sha256.New()
	for _, m := range all {
		_, _ = sum.Write([]byte("\x00\x00" + m.Service))
		require.NoError(t, fs.WalkDir(m.FS, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(m.FS, path)
			_, _ = sum.Write([]byte("\x00" + path + "\x00" + string(text)))
			return err
		}))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// databaseName is the name of a database of PostgreSQL, or "".
func databaseName(address string) string {
	at, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(at.Path, "/")
}
