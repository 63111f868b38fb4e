package database_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// insertAndRead inserts two wallets, reads them, and changes all.
func insertAndRead(read func(row database.Scanner) error) []database.Statement {
	return []database.Statement{
		{Query: "INSERT INTO wallet (id, balance) VALUES ($1, $2), ($3, $4)", Args: []any{"a", 1, "b", 2}},
		{Query: "SELECT id, balance FROM wallet WHERE balance > $1 ORDER BY id", Args: []any{0}, Scan: read},
		{Query: "UPDATE wallet SET balance = balance + $1", Args: []any{10}},
		{Query: "UPDATE wallet SET balance = balance + $1 WHERE id = 'nobody'", Args: []any{10}},
	}
}

func changed(statements []database.Statement) (all []int64) {
	for _, s := range statements {
		all = append(all, s.Changed)
	}
	return all
}

// eachAndPooled runs a test on both databases, and on PostgreSQL through a pooler.
func eachAndPooled(t *testing.T, test func(t *testing.T, db *database.DB), options ...databasetest.Option) {
	t.Helper()
	databasetest.Each(t, wallet, test, options...)
	t.Run("pooler", func(t *testing.T) { test(t, pooled(t, options...)) })
}

func TestStatementsRunTogetherInTheirOrder(t *testing.T) {
	statements := make(chan int, 1)
	eachAndPooled(t, func(t *testing.T, db *database.DB) {
		found := map[string]int{}
		var ran []int64
		err := db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error {
			require.NoError(t, tx.Together(ctx, nil))
			clear(found)
			all := insertAndRead(func(row database.Scanner) error {
				var id string
				var balance int
				err := row.Scan(&id, &balance)
				found[id] = balance
				return err
			})
			err := tx.Together(ctx, all)
			ran = changed(all)
			return err
		})
		require.NoError(t, err)
		require.Equal(t, 4, receive(t, statements), "each is counted")
		require.Equal(t, map[string]int{"a": 1, "b": 2}, found, "a query sees what the statements before it did, and not what those after it do")
		require.Equal(t, []int64{2, database.NotRun, 2, 0}, ran)
		for id, want := range map[string]int{"a": 11, "b": 12} {
			n, _ := balance(t, db, id)
			require.Equal(t, want, n)
		}
	}, func(c *database.Config) { c.Observe = func(b database.Batch) { statements <- b.Statements } })
}

// A caller can tell which statements had run before one failed, and nothing of them stays.
func TestAFailedStatementAmongOthers(t *testing.T) {
	eachAndPooled(t, func(t *testing.T, db *database.DB) {
		require.NoError(t, db.Write(t.Context(), "c", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "c", 3) }))
		var ran []int64
		write := func(then error) error {
			return db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error {
				statements := []database.Statement{
					{Query: "UPDATE wallet SET balance = $1", Args: []any{7}},
					{Query: "INSERT INTO wallet (id, balance) VALUES ($1, $2)", Args: []any{"c", 1}},
					{Query: "UPDATE wallet SET balance = $1", Args: []any{8}},
				}
				err := tx.Together(ctx, statements)
				ran = changed(statements)
				require.ErrorIs(t, tx.Together(ctx, statements), err, "nothing runs after a failed statement")
				return errors.Join(then, err)
			})
		}
		require.True(t, database.IsUnique(write(nil)))
		require.Equal(t, []int64{1, database.NotRun, database.NotRun}, ran)
		n, _ := balance(t, db, "c")
		require.Equal(t, 3, n)
		require.NoError(t, db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) }), "the lane still works")
	})
}

func TestAFailedScanFailsTheWrite(t *testing.T) {
	broken := errors.New("broken")
	eachAndPooled(t, func(t *testing.T, db *database.DB) {
		err := db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error {
			return tx.Together(ctx, insertAndRead(func(database.Scanner) error { return broken }))
		})
		require.ErrorIs(t, err, broken)
		_, ok := balance(t, db, "a")
		require.False(t, ok)
		require.NoError(t, db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) }), "the lane still works")
	})
}
