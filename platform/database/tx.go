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
	op     *op
	rows   []*sql.Rows
	failed error
}

func (t *laneTx) AfterCommit(fn func()) {
	if t.op != nil {
		t.op.after = append(t.op.after, fn)
	}
}

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
	failed, t.failed, t.op = t.failed, errTxDone, nil
	return failed
}

// queryable is a statement that returns rows, with its text.
type queryable interface {
	QueryContext(ctx context.Context, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, args ...any) *sql.Row
}

// query returns a statement to run: on SQLite a prepared one; on PostgreSQL the text, as pgx prepares and keeps by itself.
func (t *laneTx) query(query string) (queryable, error) {
	t.s.ran++
	switch {
	case t.failed != nil:
		return nil, t.failed
	case t.s.dialect == Postgres:
		return text{t.s.conn, query}, nil
	}
	stmt, err := t.s.prepare(query)
	return stmt, t.note(err)
}

// text is a statement that is not prepared here.
type text struct {
	conn  *sql.Conn
	query string
}

func (s text) QueryContext(ctx context.Context, args ...any) (*sql.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args...)
}

func (s text) QueryRowContext(ctx context.Context, args ...any) *sql.Row {
	return s.conn.QueryRowContext(ctx, s.query, args...)
}

func (t *laneTx) ExecContext(_ context.Context, query string, args ...any) (result sql.Result, err error) {
	t.s.ran++
	switch {
	case t.failed != nil:
		return nil, t.failed
	case t.s.dialect == Postgres:
		result, err = t.s.conn.ExecContext(context.Background(), query, utc(args)...)
	default:
		result, err = t.s.execSQLite(query, utc(args))
	}
	return result, t.note(err)
}

func (t *laneTx) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := t.query(query)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(context.Background(), utc(args)...)
	if err != nil {
		return nil, t.note(err)
	}
	t.rows = append(t.rows, rows)
	return rows, nil
}

func (t *laneTx) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	stmt, err := t.query(query)
	if err != nil {
		return failedRow(t.s.pool, err)
	}
	row := stmt.QueryRowContext(context.Background(), utc(args)...)
	_ = t.note(row.Err())
	return row
}

func (t *laneTx) PrepareContext(_ context.Context, query string) (*sql.Stmt, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	stmt, err := t.s.conn.PrepareContext(context.Background(), query)
	return stmt, t.note(err)
}
