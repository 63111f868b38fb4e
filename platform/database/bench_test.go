package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

var ledger = database.Migrations{Service: "ledger", FS: fstest.MapFS{
	"00001_ledger.sql": {Data: []byte(`-- +goose Up
CREATE TABLE account (id TEXT PRIMARY KEY, balance BIGINT NOT NULL, held BIGINT NOT NULL DEFAULT 0);
CREATE TABLE hold (id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES account (id), amount BIGINT NOT NULL, state TEXT NOT NULL, at TIMESTAMP NOT NULL);
CREATE TABLE entry (id TEXT PRIMARY KEY, account TEXT NOT NULL, amount BIGINT NOT NULL, at TIMESTAMP NOT NULL);
CREATE TABLE outbox (id TEXT PRIMARY KEY, body TEXT NOT NULL, at TIMESTAMP NOT NULL);
`)},
}}

// BenchmarkWrite lets 1 and 64 callers reserve and settle (two writes of four statements), each commit durable, and
// reports the writes per second, the process's CPU time per write and the writes per commit.
//
//	go test -run xxx -bench Write -benchtime 20000x ./database
func BenchmarkWrite(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("sqlite/FULL/%d", callers), func(b *testing.B) { benchSQLite(b, callers, "FULL") })
		b.Run(fmt.Sprintf("sqlite/NORMAL/%d", callers), func(b *testing.B) { benchSQLite(b, callers, "NORMAL") })
		b.Run(fmt.Sprintf("postgres/%d", callers), func(b *testing.B) {
			server := databasetest.NewServer(b, true)
			benchWrite(b, callers, database.Config{URL: settings.NewSecret(server.NewDatabase(b)), Schema: "ledger"})
		})
	}
}

func benchSQLite(b *testing.B, callers int, synchronous string) {
	// Not in /tmp, which may be memory, where fsync costs nothing.
	dir, err := os.MkdirTemp(".", "bench-") //nolint:usetesting // see above
	require.NoError(b, err)
	defer os.RemoveAll(dir)
	benchWrite(b, callers, database.Config{URL: settings.NewSecret("sqlite://" + filepath.Join(dir, "bench.db")), Synchronous: synchronous})
}

func benchWrite(b *testing.B, callers int, config database.Config) {
	var commits atomic.Int64
	config.Observe = func(batch database.Batch) { commits.Add(int64(batch.Attempts)) }
	db := databasetest.Open(b, config, ledger)
	for i := range callers {
		require.NoError(b, db.Write(b.Context(), "", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO account (id, balance) VALUES ($1, 1000000000)", fmt.Sprint(i))
			return err
		}))
	}
	commits.Store(0)
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	before, begun := cpu(), time.Now()
	for c := range callers {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := reserveAndSettle(db, fmt.Sprint(c), fmt.Sprintf("hold-%d", n)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	took, writes := time.Since(begun), float64(2*b.N)
	b.ReportMetric(writes/took.Seconds(), "writes/s")
	b.ReportMetric(float64((cpu()-before).Microseconds())/writes, "cpu-µs/write")
	b.ReportMetric(writes/float64(commits.Load()), "writes/commit")
	b.ReportMetric(0, "ns/op")
}

func reserveAndSettle(db *database.DB, account, hold string) error {
	// Cancelable, as a request's context is.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := run(ctx, db, account,
		statement{"SELECT balance - held FROM account WHERE id = $1", []any{account}},
		statement{"UPDATE account SET held = held + $2 WHERE id = $1 AND balance - held >= $2 RETURNING balance", []any{account, 10}},
		statement{"INSERT INTO hold (id, account, amount, state, at) VALUES ($1, $2, $3, 'open', $4)", []any{hold, account, 10, time.Now()}},
		statement{"INSERT INTO outbox (id, body, at) VALUES ($1, $2, $3)", []any{hold, "reserved", time.Now()}})
	if err != nil {
		return err
	}
	return run(ctx, db, account,
		statement{"UPDATE hold SET state = 'settled' WHERE id = $1 AND state = 'open' RETURNING amount", []any{hold}},
		statement{"UPDATE account SET held = held - $2, balance = balance - $2 WHERE id = $1 RETURNING balance", []any{account, 10}},
		statement{"INSERT INTO entry (id, account, amount, at) VALUES ($1, $2, $3, $4)", []any{hold, account, -10, time.Now()}},
		statement{"UPDATE outbox SET body = $2 WHERE id = $1", []any{hold, "settled"}})
}

type statement struct {
	query string
	args  []any
}

func run(ctx context.Context, db *database.DB, key string, statements ...statement) error {
	return db.Write(ctx, key, func(ctx context.Context, tx database.Tx) error {
		for _, s := range statements {
			if s.query[0] == 'I' || s.query == "UPDATE outbox SET body = $2 WHERE id = $1" {
				if _, err := tx.ExecContext(ctx, s.query, s.args...); err != nil {
					return err
				}
				continue
			}
			var n int64
			if err := tx.QueryRowContext(ctx, s.query, s.args...).Scan(&n); err != nil {
				return err
			}
		}
		return nil
	})
}

// cpu is the process's user and system time.
func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkStatement shows on SQLite what prepared statements save, and what a context that may end costs (the driver and
// database/sql each start a goroutine for it): why Tx does the one and leaves the other.
func BenchmarkStatement(b *testing.B) {
	const query = "SELECT balance - held FROM account WHERE id = $1"
	db := databasetest.SQLite(b, ledger)
	stmt, err := db.Read().PrepareContext(b.Context(), query) //nolint:sqlclosecheck // closed below
	require.NoError(b, err)
	defer stmt.Close()
	ended, cancel := context.WithCancel(context.Background())
	defer cancel()
	for name, ctx := range map[string]context.Context{"background": context.Background(), "cancelable": ended} {
		for kind, row := range map[string]func() error{
			"text":     func() error { return noRow(db.Read().QueryRowContext(ctx, query, "none")) },
			"prepared": func() error { return noRow(stmt.QueryRowContext(ctx, "none")) },
			"reader":   func() error { return noRow(db.Reader().QueryRowContext(ctx, query, "none")) },
		} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				before := cpu()
				for b.Loop() {
					if err := row(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

func noRow(row *sql.Row) error {
	var n int64
	if err := row.Scan(&n); !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("expected no row, not %w", err)
	}
	return nil
}
