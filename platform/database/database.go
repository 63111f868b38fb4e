// Package database opens a service's store, SQLite or PostgreSQL, and writes to it in groups: what many callers ask for
// at once is committed together, so that one durable commit (one fsync) pays for all of them.
//
// The same SQL runs on both: write $1 placeholders, ON CONFLICT and RETURNING; declare times as TIMESTAMP (this package
// sends and returns UTC, in microseconds), money as BIGINT, JSON and bytes as BYTEA.
package database

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/settings"
)

// Dialect is the kind of database.
type Dialect string

// The dialects.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// The connections of a store on PostgreSQL. One more listens for notifications.
const (
	DefaultReaders = 10
	DefaultLanes   = 4
)

// Config says which database to open and how. Only URL is needed.
type Config struct {
	// URL is sqlite://PATH (relative or absolute) or postgres://USER:PASSWORD@HOST/NAME with libpq's parameters.
	URL settings.Secret
	// DirectURL is PostgreSQL's own address when URL is that of a pooler in transaction mode, such as PgBouncer: for migrations and
	// notifications, which need a session of their own.
	DirectURL settings.Secret
	// Schema is the PostgreSQL schema that the service owns, its search_path; Migrate creates it. Default: public.
	Schema string
	// Synchronous is SQLite's setting: FULL (default; what is acknowledged survives a power cut) or NORMAL (it survives
	// a crash of the process only).
	Synchronous string
	// MaxReaders bounds the connections that read: default 4 on SQLite, DefaultReaders on PostgreSQL.
	MaxReaders int
	// Lanes is the number of PostgreSQL connections that write, default DefaultLanes. SQLite has one.
	Lanes int
	// MaxBatch bounds the operations of one commit, default 128.
	MaxBatch int
	// QueueSize bounds the operations that wait for a lane, default 1024; beyond, Write waits.
	QueueSize int
	// WriteTimeout bounds a PostgreSQL transaction, default 10 s; then its connection is cut.
	WriteTimeout time.Duration
	// BusyTimeout bounds the wait for another process that holds SQLite's write lock, default 2 s: callers should hear that the
	// store is unavailable before their own deadlines pass.
	BusyTimeout time.Duration
	// Beside opens a SQLite file that another process owns, as a tool or a test does. It takes no lock on the folder.
	Beside bool
	// Observe, when set, is called for every batch; it runs on the lane and must be quick.
	Observe func(Batch)
	// Process, when set, counts the connections of this store with those of the process's other stores.
	Process *Process
	// Logger gets migrations and panics; default: silent.
	Logger *slog.Logger
}

func (c Config) withDefaults(d Dialect) Config {
	readers, lanes := DefaultReaders, cmp.Or(max(c.Lanes, 0), DefaultLanes)
	if d == SQLite {
		readers, lanes = max(4, runtime.GOMAXPROCS(0)), 1
	}
	c.Lanes = lanes
	c.MaxReaders = cmp.Or(max(c.MaxReaders, 0), readers)
	c.MaxBatch = cmp.Or(max(c.MaxBatch, 0), 128)
	c.QueueSize = cmp.Or(max(c.QueueSize, 0), 1024)
	c.WriteTimeout = cmp.Or(max(c.WriteTimeout, 0), 10*time.Second)
	c.BusyTimeout = cmp.Or(max(c.BusyTimeout, 0), 2*time.Second)
	c.Synchronous = strings.ToUpper(cmp.Or(c.Synchronous, "FULL"))
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// DB is an open database: a pool that reads and lanes that write. Close it.
type DB struct {
	dialect Dialect
	config  Config
	target  target
	readers *sql.DB
	writers *sql.DB
	reader  Querier
	lanes   []*lane

	running   sync.WaitGroup
	closing   chan struct{}
	closeOnce sync.Once
	kill      context.CancelFunc
	seed      maphash.Seed
	release   func() error // gives up the data folder
	writable  writeProbe
}

// target opens pools of connections to one database.
type target interface {
	dialect() Dialect
	// acquire makes this process the owner, where only one may be.
	acquire() (release func() error, err error)
	open(role role, maxConns int) (*sql.DB, error)
	// begin is the statement that begins a transaction of a lane.
	begin() string
	// unreachable explains an error of a connection.
	unreachable(err error) error
	// check looks for damage, and for connections that lead elsewhere.
	check(ctx context.Context, readers *sql.DB) error
}

// role is what a pool is for.
type role int

const (
	reads role = iota
	writes
	migrations
)

// Open opens the database and checks that it answers. On SQLite it makes this process the owner of the file's folder, and looks
// for damage. Errors never print the password.
func Open(ctx context.Context, config Config) (*DB, error) {
	to, config, err := locate(config)
	if err != nil {
		return nil, err
	}
	release, err := to.acquire()
	if err != nil {
		return nil, err
	}
	db := &DB{dialect: to.dialect(), config: config, target: to, closing: make(chan struct{}), release: release}
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(err, release())
	}
	db.reader = newReader(db.dialect, db.readers)
	db.start()
	return db, nil
}

