package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/settings"
)

// requireUnavailable holds that servers answer 503 to err, and say when to try again, without knowing of databases.
func requireUnavailable(t *testing.T, err error) {
	t.Helper()
	require.True(t, database.IsUnavailable(err), "%v", err)
	shown := errs.From(err)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, shown.Reason, "%v", err)
	require.Equal(t, "Service temporarily unavailable. Please try again later.", shown.Message)
	require.Equal(t, time.Second, shown.RetryAfter)
}

func TestPostgresRestart(t *testing.T) {
	server := databasetest.NewServer(t, false)
	at := server.NewDatabase(t)
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(at), Schema: "wallet"}, wallet)
	write := func(id string) error {
		return db.Write(t.Context(), "k", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, id, 1) })
	}
	require.NoError(t, write("before"))
	require.NoError(t, server.Restart())
	require.NoError(t, write("restarted"), "a connection that broke while idle is replaced unseen")
	server.Stop()

	err := write("down")
	requireUnavailable(t, err)
	require.ErrorContains(t, err, "PostgreSQL does not answer")
	requireUnavailable(t, db.Reader().QueryRowContext(t.Context(), "SELECT 1").Scan(new(int)))
	_, err = db.Reader().QueryContext(t.Context(), "SELECT 1") //nolint:rowserrcheck,sqlclosecheck // there are no rows
	requireUnavailable(t, err)
	_, err = db.Reader().ExecContext(t.Context(), "SELECT 1")
	requireUnavailable(t, err)
	requireUnavailable(t, db.Ping(t.Context()))

	require.NoError(t, server.Start())
	require.NoError(t, write("after"))
	require.NoError(t, db.Ping(t.Context()))
	for id, want := range map[string]bool{"before": true, "restarted": true, "down": false, "after": true} {
		_, ok := balance(t, db, id)
		require.Equal(t, want, ok, id)
	}
}

// TestPostgresLostInTheMiddle kills the connection between two statements: the whole batch runs again elsewhere.
func TestPostgresLostInTheMiddle(t *testing.T) {
	db := databasetest.Postgres(t, wallet)
	var runs atomic.Int32
	errs := together(t, db,
		func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) },
		func(ctx context.Context, tx database.Tx) error {
			if err := put(ctx, tx, "b", 1); err != nil {
				return err
			}
			if runs.Add(1) == 1 {
				kill(t, db, tx)
			}
			return put(ctx, tx, "c", 1)
		})
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	require.EqualValues(t, 2, runs.Load())
	for _, id := range []string{"a", "b", "c"} {
		_, ok := balance(t, db, id)
		require.True(t, ok, id)
	}
}

// kill ends tx's connection from another one.
func kill(t *testing.T, db *database.DB, tx database.Tx) {
	t.Helper()
	var pid int
	var done bool
	require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	require.NoError(t, db.Read().QueryRowContext(t.Context(), "SELECT pg_terminate_backend($1, 5000)", pid).Scan(&done))
	require.True(t, done)
}

// deferred has a trigger that runs within the commit: it refuses the amount 13 and breaks the connection for 666.
var deferred = database.Migrations{Service: "wallet", FS: fstest.MapFS{
	"postgres/00001_wallet.sql": {Data: []byte(`-- +goose Up
CREATE TABLE wallet (id TEXT PRIMARY KEY, balance BIGINT NOT NULL);
-- +goose StatementBegin
CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.balance = 13 THEN RAISE EXCEPTION 'unlucky' USING ERRCODE = '23514'; END IF;
	IF NEW.balance = 666 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60); END IF;
	RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER judge AFTER INSERT ON wallet DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION judge();
`)},
}}

func TestCommitRefused(t *testing.T) {
	db := databasetest.Postgres(t, deferred)
	insert := func(id string, n int) func(context.Context, database.Tx) error {
		return func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, id, n) }
	}
	errs := together(t, db, insert("a", 1), insert("b", 13), insert("c", 1))
	require.NoError(t, errs[0])
	require.True(t, database.IsCheck(errs[1]), "%v", errs[1])
	require.NoError(t, errs[2])
	_, ok := balance(t, db, "b")
	require.False(t, ok)
}

func TestCommitUnknown(t *testing.T) {
	db := databasetest.Postgres(t, deferred)
	var runs atomic.Int32
	err := db.Write(t.Context(), "k", func(ctx context.Context, tx database.Tx) error {
		runs.Add(1)
		return put(ctx, tx, "a", 666)
	})
	require.ErrorIs(t, err, database.ErrCommitUnknown)
	require.True(t, database.IsUnavailable(err))
	require.EqualValues(t, 1, runs.Load(), "never twice when the first may have happened")
	require.NoError(t, db.Write(t.Context(), "k", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "b", 1) }))
}

