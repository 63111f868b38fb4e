package database

import (
	"context"
	"database/sql"
)

// Snapshot calls fn with queries that all see one moment, whatever is committed meanwhile. They must only read. On SQLite the write-ahead log
// grows until fn returns.
func (db *DB) Snapshot(ctx context.Context, fn func(ctx context.Context, q Querier) error) error {
	options := &sql.TxOptions{}
	if db.dialect == Postgres {
		options = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	tx, err := db.readers.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	return fn(ctx, tx)
}
