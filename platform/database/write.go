package database

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"

	"github.com/trivet-dev/trivet/platform/errs"
)

// Tx is the transaction a Write runs in. It is valid until the function that got it returns. A statement that fails
// fails the whole Write, on SQLite as on PostgreSQL, even when the function continues: ask with ON CONFLICT, do not try.
// Its statements are not cut short by a context, because a short transaction is cheaper to finish.
type Tx interface {
	Querier
	// AfterCommit has fn called once the write is known to be committed, before Write returns and by its caller. It is for
	// signals, such as waking a worker; a process that dies in between never calls it.
	AfterCommit(fn func())
	// Together runs statements one after another and sets how many rows each has changed. On PostgreSQL all of them travel in one message and their
	// results in another, where each would wait for its own answer otherwise. The error is that of the first statement that failed, or of its Scan.
	// Rows of an earlier query must be closed.
	Together(ctx context.Context, statements []Statement) error
}

// Statement is one of those that Tx.Together runs.
type Statement struct {
	// Query is its text, and Args are its values.
	Query string
	Args  []any
	// Scan is called for each row of a query; nil for a statement that returns no rows.
	Scan func(row Scanner) error
	// Changed is how many rows a statement without Scan has changed. Together sets it, to NotRun where an earlier one failed.
	Changed int64
}

// NotRun is the Changed of a statement that failed, or that did not run because an earlier one failed.
const NotRun = -1

// Scanner is a row of a query.
type Scanner interface{ Scan(targets ...any) error }

var (
	// ErrClosed is returned for writes after Close.
	ErrClosed = errors.New("database is closed")
	// ErrCommitUnknown is returned when the connection broke during the commit: the write may have happened or not.
	// Ask again with the same idempotency key.
	ErrCommitUnknown = errors.New("the database connection broke during the commit; the write may or may not have happened")
	// ErrWaited is returned for a write whose caller's deadline passed while it waited for its turn. It never ran.
	ErrWaited = errors.New("database: the write waited for its turn until the deadline of its caller")
	// ErrNestedWrite is returned for a Write from within another: it would wait for itself.
	ErrNestedWrite = errors.New("database: Write within Write; use the outer one's Tx")
)

// PanicError is the error of a Write whose function panicked.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // the stack at the panic, for the log
}

// Error says what kind of panic it was, not its stack.
func (e *PanicError) Error() string { return "database: write panicked: " + errs.PanicText(e.Value) }

// op is one Write on its way.
type op struct {
	key   string
	ctx   context.Context
	fn    func(context.Context, Tx) error
	state atomic.Int32
	after []func() // of the last run of fn; valid, as err is, once done is closed
	err   error
	done  chan struct{}
}

const (
	queued int32 = iota
	taken        // a lane runs it: its result must be awaited
	left         // its caller is gone, or the lane is: it never ran
)

func (o *op) take() bool  { return o.state.CompareAndSwap(queued, taken) }
func (o *op) leave() bool { return o.state.CompareAndSwap(queued, left) }

// Write runs fn in a transaction and returns after its durable commit. Writes of many callers share one transaction and
// one commit; an error of one fn undoes its own work only. Writes of one key run in one lane, so they never wait for each
// other's row locks; pass what is contended, such as the account's id.
//
// fn may run more than once, each time on a fresh state (after another caller's error, a deadlock, a lost connection): it
// must set its results, not add to them, and touch nothing but the transaction. It must be quick: no network, no waiting.
// Its ctx carries the caller's values, without cancellation.
//
// When ctx ends while the write waits in the queue, it is dropped and ctx's error returned, together with ErrWaited when it
// was a deadline. Once it has begun, Write waits for the outcome. Other errors: fn's own, *PanicError, ErrClosed,
// ErrCommitUnknown, and the driver's (see IsUnavailable).
func (db *DB) Write(ctx context.Context, key string, fn func(ctx context.Context, tx Tx) error) error {
	err := db.write(ctx, key, fn)
	db.noteWrite(err)
	return temporary(err)
}

func (db *DB) write(ctx context.Context, key string, fn func(ctx context.Context, tx Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Value(insideWrite{db}) != nil {
		return ErrNestedWrite
	}
	select {
	case <-db.closing:
		return ErrClosed
	default:
	}
	l := db.lane(key)
	o := &op{key: key, ctx: context.WithValue(context.WithoutCancel(ctx), insideWrite{db}, true), fn: fn, done: make(chan struct{})}
	select {
	case l.queue <- o:
	case <-ctx.Done():
		return waited(ctx)
	case <-db.closing:
		return ErrClosed
	}
	if err := l.await(ctx, o); err != nil {
		return err
	}
	for _, signal := range o.after {
		signal()
	}
	return nil
}

// insideWrite marks the context of a running write of one database.
type insideWrite struct{ db *DB }

// await waits for o's outcome, or until it may be given up.
func (l *lane) await(ctx context.Context, o *op) error {
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		if o.leave() {
			return waited(ctx)
		}
	case <-l.base.Done():
		// The lane ends: what it has not taken, it never will.
		if o.leave() {
			return ErrClosed
		}
	}
	<-o.done
	return o.err
}

// waited is the error of a write that was dropped from the queue.
func waited(ctx context.Context) error {
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrWaited, ctx.Err())
}

// lane chooses by key. The hash is fresh in every process: nothing but speed depends on it.
func (db *DB) lane(key string) *lane {
	if len(db.lanes) == 1 {
		return db.lanes[0]
	}
	return db.lanes[maphash.String(db.seed, key)%uint64(len(db.lanes))]
}
