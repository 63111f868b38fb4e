package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"

	"github.com/trivet-dev/trivet/platform/settings"
)

// ErrNoFile says that a database is not a SQLite file, so that it cannot be copied as one.
var ErrNoFile = errors.New("the database is not a SQLite file")

// File returns the path of the SQLite file that a URL names. Errors: ErrNoFile.
func File(at settings.Secret) (string, error) {
	path, ok := strings.CutPrefix(at.Reveal(), "sqlite://")
	if !ok {
		return "", ErrNoFile
	}
	return path, nil
}

// Copy writes a copy of a SQLite file, as of one moment, to a path where no file is. The file may be in use, also by writers.
func Copy(ctx context.Context, from, to string) (err error) {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	pool, err := openFile(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	made, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // SQLite would let others read it
	if err != nil {
		return err
	}
	if err := made.Close(); err != nil {
		return err
	}
	if _, err := pool.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return syncFile(to)
}

// Inspect reads a whole SQLite file and reports damage.
func Inspect(ctx context.Context, path string) (err error) {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	pool, err := openFile(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	var found string
	if err := pool.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return fmt.Errorf("%s cannot be read: %w", path, err)
	}
	if found != "ok" {
		return fmt.Errorf("%s is damaged: %s", path, found)
	}
	return nil
}

// openFile opens a SQLite file that exists, with one connection.
func openFile(path string) (*sql.DB, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	at := url.URL{Scheme: "file", Path: whole, RawQuery: "mode=rw&_pragma=busy_timeout(5000)"}
	connector, err := sqlite.NewConnector(at.String())
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(1)
	return pool, nil
}

func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
