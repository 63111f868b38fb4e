package database

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/errs"
)

const (
	maxAttempts = 5
	minPause    = 5 * time.Millisecond
	maxPause    = 500 * time.Millisecond
)

var (
	// errSpoiled says that the last op failed in a transaction without savepoints.
	errSpoiled = errors.New("database: an operation of the batch failed")
	// errAgain says that nothing was tried yet, or what was no longer counts.
	errAgain  = errors.New("database: not run")
	errGoexit = errors.New("database: the write's function ended its goroutine")
)

// batch runs many callers' writes in one transaction with one durable commit.
//
// A commit costs one fsync, whatever it holds. While one is under way, other writes queue up, and the next batch takes all of
// them: the busier the store, the more writes share a commit. Four rules make this safe:
//
//   - Callers may leave until their write is taken, and writes are taken only once the transaction is open. So a write either
//     never ran, or its caller hears how it ended.
//   - The first attempt uses no savepoints, because nearly all writes succeed. When one fails, the transaction is rolled back
//     and all of its writes run again, each behind a savepoint, so that an error undoes its own write only. The lane stays
//     careful until a batch without failures. This is why the function of a write may run more than once.
//   - An error of the whole transaction (a deadlock, a lost connection) is retried with a pause; if it persists, each write
//     runs in a transaction of its own, so that one cannot fail the others. Writes on a row that stays locked are answered and
//     left out at once.
//   - A commit whose answer was lost is never retried: the writes may have happened. Their callers get ErrCommitUnknown.
//
// On PostgreSQL the writes run in the order of their keys, the same in all lanes and processes, so that transactions do not
// wait for each other's rows in a circle.
func (l *lane) batch(first *op) {
	begun := time.Now()
	l.ops, l.stats, l.session.ran = l.ops[:0], Batch{Lane: l.index}, 0
	if err := l.open(); err != nil {
		l.refuse(first, err)
	} else {
		next := l.joined(first)
		if l.session.dialect == Postgres {
			next = l.inKeyOrder(next)
		}
		err := l.work(l.careful, next)
		for o := first; errors.Is(err, errSpoiled) && o != nil && len(l.ops) < l.maxBatch && l.session.dialect == SQLite; {
			o = next() // the second run takes along what waits
		}
		l.settle(l.ops, err)
	}
	l.careful = l.stats.Failed > 0
	if l.observe != nil && l.stats.Ops > 0 {
		l.stats.Total, l.stats.Statements = time.Since(begun), l.session.ran
		l.observe(l.stats)
	}
	clear(l.ops) // lets go of the callers' functions
}

// inKeyOrder takes what is queued now and gives it by key: with one order of keys everywhere, transactions of several lanes
// and processes can't wait for each other's rows in a circle.
func (l *lane) inKeyOrder(next func() *op) func() *op {
	for o := next(); o != nil && len(l.ops) < l.maxBatch; {
		o = next()
	}
	slices.SortStableFunc(l.ops, func(a, b *op) int { return strings.Compare(a.key, b.key) })
	return each(l.ops)
}

// joined gives first and then what is queued, taking each and leaving out those whose callers are gone.
func (l *lane) joined(first *op) func() *op {
	return func() *op {
		o := first
		if first = nil; o == nil {
			o = l.poll()
		}
		for o != nil && !o.take() {
			o = l.poll()
		}
		if o != nil {
			l.ops = append(l.ops, o)
		}
		return o
	}
}

// refuse fails what waits now, because the database can't be reached: they must not wait for its return one by one.
func (l *lane) refuse(first *op, err error) {
	err = l.unreachable(err)
	waiting := []*op{first}
	for range len(l.queue) {
		waiting = append(waiting, <-l.queue) // only this lane receives: it can't block
	}
	waiting = slices.DeleteFunc(waiting, func(o *op) bool { return !o.take() })
	l.report(waiting, err)
}

// open begins a transaction, patiently.
func (l *lane) open() error {
	for attempt := 1; ; attempt++ {
		l.stats.Attempts++
		err := l.session.begin(l.base)
		if err == nil || attempt == maxAttempts || !retryable(err) || outwaited(err) || !l.pause(attempt) {
			return err
		}
	}
}

// pause waits before another attempt, longer each time, with full jitter; false means that the lane must end.
func (l *lane) pause(attempt int) bool {
	longest := min(minPause<<(attempt-1), maxPause)
	timer := time.NewTimer(minPause + rand.N(longest)) //nolint:gosec // spreads load, guards nothing
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.base.Done():
		return false
	}
}

