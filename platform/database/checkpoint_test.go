package database_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

// TestDeletedContentIsGone: neither the file nor its log keep what was deleted or replaced, small or larger than a page.
func TestDeletedContentIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := database.Open(t.Context(), database.Config{URL: settings.NewSecret("sqlite://" + path)})
	require.NoError(t, err)
	exec := func(query string, args ...any) {
		t.Helper()
		require.NoError(t, db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, query, args...)
			return err
		}))
	}
	needle := []byte("NEEDLE-4711")
	exec("CREATE TABLE t (id INTEGER PRIMARY KEY, small TEXT, large BYTEA)")
	for id := range 50 {
		exec("INSERT INTO t VALUES ($1, $2, $3)", id, "a "+string(needle), bytes.Repeat(needle, 2000))
	}
	require.NotZero(t, occurrences(t, path, needle))
	exec("DELETE FROM t WHERE id < 25")
	exec("UPDATE t SET small = '', large = $1", []byte("{}"))
	require.NoError(t, db.Checkpoint(t.Context()))
	require.Zero(t, occurrences(t, path, needle), "while it runs")
	require.NoError(t, db.Close(t.Context()))
	require.Zero(t, occurrences(t, path, needle), "after it stopped")
}

func TestACheckpointWaitsForReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := database.Open(t.Context(), database.Config{URL: settings.NewSecret("sqlite://" + path), BusyTimeout: 1e6})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close(context.WithoutCancel(t.Context()))) }()
	write := func(query string) {
		t.Helper()
		require.NoError(t, db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, query)
			return err
		}))
	}
	write("CREATE TABLE t (id INTEGER)")
	write("INSERT INTO t VALUES (1), (2)")
	rows, err := db.Reader().QueryContext(t.Context(), "SELECT id FROM t")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	require.True(t, rows.Next())
	write("DELETE FROM t")
	require.ErrorIs(t, db.Checkpoint(t.Context()), database.ErrReading)
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	require.NoError(t, db.Checkpoint(t.Context()))
}

// occurrences counts a needle in the file and its log.
func occurrences(t *testing.T, path string, needle []byte) (n int) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(path + suffix)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		n += bytes.Count(raw, needle)
	}
	return n
}