// TestDeadlockIsRetried lets two lanes take two rows in opposite order.
func TestDeadlockIsRetried(t *testing.T) {
	db := databasetest.Postgres(t, wallet, func(c *database.Config) { c.Lanes = 2 })
	for _, id := range []string{"x", "y"} {
		require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, id, 0) }))
	}
	left, right := keysOfTwoLanes(t, db)
	var both, all sync.WaitGroup
	both.Add(2)
	var runs atomic.Int32
	move := func(key, first, second string) {
		var met sync.Once
		err := db.Write(context.Background(), key, func(ctx context.Context, tx database.Tx) error {
			runs.Add(1)
			const add = "UPDATE wallet SET balance = balance + 1 WHERE id = $1"
			if _, err := tx.ExecContext(ctx, add, first); err != nil {
				return err
			}
			met.Do(both.Done)
			both.Wait()
			_, err := tx.ExecContext(ctx, add, second)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	all.Go(func() { move(left, "x", "y") })
	all.Go(func() { move(right, "y", "x") })
	all.Wait()
	require.Greater(t, runs.Load(), int32(2))
	for _, id := range []string{"x", "y"} {
		n, _ := balance(t, db, id)
		require.Equal(t, 2, n)
	}
}

// keysOfTwoLanes finds keys that do not wait for each other.
func keysOfTwoLanes(t *testing.T, db *database.DB) (a, b string) {
	t.Helper()
	open := gate(t, db, "0")
	defer open()
	for _, key := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := db.Write(ctx, key, func(context.Context, database.Tx) error { return nil })
		cancel()
		if err == nil {
			return "0", key
		}
	}
	t.Fatal("all keys share a lane")
	return "", ""
}

func TestPostgresWriteTimeout(t *testing.T) {
	db := databasetest.Postgres(t, wallet, func(c *database.Config) { c.WriteTimeout = 2 * time.Second })
	err := db.Write(t.Context(), "k", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "SELECT pg_sleep(600)")
		return err
	})
	require.True(t, database.IsUnavailable(err), "%v", err)
	require.NoError(t, db.Write(t.Context(), "k", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) }))
}

func TestPostgresCloseCutsWhatHangs(t *testing.T) {
	db := databasetest.Postgres(t, wallet, func(c *database.Config) { c.WriteTimeout = time.Hour })
	running := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- db.Write(context.Background(), "k", func(ctx context.Context, tx database.Tx) error {
			close(running)
			_, err := tx.ExecContext(ctx, "SELECT pg_sleep(600)")
			return err
		})
	}()
	receive(t, running)
	require.ErrorIs(t, db.Close(ended()), context.Canceled)
	require.True(t, database.IsUnavailable(receive(t, result)))
}

// TestSQLiteBusy lets another process, as it were, hold the write lock.
func TestSQLiteBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "busy.db")
	var attempts atomic.Int64
	db := databasetest.Open(t, database.Config{
		URL: settings.NewSecret("sqlite://" + path), BusyTimeout: 10 * time.Millisecond,
		Observe: func(b database.Batch) { attempts.Add(int64(b.Attempts)) },
	}, wallet)
	other, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: path, RawQuery: "_txlock=immediate"}).String())
	require.NoError(t, err)
	defer other.Close()
	write := func(id string) error {
		return db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, id, 1) })
	}
	tx, err := other.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	requireUnavailable(t, write("a"))
	// The writer is answered before the batch is counted.
	require.Eventually(t, func() bool { return attempts.Load() > 0 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 1, attempts.Load(), "the lock is waited for once")

	released := make(chan error, 1)
	go func() { released <- tx.Rollback() }()
	require.Eventually(t, func() bool { return write("b") == nil }, 10*time.Second, time.Millisecond)
	require.NoError(t, receive(t, released))
	require.NoError(t, write("c"))
	_, ok := balance(t, db, "a")
	require.False(t, ok)
}

// TestPostgresCrashesUnderLoad crashes the server again and again under writing callers. What was acknowledged is there,
// what was refused is not, only ErrCommitUnknown may be either, and nobody waits forever.
func TestPostgresCrashesUnderLoad(t *testing.T) {
	server := databasetest.NewServer(t, true)
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(server.NewDatabase(t)), Schema: "wallet"}, wallet)
	var all sync.WaitGroup
	var outcomes sync.Map
	stop := make(chan struct{})
	for c := range 16 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d/%d", c, n)
				outcomes.Store(id, db.Write(context.Background(), id, func(ctx context.Context, tx database.Tx) error {
					return put(ctx, tx, id, 1)
				}))
			}
		})
	}
	for range 3 {
		before := count(t, db)
		require.Eventually(t, func() bool { return count(t, db) > before+50 }, 30*time.Second, 5*time.Millisecond)
		if err := server.Restart(); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	all.Wait()
	acknowledged := 0
	outcomes.Range(func(id, outcome any) bool {
		_, there := balance(t, db, id.(string))
		err, _ := outcome.(error)
		if err == nil {
			acknowledged++
			require.True(t, there, "%s is lost", id)
		} else if !errors.Is(err, database.ErrCommitUnknown) {
			require.False(t, there, "%s is there in spite of %v", id, err)
		}
		return true
	})
	require.Greater(t, acknowledged, 150)
}

// count returns the number of wallets.
func count(t *testing.T, db *database.DB) (n int) {
	t.Helper()
	err := db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM wallet").Scan(&n)
	require.True(t, err == nil || database.IsUnavailable(err), "%v", err)
	return n
}
