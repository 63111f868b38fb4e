package database

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"modernc.org/sqlite"
)

// sqliteFile is a SQLite database in a file.
type sqliteFile struct {
	path   string
	config Config
}

func newSQLiteFile(path string, config Config) (*sqliteFile, error) {
	switch {
	case path == "":
		return nil, errors.New("DATABASE_URL has no path: write sqlite://PATH, such as sqlite://data/billing.db")
	case strings.Contains(path, ":memory:"):
		return nil, errors.New("DATABASE_URL: databases in memory are not supported, name a file")
	case strings.ContainsAny(path, "?\x00"):
		return nil, errors.New("DATABASE_URL: sqlite://PATH takes no parameters")
	}
	if s := config.Synchronous; s != "FULL" && s != "NORMAL" {
		return nil, fmt.Errorf("database: Synchronous is %q, must be FULL or NORMAL", s)
	}
	return &sqliteFile{path: path, config: config}, nil
}

func (*sqliteFile) dialect() Dialect { return SQLite }

func (f *sqliteFile) open(role role, maxConns int) (*sql.DB, error) {
	if err := f.create(); err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(f.dsn(role))
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	return pool, nil
}

// create makes the file before SQLite would, so that only its owner may read it. One that exists is not touched: to close
// any descriptor of it would drop all of the process's locks on it (POSIX), and then whoever else opens and closes the
// database takes itself for the last one and deletes the log that this process writes to.
func (f *sqliteFile) create() error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("the folder of the SQLite file can't be made (DATABASE_URL): %w", err)
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the SQLite file can't be opened (DATABASE_URL): %w", err)
	}
	return file.Close()
}

func (f *sqliteFile) dsn(role role) string {
	query := url.Values{
		"_time_format": {"sqlite"},
		"_timezone":    {"UTC"},
		"_txlock":      {"immediate"},
		"_pragma": {
			"busy_timeout(" + strconv.FormatInt(f.config.BusyTimeout.Milliseconds(), 10) + ")",
			"journal_mode(WAL)",
			"synchronous(" + f.config.Synchronous + ")",
			"foreign_keys(1)",
			"temp_store(MEMORY)",
			"journal_size_limit(67108864)",
			"cache_size(-4096)",
		},
	}
	if role == reads {
		query["_pragma"] = append(query["_pragma"], "query_only(1)")
		query.Set("_txlock", "deferred")
	}
	// A file: URI with a percent-encoded path, because a path may hold any character.
	at := url.URL{Scheme: "file", Opaque: (&url.URL{Path: f.path}).EscapedPath(), RawQuery: query.Encode()}
	return at.String()
}
