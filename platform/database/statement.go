package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
)

// errNoStatement says that the driver cannot run a statement without database/sql.
var errNoStatement = errors.New("database: the driver has no statements to run")

// directStmt is a statement of the driver.
type directStmt interface {
	driver.Stmt
	driver.StmtExecContext
}

// execSQLite runs a statement of the lane's connection. database/sql would copy all values and lock the connection again for each statement.
func (s *session) execSQLite(query string, args []any) (result sql.Result, err error) {
	s.values = s.values[:0]
	defer func() { clear(s.values) }() // lets go of the caller's values
	for i, arg := range args {
		value, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, err
		}
		s.values = append(s.values, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	raw := s.conn.Raw(func(conn any) error {
		var stmt directStmt
		if stmt, err = s.direct(conn, query); err == nil {
			result, err = stmt.ExecContext(context.Background(), s.values)
		}
		if errors.Is(err, driver.ErrBadConn) {
			return err // has the connection closed
		}
		return nil
	})
	if err == nil {
		err = raw
	}
	return result, err
}

// direct returns a statement kept for this connection, which is the driver's own.
func (s *session) direct(conn any, query string) (directStmt, error) {
	if stmt := s.directs[query]; stmt != nil {
		return stmt, nil
	}
	preparer, ok := conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, errNoStatement
	}
	prepared, err := preparer.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	stmt, ok := prepared.(directStmt)
	if !ok {
		return nil, errors.Join(errNoStatement, prepared.Close())
	}
	keep(s.directs, query, stmt)
	return stmt, nil
}

// keep adds a statement to those of a connection, and closes another one when they are too many.
func keep[S io.Closer](kept map[string]S, query string, stmt S) {
	if len(kept) >= maxStatements {
		for other, old := range kept { // any one: maps are walked in random order
			_ = old.Close()
			delete(kept, other)
			break
		}
	}
	kept[query] = stmt
}
