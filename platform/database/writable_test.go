package database_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// eventually waits for a check that is remembered for seconds to change its mind.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, 30*time.Second, 20*time.Millisecond, what)
}

func TestCheckWriteCostsOneCommitForManyChecks(t *testing.T) {
	var writes atomic.Int64
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		before := writes.Load()
		begin := time.Now()
		for range 100 {
			require.NoError(t, db.CheckWrite(t.Context()))
		}
		if time.Since(begin) < 4*time.Second {
			eventually(t, "the batch is counted", func() bool { return writes.Load() > before })
			require.Equal(t, before+1, writes.Load())
		}
	}, func(c *database.Config) { c.Observe = func(b database.Batch) { writes.Add(int64(b.Ops)) } })
}

func TestCheckWriteReallyWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret("sqlite://" + path)}, wallet)
	log := func() []byte {
		raw, err := os.ReadFile(path + "-wal")
		require.NoError(t, err)
		return raw
	}
	before := log()
	require.NoError(t, db.CheckWrite(t.Context()))
	require.NotEqual(t, before, log(), "SQLite's log")

	db = databasetest.Postgres(t, wallet)
	position := func() (n string) {
		require.NoError(t, db.Read().QueryRowContext(t.Context(), "SELECT pg_current_wal_flush_lsn()").Scan(&n))
		return n
	}
	flushed := position()
	require.NoError(t, db.CheckWrite(t.Context()))
	require.NotEqual(t, flushed, position(), "PostgreSQL's log, on disk")
}

func TestCheckWriteFailsForALockedFileAndReadsAreServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret("sqlite://" + path), BusyTimeout: 10 * time.Millisecond}, wallet)
	require.NoError(t, db.CheckWrite(t.Context()))
	other, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: path, RawQuery: "_txlock=immediate"}).String())
	require.NoError(t, err)
	defer other.Close()
	tx, err := other.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	eventually(t, "locked", func() bool { return db.CheckWrite(t.Context()) != nil })
	err = db.CheckWrite(t.Context())
	requireUnavailable(t, err)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "locked by another process")
	require.NoError(t, db.Ping(t.Context()))
	_, ok := balance(t, db, "a")
	require.False(t, ok, "reads are served")
	require.NoError(t, tx.Rollback())
	eventually(t, "unlocked", func() bool { return db.CheckWrite(t.Context()) == nil })
}

func TestCheckWriteFailsForAFullDisk(t *testing.T) {
	db := databasetest.SQLite(t, wallet)
	limit := func(pages string) {
		require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "PRAGMA max_page_count = "+pages)
			return err
		}))
	}
	limit("1") // SQLite takes the number of pages that there are
	require.NoError(t, db.CheckWrite(t.Context()), "the probe needs no new page")
	err := db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO wallet (id, balance, note) VALUES ('a', 1, $1)", strings.Repeat("x", 1<<20))
		return err
	})
	requireUnavailable(t, err)
	err = db.CheckWrite(t.Context())
	requireUnavailable(t, err)
	require.ErrorContains(t, err, "free some space")
	limit("100000")
	eventually(t, "room again", func() bool { return db.CheckWrite(t.Context()) == nil })
}

func TestCheckWriteFailsForAReadOnlyPostgres(t *testing.T) {
	at := databasetest.PostgresURL(t)
	_ = databasetest.Open(t, database.Config{URL: settings.NewSecret(at), Schema: "wallet"}, wallet)
	separator := "?"
	if strings.Contains(at, "?") {
		separator = "&"
	}
	db := databasetest.Open(t, database.Config{
		URL: settings.NewSecret(at + separator + "default_transaction_read_only=on"), Schema: "wallet",
	}, database.Migrations{})
	err := db.CheckWrite(t.Context())
	requireUnavailable(t, err)
	require.ErrorContains(t, err, "read-only")
	require.NoError(t, db.Ping(t.Context()))
	requireUnavailable(t, db.Write(t.Context(), "k", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) }))
	_, ok := balance(t, db, "a")
	require.False(t, ok, "reads are served")
}

func TestCheckWriteFailsWhileWritesHang(t *testing.T) {
	db := databasetest.SQLite(t, wallet)
	open := gate(t, db, "")
	err := db.CheckWrite(t.Context())
	requireUnavailable(t, err)
	require.ErrorIs(t, err, database.ErrWaited)
	open()
	eventually(t, "moving again", func() bool { return db.CheckWrite(t.Context()) == nil })
}

func TestCheckWriteDoesNotRememberACallerThatLeft(t *testing.T) {
	db := databasetest.SQLite(t, wallet)
	require.Error(t, db.CheckWrite(ended()))
	require.NoError(t, db.CheckWrite(t.Context()))
}

// TestALockedRowDelaysItsOwnersOnly has somebody hold a row. Only the writes on it fail; those that share their batch do not
// wait for it longer than once.
func TestALockedRowDelaysItsOwnersOnly(t *testing.T) {
	at := databasetest.PostgresURL(t)
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(at), Schema: "wallet", Lanes: 1}, wallet)
	for _, id := range []string{"locked", "free"} {
		require.NoError(t, db.Write(t.Context(), id, func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, id, 0) }))
	}
	other := databasetest.Open(t, database.Config{URL: settings.NewSecret(at), Schema: "wallet"}, database.Migrations{})
	blocker, err := other.Read().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = blocker.ExecContext(t.Context(), "SET LOCAL idle_in_transaction_session_timeout = 0")
	require.NoError(t, err)
	_, err = blocker.ExecContext(t.Context(), "UPDATE wallet SET balance = 7 WHERE id = 'locked'")
	require.NoError(t, err)

	open := gate(t, db, "gate")
	results := map[string]chan error{}
	var lockedRuns, freeRuns atomic.Int32
	for name, count := range map[string]*atomic.Int32{"locked 1": &lockedRuns, "free 1": &freeRuns, "locked 2": &lockedRuns, "free 2": &freeRuns} {
		key, _, _ := strings.Cut(name, " ")
		result := make(chan error, 1)
		results[name] = result
		go func() {
			result <- db.Write(context.Background(), key, func(ctx context.Context, tx database.Tx) error {
				count.Add(1)
				_, err := tx.ExecContext(ctx, "UPDATE wallet SET balance = balance + 1 WHERE id = $1", key)
				return err
			})
		}()
	}
	eventually(t, "all wait", func() bool { return db.Queued() == 4 })
	open()
	require.NoError(t, receive(t, results["free 1"]))
	require.NoError(t, receive(t, results["free 2"]))
	requireUnavailable(t, receive(t, results["locked 1"]))
	requireUnavailable(t, receive(t, results["locked 2"]))
	require.EqualValues(t, 1, lockedRuns.Load(), "the row is waited for once, for all writes on it")
	require.NoError(t, blocker.Rollback())
	n, _ := balance(t, db, "free")
	require.Equal(t, 2, n)
	n, _ = balance(t, db, "locked")
	require.Equal(t, 0, n)
}
