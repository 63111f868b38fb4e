package database

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"
)

// Querier runs SQL statements; it is the interface that sqlc's New takes.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// maxStatements bounds the prepared statements kept per connection (writing) or pool (reading).
const maxStatements = 256

// newReader returns the pool as a Querier. SQLite compiles a statement each time unless it is kept prepared; pgx keeps
// its own.
func newReader(d Dialect, pool *sql.DB) Querier {
	if d == SQLite {
		return &preparedReader{pool: pool, kept: map[string]*sql.Stmt{}}
	}
	return utcReader{pool}
}

// utcReader sends times as UTC.
type utcReader struct{ *sql.DB }

func (r utcReader) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := r.DB.ExecContext(ctx, query, utc(args)...)
	return result, temporary(err)
}

func (r utcReader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := r.DB.QueryContext(ctx, query, utc(args)...)
	return rows, temporary(err)
}

func (r utcReader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return temporaryRow(r.DB, r.DB.QueryRowContext(ctx, query, utc(args)...))
}

// preparedReader keeps prepared statements by their text. database/sql prepares each one on every connection it meets.
type preparedReader struct {
	pool *sql.DB
	mu   sync.RWMutex
	kept map[string]*sql.Stmt
}

// get returns the kept statement, or nil when the text is better run without one.
func (r *preparedReader) get(ctx context.Context, query string) *sql.Stmt {
	r.mu.RLock()
	stmt, full := r.kept[query], len(r.kept) >= maxStatements
	r.mu.RUnlock()
	if stmt != nil || full {
		return stmt
	}
	stmt, err := r.pool.PrepareContext(ctx, query)
	if err != nil {
		return nil // run without it: the error comes again there
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.kept[query]; other != nil {
		_ = stmt.Close() //nolint:sqlclosecheck // kept otherwise
		return other
	}
	r.kept[query] = stmt // closed with the pool
	return stmt
}

func (r *preparedReader) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := r.pool.ExecContext(ctx, query, utc(args)...)
	return result, temporary(err)
}

func (r *preparedReader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	var rows *sql.Rows
	var err error
	if stmt := r.get(ctx, query); stmt != nil { //nolint:sqlclosecheck // kept
		rows, err = stmt.QueryContext(ctx, utc(args)...)
	} else {
		rows, err = r.pool.QueryContext(ctx, query, utc(args)...)
	}
	return rows, temporary(err)
}

func (r *preparedReader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := r.get(ctx, query); stmt != nil { //nolint:sqlclosecheck // kept
		return temporaryRow(r.pool, stmt.QueryRowContext(ctx, utc(args)...))
	}
	return temporaryRow(r.pool, r.pool.QueryRowContext(ctx, query, utc(args)...))
}

func (r *preparedReader) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return r.pool.PrepareContext(ctx, query)
}

// utc turns times into UTC with microseconds, what both databases keep, so that they compare equal when read back. It
// copies args only when it must.
func utc(args []any) []any {
	copied := false
	set := func(i int, v any) {
		if !copied {
			args, copied = slices.Clone(args), true
		}
		args[i] = v
	}
	for i, arg := range args {
		switch t := arg.(type) {
		case time.Time:
			set(i, t.UTC().Truncate(time.Microsecond))
		case *time.Time:
			if t != nil {
				set(i, t.UTC().Truncate(time.Microsecond))
			}
		case sql.NullTime:
			t.Time = t.Time.UTC().Truncate(time.Microsecond)
			set(i, t)
		}
	}
	return args
}
