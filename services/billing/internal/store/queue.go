package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

const (
	// maxDecisions bounds the decisions of one batch.
	maxDecisions = 128
	// maxQueued bounds the decisions that wait for a batch, also those whose callers have left; beyond it, callers wait to queue.
	maxQueued = 1024
	// linger is how long a batch waits for more decisions while more than lingerAbove calls are open and fewer than lingerFor
	// decisions wait. A lone caller never waits.
	linger      = 300 * time.Microsecond
	lingerAbove = 8
	lingerFor   = 16
)

// queue collects decisions into batches: while one batch commits, the decisions for the next one queue up. It has no goroutine of its own:
// a caller whose decision waits runs the batch when it is its turn. A process has one on PostgreSQL, too: batches that run at once would be smaller, and
// each costs its statements and a commit.
type queue struct {
	key     string
	waiting chan *decision
	turn    chan struct{}
}

func newQueue() *queue {
	return &queue{key: "ledger", waiting: make(chan *decision, maxQueued), turn: make(chan struct{}, 1)}
}

// decision is one Write on its way.
type decision struct {
	caller ledger.Caller
	ctx    context.Context
	fn     func(context.Context, ledger.Tx) error
	state  atomic.Int32
	err    error
	done   chan struct{}
}

const (
	queued int32 = iota
	taken        // a batch runs it: its outcome must be awaited
	left         // its caller is gone: it never runs
)

// insideWrite marks the context of a decision: a Write within a Write would wait for itself.
type insideWrite struct{ s *Store }

// Write decides and commits together with others; see ledger.Store.
func (s *Store) Write(ctx context.Context, accountID string, fn func(context.Context, ledger.Tx) error) error {
	return s.WriteCall(ctx, ledger.Caller{AccountID: accountID}, fn)
}

// WriteCall is Write for a decision about a call; see ledger.Store. The first window of a limit of an account with calls waits until its holds are found.
func (s *Store) WriteCall(ctx context.Context, caller ledger.Caller, fn func(context.Context, ledger.Tx) error) error {
	for {
		err := s.decide(ctx, caller, fn)
		var unfound *unfoundHoldsError
		if !errors.As(err, &unfound) {
			return translate(err)
		}
		if err := s.limitHolds(ctx, unfound.accountID); err != nil {
			return translate(err)
		}
	}
}

func (s *Store) decide(ctx context.Context, caller ledger.Caller, fn func(context.Context, ledger.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Value(insideWrite{s}) != nil {
		return database.ErrNestedWrite
	}
	d := &decision{
		caller: caller, fn: fn, done: make(chan struct{}),
		ctx: context.WithValue(context.WithoutCancel(ctx), insideWrite{s}, true),
	}
	if err := s.enqueue(ctx, d); err != nil {
		return err
	}
	return s.await(ctx, d)
}

// enqueue waits for room in the queue. A full queue may have nobody who runs a batch, because all of its callers have left: then this one does.
func (s *Store) enqueue(ctx context.Context, d *decision) error {
	select {
	case s.queue.waiting <- d:
		return nil
	default:
	}
	for {
		select {
		case s.queue.waiting <- d:
			return nil
		case s.queue.turn <- struct{}{}:
			s.runBatch()
		case <-ctx.Done():
			return waited(ctx)
		}
	}
}

// await returns when the decision is committed or refused. It runs batches while nobody else does.
func (s *Store) await(ctx context.Context, d *decision) error {
	for {
		select {
		case <-d.done:
			return d.err
		case s.queue.turn <- struct{}{}:
			s.runBatch()
		case <-ctx.Done():
			if d.state.CompareAndSwap(queued, left) {
				return waited(ctx)
			}
			<-d.done
			return d.err
		}
	}
}

// runBatch takes what waits, runs it and passes the turn on, whatever happens.
func (s *Store) runBatch() {
	q := s.queue
	var batch []*decision
	defer func() {
		for _, d := range batch { // only after a panic or the end of the goroutine is anything left
			d.end(errors.New("the batch of this write was ended by another"))
		}
		<-q.turn
	}()
	if n := len(q.waiting); n > 0 && n < lingerFor && s.open.Load() > lingerAbove {
		time.Sleep(linger)
	}
	for len(batch) < maxDecisions {
		d := q.poll()
		if d == nil {
			break
		}
		if d.state.CompareAndSwap(queued, taken) {
			batch = append(batch, d)
		}
	}
	s.commit(q.key, batch)
	batch = nil
}

// Queued is how many decisions wait for a batch.
func (s *Store) Queued() int { return len(s.queue.waiting) }

func (q *queue) poll() *decision {
	select {
	case d := <-q.waiting:
		return d
	default:
		return nil
	}
}

// end reports the outcome, once.
func (d *decision) end(err error) {
	select {
	case <-d.done:
	default:
		d.err = err
		close(d.done)
	}
}

// waited is the error of a write that was dropped from the queue.
func waited(ctx context.Context) error {
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return translate(fmt.Errorf("%w: %w", database.ErrWaited, ctx.Err()))
}
