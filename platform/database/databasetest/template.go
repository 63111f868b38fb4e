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
	sqlite   map[string][]byte // the file, by its migrations
	postgres map[string]string // the name of the database, by its migrations
	copies   map[string]string // the migrations, by the name of the copy
}

// MigratedURL returns the address of a fresh PostgreSQL database with the migrations, dropped when the test ends. Open does not migrate it again.
func MigratedURL(t testing.TB, m database.Migrations) string {
	t.Helper()
	if os.Getenv("TEST_POSTGRES_URL") != "" || m.FS == nil {
		return PostgresURL(t) // a template would stay on that server
	}
	key := digest(t, m)
	address := CopyOf(t, key, func(address string) {
		migrate(t, database.Config{URL: settings.NewSecret(address), Schema: m.Service}, m)
	})
	templates.Lock()
	defer templates.Unlock()
	if templates.copies == nil {
		templates.copies = map[string]string{}
	}
	templates.copies[databaseName(address)] = key
	return address
}

// CopyOf returns the address of a fresh copy of the PostgreSQL database that prepare fills once per test process and name, dropped when
// the test ends. prepare must leave no connection open.
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

func (s *Server) template(t testing.TB, name string, prepare func(address string)) string {
	t.Helper()
	templates.Lock()
	defer templates.Unlock()
	if made, ok := templates.postgres[name]; ok {
		return made
	}
	made := "template_" + strings.ToLower(randomName())
	run(t, s.URL("postgres"), "CREATE DATABASE "+made)
	prepare(s.URL(made))
	if templates.postgres == nil {
		templates.postgres = map[string]string{}
	}
	templates.postgres[name] = made
	return made
}

// copied creates a copy, dropped when the test ends. Copying files also copies the cache with which first connections start fast.
func (s *Server) copied(t testing.TB, template string) string {
	t.Helper()
	return newDatabase(t, s.URL("postgres"), " TEMPLATE "+template+" STRATEGY file_copy")
}

// prepared gives a new SQLite database its migrations, and reports whether this database or PostgreSQL's has them.
func prepared(t testing.TB, config database.Config, m database.Migrations) bool {
	t.Helper()
	address := config.URL.Reveal()
	path, isSQLite := strings.CutPrefix(address, "sqlite://")
	if !isSQLite {
		templates.Lock()
		defer templates.Unlock()
		return config.Schema == m.Service && templates.copies[databaseName(address)] == digest(t, m)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(path, ".db") || config.Beside || config.Logger != nil {
		return false // a logger receives a line for each migration
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return false // Open makes the folder
	}
	require.NoError(t, os.WriteFile(path, sqliteTemplate(t, m), 0o600))
	return true
}

func sqliteTemplate(t testing.TB, m database.Migrations) []byte {
	t.Helper()
	key := digest(t, m)
	templates.Lock()
	defer templates.Unlock()
	if made, ok := templates.sqlite[key]; ok {
		return made
	}
	path := filepath.Join(t.TempDir(), "template.db")
	migrate(t, database.Config{URL: settings.NewSecret("sqlite://" + path), Schema: m.Service}, m)
	made, err := os.ReadFile(path)
	require.NoError(t, err)
	if templates.sqlite == nil {
		templates.sqlite = map[string][]byte{}
	}
	templates.sqlite[key] = made
	return made
}

func migrate(t testing.TB, config database.Config, m database.Migrations) {
	t.Helper()
	db, err := database.Open(t.Context(), config)
	require.NoError(t, err)
	err = database.Migrate(t.Context(), db, m)
	require.NoError(t, errors.Join(err, db.Close(context.WithoutCancel(t.Context()))))
}

// digest identifies migrations by what they say.
func digest(t testing.TB, m database.Migrations) string {
	t.Helper()
	sum := sha256.New()
	_, _ = sum.Write([]byte(m.Service))
	require.NoError(t, fs.WalkDir(m.FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(m.FS, path)
		_, _ = sum.Write([]byte("\x00" + path + "\x00" + string(text)))
		return err
	}))
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
