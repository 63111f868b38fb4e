package database_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// TestASnapshotIsOneMoment: what is committed after its first query is not there for the next one.
func TestASnapshotIsOneMoment(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		write := func(query string) {
			t.Helper()
			require.NoError(t, db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, query)
				return err
			}))
		}
		write("CREATE TABLE seen (id INTEGER)")
		count := func(q database.Querier) (n int) {
			t.Helper()
			require.NoError(t, q.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM seen").Scan(&n))
			return n
		}
		require.NoError(t, db.Snapshot(t.Context(), func(_ context.Context, q database.Querier) error {
			require.Zero(t, count(q))
			write("INSERT INTO seen VALUES (1)")
			require.Zero(t, count(q))
			_, err := q.ExecContext(t.Context(), "INSERT INTO seen VALUES (2)")
			require.Error(t, err, "it only reads")
			return nil
		}))
		require.Equal(t, 1, count(db.Reader()))
		require.ErrorIs(t, db.Snapshot(t.Context(), func(context.Context, database.Querier) error { return context.Canceled }), context.Canceled)
	})
}
