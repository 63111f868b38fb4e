package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// session is a lane's own connection, kept from batch to batch, with its prepared statements.
type session struct {
	pool    *sql.DB
	dialect Dialect
	timeout time.Duration // PostgreSQL: of a transaction
	opening string        // the statements that begin a transaction
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt  // for queries; on SQLite only
	directs map[string]directStmt // for all else; on SQLite only
	values  []driver.NamedValue   // of the statement under way
	logins  func() *logins        // PostgreSQL: the present ones
	login   *logins               // those that conn was made with
	ran     int                   // statements of the batch's operations
	pg      *pgx.Conn             // conn's, on PostgreSQL
	guard   *time.Timer           // cuts pg's transaction when it takes too long
	socket  atomic.Pointer[net.Conn]
}

// connect makes sure that there is a connection.
func (s *session) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	if s.logins != nil {
		s.login = s.logins()
	}
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return err
	}
	s.conn, s.stmts, s.directs = conn, map[string]*sql.Stmt{}, map[string]directStmt{}
	if s.dialect == SQLite {
		return nil
	}
	return conn.Raw(func(dc any) error {
		s.pg = dc.(*connection).Conn.Conn() //nolint:forcetypeassert // the connector makes them
		socket := s.pg.PgConn().Conn()
		s.socket.Store(&socket)
		return nil
	})
}

// begin opens a transaction, on a new connection when the kept one turns out to be gone.
func (s *session) begin(ctx context.Context) error {
	if s.conn != nil && s.logins != nil && s.logins() != s.login {
		s.drop() // other logins are used
	}
	fresh := s.conn == nil
	if err := s.connect(ctx); err != nil {
		return err
	}
	err := s.tryBegin()
	if err != nil && s.broken(err) {
		s.drop()
		if !fresh {
			return s.begin(ctx)
		}
	}
	return err
}

func (s *session) tryBegin() error {
	if s.dialect == SQLite {
		return s.run(s.opening)
	}
	// One timer for all statements of a transaction costs less than a context with a deadline for each of them, which
	// starts a goroutine every time.
	s.guard = time.AfterFunc(s.timeout, s.cut)
	_, err := s.pg.PgConn().Exec(context.Background(), s.opening).ReadAll()
	if err != nil {
		s.disarm()
	}
	return err
}

// commit returns nil only after a durable commit. The error wraps ErrCommitUnknown when the outcome is not known; after
// any other error the transaction was undone.
func (s *session) commit() error {
	if s.dialect == SQLite {
		return s.commitSQLite()
	}
	defer s.disarm()
	if s.pg.PgConn().TxStatus() == 'E' {
		return errors.Join(errAborted, s.rollback())
	}
	tag, err := s.pg.Exec(context.Background(), "commit")
	switch {
	case err != nil && s.broken(err):
		s.drop()
		return fmt.Errorf("%w (%w)", ErrCommitUnknown, err)
	case err != nil:
		return err // a refusal, such as of a deferred constraint, is an undone transaction
	case tag.String() != "COMMIT":
		return errAborted // PostgreSQL answers ROLLBACK, without an error, after a failed statement
	}
	return nil
}

var errAborted = errors.New("database: a statement failed and its transaction was undone")

func (s *session) commitSQLite() error {
	err := s.run("COMMIT")
	if err == nil {
		return nil
	}
	// A refused commit (busy, a deferred constraint) leaves the transaction open. When there is none left, SQLite undid
	// it by itself, on an error that no statement reported.
	if undo := s.run("ROLLBACK"); undo != nil {
		s.drop()
		return fmt.Errorf("%w (%w)", ErrCommitUnknown, err)
	}
	return err
}

// rollback undoes the transaction; when even that fails the connection is given up, which undoes it too.
func (s *session) rollback() error {
	s.disarm()
	if s.conn == nil {
		return nil
	}
	err := s.run("ROLLBACK")
	if err != nil {
		s.drop()
	}
	return err
}

// run executes one of the few statements that manage transactions.
func (s *session) run(query string) error {
	if s.dialect == Postgres {
		_, err := s.pg.Exec(context.Background(), query)
		return err
	}
	_, err := s.execSQLite(query, nil)
	return err
}

// prepare returns a statement kept for this connection.
func (s *session) prepare(query string) (*sql.Stmt, error) {
	if stmt := s.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	keep(s.stmts, query, stmt)
	return stmt, nil
}

// broken reports whether the connection can no longer be used.
func (s *session) broken(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || s.pg != nil && s.pg.IsClosed()
}

// drop gives the connection up.
func (s *session) drop() {
	s.disarm()
	if s.conn == nil {
		return
	}
	for _, stmt := range s.stmts {
		_ = stmt.Close()
	}
	_ = s.conn.Raw(func(any) error {
		for _, stmt := range s.directs {
			_ = stmt.Close()
		}
		return driver.ErrBadConn // tells the pool to close it
	})
	_ = s.conn.Close()
	s.conn, s.pg, s.stmts, s.directs = nil, nil, nil, nil
	s.socket.Store(nil)
}

// cut breaks the connection under a statement that takes too long; it is safe from any goroutine. SQLite has nothing to
// cut: its waits are bounded by BusyTimeout.
func (s *session) cut() {
	if socket := s.socket.Load(); socket != nil {
		_ = (*socket).Close()
	}
}

func (s *session) disarm() {
	if s.guard != nil {
		s.guard.Stop()
		s.guard = nil
	}
}
