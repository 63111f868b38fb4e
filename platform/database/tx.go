package database

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
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

// Together runs the statements; see Tx.
func (t *laneTx) Together(ctx context.Context, statements []Statement) error {
	for i := range statements {
		statements[i].Changed = NotRun
	}
	if t.s.dialect == Postgres && len(statements) > 1 && t.failed == nil {
		return t.travel(statements)
	}
	for i := range statements {
		if err := t.alone(ctx, &statements[i]); err != nil {
			return err
		}
	}
	return nil
}

// alone runs one of the statements by itself.
func (t *laneTx) alone(ctx context.Context, s *Statement) error {
	if s.Scan == nil {
		result, err := t.ExecContext(ctx, s.Query, s.Args...)
		if err == nil {
			s.Changed, err = result.RowsAffected()
		}
		return err
	}
	rows, err := t.QueryContext(ctx, s.Query, s.Args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err tells what Close would
	for rows.Next() {
		if err := s.Scan(rows); err != nil {
			return err
		}
	}
	return t.note(rows.Err())
}

// travel sends all statements to PostgreSQL at once and then reads their results.
func (t *laneTx) travel(statements []Statement) error {
	t.s.ran += len(statements)
	batch := &pgx.Batch{QueuedQueries: make([]*pgx.QueuedQuery, 0, len(statements))}
	for _, s := range statements {
		batch.Queue(s.Query, utc(s.Args)...)
	}
	results := t.s.pg.SendBatch(context.Background(), batch)
	var unread error
	for i := range statements {
		if unread = statements[i].read(results); unread != nil {
			break
		}
	}
	if err := results.Close(); unread == nil {
		unread = err
	}
	return t.note(unread)
}

// read reads the result of a statement.
func (s *Statement) read(results pgx.BatchResults) error {
	if s.Scan == nil {
		tag, err := results.Exec()
		if err == nil {
			s.Changed = tag.RowsAffected()
		}
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := s.Scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
