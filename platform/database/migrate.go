package database

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrations are a service's goose migrations. FS holds NNNNN_name.sql files: at its root for both databases, and in the
// folders sqlite and postgres for one of them. Their numbers count together.
type Migrations struct {
	// Service names the table that records them (SERVICE_migrations), so that services may share a database.
	Service string
	FS      fs.FS
}

func (m Migrations) table() string { return m.Service + "_migrations" }

// files returns the migrations for d.
func (m Migrations) files(d Dialect) (fs.FS, error) {
	if err := checkIdentifier("Migrations.Service", m.Service); err != nil {
		return nil, err
	}
	info, err := fs.Stat(m.FS, string(d))
	if err != nil || !info.IsDir() {
		return m.FS, nil //nolint:nilerr // all files are for both databases
	}
	own, err := fs.Sub(m.FS, string(d))
	return overlay{own: own, both: m.FS}, err
}

// overlay is a file system with the files of two.
type overlay struct{ own, both fs.FS }

// Open opens a file of one of them.
func (o overlay) Open(name string) (fs.File, error) {
	file, err := o.own.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return o.both.Open(name)
	}
	return file, err
}

// ReadDir lists the files of both.
func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	own, err := fs.ReadDir(o.own, name)
	if err != nil {
		return nil, err
	}
	both, err := fs.ReadDir(o.both, name)
	all := slices.Concat(own, both)
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return all, err
}

// NewerError says that a newer version of the program has migrated the database.
type NewerError struct {
	// Service is that of the migrations, and Store the service whose store it is.
	Service, Store string
	// Version is the database's, and Known the newest that this program knows.
	Version, Known int64
}

// Error says what to do.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the database of %s has migration %d of %s, and this program knows migrations up to %d only: "+
		"run the newer version of the program, or restore a backup from before the upgrade", e.Store, e.Version, e.Service, e.Known)
}

// Migrate brings the store up to date. On PostgreSQL it creates the schema, and processes that do it at once wait for each
// other. It changes nothing in a database that a newer version of the program has migrated; the error is a *NewerError.
func Migrate(ctx context.Context, db *DB, m Migrations) (err error) {
	// A pool of its own: the reading one can't write, and the writing one's connections are the lanes'.
	pool, err := db.target.open(migrations, 2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if db.dialect == Postgres && db.config.Schema != "" {
		if current, ok, err := leadsTo(ctx, pool, db.config.Schema); err != nil || !ok {
			return errors.Join(err, wrongSchema(ok, current, db.config.Schema))
		}
		if err := createSchema(ctx, pool, db.config.Schema); err != nil {
			return fmt.Errorf("the schema %s cannot be created: grant the role CREATE on the database, or create the schema by hand: %w", db.config.Schema, err)
		}
	}
	provider, err := db.provider(pool, m)
	if err != nil {
		return err
	}
	if err := db.refuseNewer(ctx, m, provider); err != nil {
		return err
	}
	done, err := up(ctx, provider)
	for _, r := range done {
		db.config.Logger.InfoContext(ctx, "migration applied", slog.String("service", db.store()), slog.String("migrations", m.Service),
			slog.String("file", r.Source.Path), slog.Duration("took", r.Duration))
	}
	if partial, ok := errors.AsType[*goose.PartialError](err); ok && partial.Failed != nil {
		return fmt.Errorf("migration %s of %s failed; the migrations before it are in place: %w", partial.Failed.Source.Path, m.Service, partial.Err)
	}
	if err != nil {
		return fmt.Errorf("migration of %s failed: %w", m.Service, err)
	}
	return nil
}

// migrateAttempts bounds how often Migrate begins again after a conflict.
const migrateAttempts = 5

// up applies the migrations. PostgreSQL ends one of two transactions that wait for each other: when a migration that takes
// the tables meets processes that still write, it may be this one. Its migration is undone, and begins again.
func up(ctx context.Context, provider *goose.Provider) (done []*goose.MigrationResult, err error) {
	for range migrateAttempts {
		var some []*goose.MigrationResult
		some, err = provider.Up(ctx)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			some = partial.Applied
		}
		done = append(done, some...)
		if !pgClass(err, "40001", "40P01") {
			break
		}
	}
	return done, err
}

// store names the service whose store this is, for people.
func (db *DB) store() string { return cmp.Or(db.config.Schema, "public") }

