package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/trivet-dev/trivet/platform/datafolder"
)

// sqliteFile is a SQLite database in a file.
type sqliteFile struct {
	path   string
	config Config
}

func newSQLiteFile(path string, config Config) (*sqliteFile, error) {
	switch {
	case path == "":
		return nil, errors.New("DATABASE_URL has no path: write sqlite://FOLDER, such as sqlite://data")
	case strings.Contains(path, ":memory:"):
		return nil, errors.New("DATABASE_URL names a database in memory: name a folder, such as sqlite://data")
	case strings.ContainsAny(path, "?\x00"):
		return nil, errors.New("DATABASE_URL has parameters: sqlite://FOLDER takes none")
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

// acquire locks the folder of the file.
func (f *sqliteFile) acquire() (release func() error, err error) {
	if f.config.Beside {
		return func() error { return nil }, datafolder.Whole(filepath.Dir(f.path))
	}
	return datafolder.Acquire(filepath.Dir(f.path))
}

func (*sqliteFile) begin() string { return "BEGIN IMMEDIATE" }

// unreachable names the file, and what to do about it.
func (f *sqliteFile) unreachable(err error) error {
	what := "cannot be opened: check that this process may write it; " + datafolder.Setting
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_NOTADB:
		what = "is not a SQLite database: restore it from a backup, or move it away; " + datafolder.Setting
	case sqlite3.SQLITE_CORRUPT:
		what = "is damaged: restore it from a backup"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		what = "is locked by another process, such as a sqlite3 shell: end its transaction"
	case sqlite3.SQLITE_FULL:
		what = "cannot grow: free some space on its disk"
	case sqlite3.SQLITE_READONLY:
		what = "is read-only: let this process write the file and its folder"
	}
	return fmt.Errorf("the SQLite file %s %s: %w", f.path, what, err)
}

const (
	// maxChecked is the largest file that is looked through at the start. Some hundred megabytes take about a second.
	maxChecked = 256 << 20
	// checkTimeout bounds the look at a file on a slow disk.
	checkTimeout = 10 * time.Second
)

// check looks for damage in a file of up to 256 MiB, for at most 10 s: SQLite itself notices it only when it meets the page. A tool beside
// the owner of the file leaves that to the owner.
func (f *sqliteFile) check(ctx context.Context, readers *sql.DB) error {
	if f.config.Beside {
		return nil
	}
	info, err := os.Stat(f.path)
	if err != nil || info.Size() > maxChecked {
		f.config.Logger.InfoContext(ctx, "the SQLite file is too large to be checked at the start", slog.String("file", f.path))
		return nil //nolint:nilerr // it was opened, so it can be used
	}
	bounded, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var found string
	err = readers.QueryRowContext(bounded, "PRAGMA quick_check(1)").Scan(&found)
	switch {
	case err == nil && found == "ok":
		return nil
	case err == nil:
		return fmt.Errorf("the SQLite file %s is damaged: %s; restore it from a backup", f.path, found)
	case bounded.Err() != nil && ctx.Err() == nil:
		f.config.Logger.WarnContext(ctx, "checking the SQLite file took too long and was stopped", slog.String("file", f.path))
		return nil
	default:
		return f.unreachable(err)
	}
}

// create makes the file before SQLite would, so that only its owner may read it. It does not touch a file that exists:
// closing any descriptor of it would drop all locks of this process on it (POSIX). Another program that opens and closes the
// database would then take itself for the last user and delete the log that this process writes to.
func (f *sqliteFile) create() error {
	if f.config.Beside { // the owner makes it
		if _, err := os.Stat(f.path); err != nil {
			return fmt.Errorf("the SQLite file cannot be read: %w; name the folder of a Trivet that has run in TRIVET_DATA_DIR or DATABASE_URL", err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("the folder of the SQLite file cannot be created: %w; %s", err, datafolder.Setting)
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the SQLite file cannot be created: %w; %s", err, datafolder.Setting)
	}
	return file.Close()
}

// cacheKiB returns the size of a connection's page cache. The one writer finds its pages there again and again. What a reader
// does not find in its own is in the operating system's cache, so that all connections together stay small.
func cacheKiB(r role) int {
	if r == writes {
		return 2048
	}
	return 512
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
			"secure_delete(1)", // what is deleted or replaced is overwritten, not only unlinked
			"temp_store(MEMORY)",
			"journal_size_limit(67108864)",
			"cache_size(" + strconv.Itoa(-cacheKiB(role)) + ")",
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