// work runs the ops that next gives in the open transaction and commits it; an op's own error stays in it. An error
// means that nothing was committed, or ErrCommitUnknown.
func (l *lane) work(careful bool, next func() *op) error {
	succeeded := 0
	for n := 0; n < l.maxBatch; n++ {
		o := next()
		if o == nil {
			break
		}
		if err := l.one(o, careful); err != nil {
			_ = l.session.rollback()
			return err
		}
		if o.err == nil {
			succeeded++
		}
	}
	if succeeded == 0 {
		_ = l.session.rollback()
		return nil
	}
	begun := time.Now()
	err := l.session.commit()
	l.stats.Commit += time.Since(begun)
	return err
}

// one runs an op. Its error means that the transaction is lost, not only the op.
func (l *lane) one(o *op, careful bool) error {
	if careful {
		if err := l.session.run("SAVEPOINT op"); err != nil {
			return err
		}
	}
	failed := l.call(o)
	switch {
	case o.err == nil && careful:
		return l.session.run("RELEASE SAVEPOINT op")
	case o.err == nil:
		return nil
	case failed != nil && (retryable(failed) || lockedOut(failed) || undone(failed) || l.session.broken(failed)):
		return failed
	case !careful:
		return errSpoiled
	}
	if err := l.session.run("ROLLBACK TO SAVEPOINT op"); err != nil {
		return err
	}
	return l.session.run("RELEASE SAVEPOINT op")
}

// call runs the op's function and keeps its error; it returns the error of its first failed statement.
func (l *lane) call(o *op) (failed error) {
	tx := &laneTx{s: &l.session, op: o}
	l.current, o.err, o.after = o, errGoexit, nil // the error stands when the function never returns
	defer func() {
		v := recover()
		if v != nil {
			stack := debug.Stack()
			o.err = &PanicError{Value: v, Stack: stack}
			l.log.ErrorContext(o.ctx, "write panicked", slog.String("panic", errs.PanicText(v)), slog.String("stack", string(stack)))
		}
		if failed = tx.end(); failed != nil && o.err == nil {
			o.err = fmt.Errorf("database: the write continued after a failed statement: %w", failed)
		}
	}()
	o.err = o.fn(o.ctx, tx)
	return nil
}

// settle takes ops whose common transaction ended with err to their end: all are reported when it returns.
func (l *lane) settle(ops []*op, err error) {
	for attempt := 1; ; attempt++ {
		switch {
		case err == nil, errors.Is(err, ErrCommitUnknown):
			l.report(ops, err)
			return
		case l.base.Err() != nil:
			l.report(ops, errors.Join(ErrClosed, err))
			return
		case lockedOut(err) && len(ops) > 1:
			ops = l.refuseLocked(ops, err)
		case errors.Is(err, errSpoiled) && len(ops) > 1, errors.Is(err, errAgain):
		case retryable(err) && attempt < maxAttempts && l.pause(attempt):
		case len(ops) == 1:
			l.report(ops, err)
			return
		default:
			for i := range ops {
				l.settle(ops[i:i+1], errAgain)
			}
			return
		}
		if err = l.open(); err != nil {
			l.report(ops, l.unreachable(err))
			return
		}
		err = l.work(true, each(ops))
	}
}

// refuseLocked ends the operations on the key whose row stayed locked, and returns the others: they must not wait for it
// again and again.
func (l *lane) refuseLocked(ops []*op, err error) (others []*op) {
	locked := l.current.key
	is := func(o *op) bool { return o.key == locked }
	others = slices.DeleteFunc(slices.Clone(ops), is)
	l.report(slices.DeleteFunc(slices.Clone(ops), func(o *op) bool { return !is(o) }), err)
	return others
}

// each gives ops one by one, then nil.
func each(ops []*op) func() *op {
	return func() *op {
		if len(ops) == 0 {
			return nil
		}
		o := ops[0]
		ops = ops[1:]
		return o
	}
}

// report ends ops: with their own error, else with err.
func (l *lane) report(ops []*op, err error) {
	l.stats.Ops += len(ops)
	for _, o := range ops {
		if o.err == nil {
			o.err = err
		}
		if o.err != nil {
			l.stats.Failed++
			if failedWrite(o.err) {
				l.stats.Broken++
			}
		}
		close(o.done)
	}
}