// CheckVersion refuses a database that a newer version of the program has migrated, with a *NewerError. Call it when a
// service starts: it changes nothing, and takes a database that is not migrated yet.
func CheckVersion(ctx context.Context, db *DB, all ...Migrations) error {
	for _, m := range all {
		provider, err := db.provider(db.readers, m)
		if err != nil {
			return err
		}
		if err := db.refuseNewer(ctx, m, provider); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) refuseNewer(ctx context.Context, m Migrations, provider *goose.Provider) error {
	applied, err := db.applied(ctx, m)
	if err != nil {
		return fmt.Errorf("the migrations of %s cannot be looked up: %w", m.Service, temporary(err))
	}
	var known int64
	for _, source := range provider.ListSources() {
		known = max(known, source.Version)
	}
	if len(applied) > 0 && slices.Max(applied) > known {
		return &NewerError{Service: m.Service, Store: db.store(), Version: slices.Max(applied), Known: known}
	}
	return nil
}

// createSchema looks before it creates, because creating needs a right that a role may lack when all is in place.
func createSchema(ctx context.Context, pool *sql.DB, schema string) error {
	for {
		var exists bool
		row := pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", schema)
		if err := row.Scan(&exists); err != nil || exists {
			return err
		}
		_, err := pool.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS "`+schema+`"`)
		if err != nil && !IsUnique(err) && pgCode(err) != "42P06" { // another process was faster: look again
			return err
		}
	}
}

func (db *DB) provider(pool *sql.DB, m Migrations) (*goose.Provider, error) {
	files, err := m.files(db.dialect)
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{
		goose.WithTableName(m.table()),
		goose.WithDisableGlobalRegistry(true),
	}
	dialect := goose.DialectSQLite3
	if db.dialect == Postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID(db.config.Schema, m.Service)),
			lock.WithLockTimeout(1, 600))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, pool, files, options...)
	if err != nil {
		return nil, fmt.Errorf("migrations of %s: %w", m.Service, err)
	}
	return provider, nil
}

// lockID is the advisory lock that keeps two processes from migrating one service at once.
func lockID(schema, service string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("trivet migrations " + schema + " " + service))
	return int64(h.Sum64())
}

// MigrateAll applies several sets of migrations, one after another.
func MigrateAll(ctx context.Context, db *DB, all ...Migrations) error {
	for _, m := range all {
		if err := Migrate(ctx, db, m); err != nil {
			return err
		}
	}
	return nil
}

// SchemaCheck returns a readiness check that fails while migrations are missing, or when a newer version of the program has
// migrated the database. After its first success it asks no more: a newer version may migrate while this one still runs.
func SchemaCheck(db *DB, all ...Migrations) func(context.Context) error {
	var complete atomic.Bool
	return func(ctx context.Context) error {
		if complete.Load() {
			return nil
		}
		if err := CheckVersion(ctx, db, all...); err != nil {
			return err
		}
		for _, m := range all {
			pending, err := Pending(ctx, db, m)
			if err != nil {
				return err
			}
			if len(pending) > 0 {
				return fmt.Errorf("%d migrations of %s are missing: run `trivet migrate`, or in split mode the service with the argument migrate", len(pending), m.Service)
			}
		}
		complete.Store(true)
		return nil
	}
}

// Pending lists the migrations that Migrate would apply, oldest first, without changing anything.
func Pending(ctx context.Context, db *DB, m Migrations) ([]string, error) {
	provider, err := db.provider(db.readers, m)
	if err != nil {
		return nil, err
	}
	applied, err := db.applied(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("the migrations of %s cannot be looked up: %w", m.Service, temporary(err))
	}
	var pending []string
	for _, source := range provider.ListSources() {
		if !slices.Contains(applied, source.Version) {
			pending = append(pending, source.Path)
		}
	}
	return pending, nil
}

func (db *DB) applied(ctx context.Context, m Migrations) (versions []int64, err error) {
	exists := "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1"
	if db.dialect == Postgres {
		exists = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $1"
	}
	var tables int
	if err := db.readers.QueryRowContext(ctx, exists, m.table()).Scan(&tables); err != nil || tables == 0 {
		return nil, err
	}
	rows, err := db.readers.QueryContext(ctx, "SELECT version_id FROM "+m.table()+" WHERE is_applied") //nolint:gosec // the name is checked: checkIdentifier
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		versions = append(versions, v)
	}
	return versions, rows.Err()
}
