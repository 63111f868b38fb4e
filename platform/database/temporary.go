package database

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// retryAfter is when a caller may try again that the store could not serve.
const retryAfter = time.Second

// temporaryError marks an error for which IsUnavailable holds. Servers turn every error with the method Unavailable into the
// same answer, so they need to know nothing of databases.
type temporaryError struct{ error }

// Unwrap returns the marked error.
func (e temporaryError) Unwrap() error { return e.error }

// Unavailable returns after how long a caller may try again.
func (e temporaryError) Unavailable() time.Duration { return retryAfter }

// temporary marks err when it means that the store cannot serve now. An error that is nothing but the caller's own deadline
// is not marked: it says nothing about the store.
func temporary(err error) error {
	if !IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrWaited) {
		return err
	}
	if _, marked := errors.AsType[temporaryError](err); marked {
		return err
	}
	return temporaryError{err}
}

// temporaryRow is temporary for a query of one row, whose error its Scan returns.
func temporaryRow(pool *sql.DB, row *sql.Row) *sql.Row {
	err := row.Err()
	if marked := temporary(err); marked != err { //nolint:errorlint // the same error, or a new mark around it
		return failedRow(pool, marked)
	}
	return row
}

// failedRow returns a row whose Scan returns err. Only database/sql can make a row, and it makes one with an error of our
// choice only from a context that ended with it.
func failedRow(pool *sql.DB, err error) *sql.Row {
	return pool.QueryRowContext(endedContext{context.Background(), err}, "SELECT 1")
}

// endedContext is a context that has ended with an error.
type endedContext struct {
	context.Context //nolint:containedctx // it is a context
	err             error
}

func (endedContext) Done() <-chan struct{} { return closed }
func (c endedContext) Err() error          { return c.err }

var closed = func() <-chan struct{} { //nolint:gochecknoglobals // never changes
	c := make(chan struct{})
	close(c)
	return c
}()
