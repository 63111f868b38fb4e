package database

import (
	"context"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// lane is a goroutine with a connection that commits what is queued, in batches.
type lane struct {
	index    int
	queue    chan *op
	closing  <-chan struct{}
	running  *sync.WaitGroup
	base     context.Context // ends when Close is done, or gives up waiting
	session  session
	maxBatch int
	observe  func(Batch)
	log      *slog.Logger
	// unreachable explains an error of a connection.
	unreachable func(error) error

	ops     []*op // of the batch under way, all taken
	current *op   // whose function runs
	careful bool  // the last batch had a failing op: use savepoints from the start
	stats   Batch // of the batch under way
}

// Batch tells how one batch went, for metrics.
type Batch struct {
	Lane     int // which lane, from 0
	Ops      int // operations asked for
	Failed   int // of them, those that ended with an error
	Broken   int // of those, the ones that did not refuse themselves: the database failed, or the code
	Attempts int // transactions begun
	// Statements counts those of the operations, not those that manage the transaction.
	Statements int
	Total      time.Duration // from the first begin to the last commit
	Commit     time.Duration // the commits alone
}

// start makes the lanes.
func (db *DB) start() {
	var base context.Context
	base, db.kill = context.WithCancel(context.Background())
	db.seed = maphash.MakeSeed()
	var present func() *logins
	if server, ok := db.target.(*postgresServer); ok {
		present = server.logins.Load
	}
	for i := range db.config.Lanes {
		l := &lane{
			index: i, queue: make(chan *op, db.config.QueueSize), closing: db.closing,
			running: &db.running, base: base, maxBatch: db.config.MaxBatch, observe: db.config.Observe, log: db.config.Logger,
			unreachable: db.target.unreachable,
			session:     session{pool: db.writers, dialect: db.dialect, timeout: db.config.WriteTimeout, opening: db.target.begin(), logins: present},
		}
		db.lanes = append(db.lanes, l)
		db.running.Go(l.run)
	}
}

// run works until the database is closed and the queue is empty.
func (l *lane) run() {
	ended := false
	defer func() {
		if !ended {
			// A function ended its goroutine (runtime.Goexit, as t.FailNow does): continue in another one.
			l.running.Go(l.resume)
		}
	}()
	stop := context.AfterFunc(l.base, l.session.cut)
	defer stop()
	for first := l.next(); first != nil && l.base.Err() == nil; first = l.next() {
		l.batch(first)
	}
	l.session.drop()
	ended = true
}

// resume finishes a batch whose goroutine was ended by one of its functions, and takes the lane over.
func (l *lane) resume() {
	_ = l.session.rollback()
	rest := slices.DeleteFunc(slices.Clone(l.ops), func(o *op) bool { return o == l.current || o.reported() })
	l.report([]*op{l.current}, errGoexit)
	if len(rest) > 0 {
		l.settle(rest, errAgain)
	}
	l.run()
}

// reported reports whether o's caller has its answer.
func (o *op) reported() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// next waits for an op; nil means that there will be none.
func (l *lane) next() *op {
	select {
	case o := <-l.queue:
		return o
	case <-l.closing:
		return l.poll()
	}
}

// poll returns an op if one waits.
func (l *lane) poll() *op {
	select {
	case o := <-l.queue:
		return o
	default:
		return nil
	}
}
