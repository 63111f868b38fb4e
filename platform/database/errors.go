package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteCode returns the extended result code of SQLite's error, or 0.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// pgCode returns the SQLSTATE of PostgreSQL's error, or "".
func pgCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// IsUnique reports whether err is a duplicate of a primary key or unique index.
func IsUnique(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return true
	}
	return pgCode(err) == "23505"
}

// IsForeignKey reports whether err is a reference to a row that is not there, or the removal of one that is referred to.
func IsForeignKey(err error) bool {
	return sqliteCode(err) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY || pgCode(err) == "23503"
}

// IsCheck reports whether err is the refusal of a CHECK constraint.
func IsCheck(err error) bool {
	return sqliteCode(err) == sqlite3.SQLITE_CONSTRAINT_CHECK || pgCode(err) == "23514"
}

// IsUnavailable reports whether err means that the store can't serve now and a later attempt may do better: no connection,
// shutting down, out of space or connections, locked, too slow, closed. A caller's cancellation is not among them.
func IsUnavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOMEM:
		return true
	}
	for _, sentinel := range []error{
		ErrClosed, ErrCommitUnknown, errAborted, errReadOnly, errNoRoom, driver.ErrBadConn, sql.ErrConnDone, context.DeadlineExceeded,
		net.ErrClosed, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	// Read-only is a standby, or a server that an operator has closed for writing; both may end.
	return retryable(err) || lockedOut(err) || pgClass(err, "08", "53", "57", "58", "25006")
}

// retryable reports whether the same work may succeed if tried again at once: a conflict with another transaction, or a
// connection that broke (never during a commit: that is ErrCommitUnknown).
func retryable(err error) bool {
	if errors.Is(err, ErrCommitUnknown) {
		return false
	}
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	// Serialization failure, deadlock; lost connections; the server stops or starts; too many of them.
	return pgClass(err, "40001", "40P01", "08", "57P0", "53300") || idledOut(err)
}

// idledOut reports whether PostgreSQL ended the session because a transaction paused for too long.
func idledOut(err error) bool { return pgCode(err) == "25P03" }

// lockedOut reports whether a PostgreSQL row stayed locked for as long as a lane waits.
func lockedOut(err error) bool { return pgCode(err) == "55P03" }

// cannotStore reports whether the store took a write but has no room for it, or must not write at all.
func cannotStore(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY:
		return true
	}
	return pgClass(err, "53100", "25006") // disk full, read-only transaction
}

// outwaited reports whether another process holds SQLite's write lock, for which Config.BusyTimeout was waited already: callers
// must not wait for it several times.
func outwaited(err error) bool { return sqliteCode(err)&0xff == sqlite3.SQLITE_BUSY }

// failedWrite reports whether a write ended with err because of the database or a defect. A write that its own function refuses, such as for
// a row that is missing or already exists, does not count.
func failedWrite(err error) bool {
	if IsUnique(err) || IsForeignKey(err) {
		return false
	}
	_, panicked := errors.AsType[*PanicError](err)
	return panicked || sqliteCode(err) != 0 || pgCode(err) != "" || IsUnavailable(err)
}

// undone reports whether the database undid the whole transaction, or will, because of err.
func undone(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CORRUPT:
		return true
	}
	return pgCode(err) == "25P02" // the error came earlier
}

func pgClass(err error, prefixes ...string) bool {
	code := pgCode(err)
	for _, p := range prefixes {
		if code != "" && strings.HasPrefix(code, p) {
			return true
		}
	}
	return false
}
