package database

import (
	"context"
	"database/sql"
	"errors"
)

// errTxDone is for a Tx used after its function returned.
var errTxDone = errors.New("database: Tx used after its Write returned")

// laneTx is the Tx of one op. It runs statements on the lane's connection, without the caller's cancellation (the driver
// and database/sql would start two goroutines for each statement), and remembers the first that failed.
type laneTx struct {
	s      *session
	rows   []*sql.Rows
	failed error
}

// refused tells why no more statements may run, or nil.
func (t *laneTx) refused() error { return t.failed }

// note remembers a statement's error.
func (t *laneTx) note(err error) error {
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

// end closes what the function left open and makes the Tx useless.
func (t *laneTx) end() (failed error) {
	for _, rows := range t.rows {
		_ = t.note(rows.Err())
		_ = rows.Close()
	}
	failed, t.failed = t.failed, errTxDone
	return failed
}

// statement returns a prepared statement, or nil on PostgreSQL, where pgx keeps its own.
func (t *laneTx) statement(query string) (*sql.Stmt, error) {
	if t.s.dialect == Postgres {
		return nil, nil //nolint:nilnil // nil means: run the text
	}
	return t.s.prepare(query)
}

func (t *laneTx) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	if err := t.refused(); err != nil {
		return nil, err
	}
	ctx := context.Background()
	stmt, err := t.statement(query)
	if err != nil {
		return nil, t.note(err)
	}
	var result sql.Result
	if stmt != nil {
		result, err = stmt.ExecContext(ctx, utc(args)...)
	} else {
		result, err = t.s.conn.ExecContext(ctx, query, utc(args)...)
	}
	return result, t.note(err)
}

func (t *laneTx) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.refused(); err != nil {
		return nil, err
	}
	ctx := context.Background()
	stmt, err := t.statement(query)
	if err != nil {
		return nil, t.note(err)
	}
	var rows *sql.Rows
	if stmt != nil {
		rows, err = stmt.QueryContext(ctx, utc(args)...)
	} else {
		rows, err = t.s.conn.QueryContext(ctx, query, utc(args)...)
	}
	if err != nil {
		return nil, t.note(err)
	}
	t.rows = append(t.rows, rows)
	return rows, nil
}

func (t *laneTx) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	ctx := context.Background()
	if t.refused() != nil {
		return t.refuseRow()
	}
	stmt, err := t.statement(query)
	var row *sql.Row
	switch {
	case err != nil:
		_ = t.note(err)
		return t.refuseRow()
	case stmt != nil:
		row = stmt.QueryRowContext(ctx, utc(args)...)
	default:
		row = t.s.conn.QueryRowContext(ctx, query, utc(args)...)
	}
	_ = t.note(row.Err())
	return row
}

// refuseRow returns a row whose Scan fails; database/sql makes one only from an ended context. The op's own error says why.
func (t *laneTx) refuseRow() *sql.Row {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return t.s.pool.QueryRowContext(ctx, "SELECT 1")
}

func (t *laneTx) PrepareContext(_ context.Context, query string) (*sql.Stmt, error) {
	if err := t.refused(); err != nil {
		return nil, err
	}
	stmt, err := t.s.conn.PrepareContext(context.Background(), query)
	return stmt, t.note(err)
}