func (db *DB) open(ctx context.Context) (err error) {
	if db.writers, err = db.target.open(writes, db.config.Lanes); err != nil {
		return err
	}
	if db.readers, err = db.target.open(reads, db.config.MaxReaders); err != nil {
		return errors.Join(err, db.writers.Close())
	}
	// The writer goes first: on SQLite it creates the file and turns on the write-ahead log.
	if err = fill(ctx, db.writers, db.config.Lanes); err == nil {
		err = db.readers.PingContext(ctx)
	}
	if err != nil {
		err = db.target.unreachable(err)
	} else if err = db.target.check(ctx, db.readers); err == nil {
		err = db.warnOfConnections(ctx)
	}
	if err != nil {
		return errors.Join(err, db.writers.Close(), db.readers.Close())
	}
	return nil
}

// fill opens n connections of a pool, which keeps them. Where a server has few left, those that write must not be opened last.
func fill(ctx context.Context, pool *sql.DB, n int) (err error) {
	open := make([]*sql.Conn, 0, n)
	for range n {
		one, failed := pool.Conn(ctx)
		if failed == nil {
			open = append(open, one)
			failed = one.PingContext(ctx)
		}
		if failed != nil {
			err = failed
			break
		}
	}
	for _, one := range open {
		err = errors.Join(err, one.Close())
	}
	return err
}

// Dialect tells which database it is.
func (db *DB) Dialect() Dialect { return db.dialect }

// Read returns the pool of reading connections. On SQLite it refuses writes. Prefer Reader for sqlc's queries.
func (db *DB) Read() *sql.DB { return db.readers }

// Reader returns what sqlc's New takes for queries outside of a transaction: it reads, keeps prepared statements where
// that saves work, and sends times as UTC. Do not write with it: use Write. On SQLite a context that can end costs 3 µs a
// query; where a lookup is hot and short, context.WithoutCancel saves them.
func (db *DB) Reader() Querier { return db.reader }

// Ping checks that the database answers a read, for readiness.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.readers.PingContext(ctx); err != nil {
		return temporary(db.target.unreachable(err))
	}
	return nil
}

// Close refuses new writes, waits for those that are queued or under way, and closes all connections. When ctx ends
// first, the rest is cut off: its callers get ErrClosed, or ErrCommitUnknown where a commit was under way. Closing again
// does nothing.
func (db *DB) Close(ctx context.Context) (err error) {
	db.closeOnce.Do(func() {
		close(db.closing)
		idle := make(chan struct{})
		go func() {
			db.running.Wait()
			close(idle)
		}()
		var late error
		select {
		case <-idle:
		case <-ctx.Done():
			late = fmt.Errorf("database closed before all writes were done: %w", ctx.Err())
			db.kill()
			<-idle
		}
		db.kill()
		err = errors.Join(late, db.writers.Close(), db.readers.Close(), db.release())
	})
	return err
}

// Queued returns the number of writes that wait for a lane, for metrics.
func (db *DB) Queued() int {
	n := 0
	for _, l := range db.lanes {
		n += len(l.queue)
	}
	return n
}
