// Package inbox is a queue in a service's own database, SQLite or PostgreSQL: of events that come in (webhooks) and of work
// that goes out (an outbox). Put returns after a durable commit; from then on nothing is lost, and nothing takes effect twice.
//
// An event belongs to a source and has an id there, by which it is stored once. Events of one subject (the object they are
// about) are handled in order of arrival, one at a time; different subjects in parallel. A worker leases a subject; its
// handler's effect and the mark that the event is done are committed together, and only while it holds the lease. So the
// handler may run more than once, but its effect is there exactly once. What fails is tried again after a pause, until it is
// dead; then the subject's next event is handled, and an operator may redrive the dead one.
//
//	  Put                    claim
//	──────▶ pending ─────────────────────▶ leased ──── Complete, nil ───▶ done ──▶ (deleted)
//	  │        ▲  ▲                        │ │  │
//	  │        │  └─ error, with back-off ─┘ │  └─ Permanent, or the last attempt ─┐
//	  │        │     shutdown                │                                     ▼
//	  │        │                             └─ lease ran out: another worker      dead
//	  │        └────────────────────────────────────────── Redrive ────────────────┘ ▲
//	  ├────────────────────────── Put with State: Dead ─────────────────────────────┘
//	  └────────────────────────── Put with State: Ignored ──▶ ignored ──▶ (deleted)
//
// Any number of processes may work on one database: there is no leader, and no process needs to know of another.
package inbox

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
)

//go:embed migrations
var migrations embed.FS

// Migrations are the tables, all named inbox_*. Apply them with database.Migrate to the database that New is given, beside
// the service's own.
func Migrations() database.Migrations {
	return database.Embedded("inbox", migrations)
}

// channel is what processes of one service notify each other on.
const channel = "inbox"

// Inbox is the queue. Put, and what operators do, work at any time; events are handled while Run runs.
type Inbox struct {
	db      *database.DB
	sql     statements
	options Options
	log     *slog.Logger
	metrics *instruments

	mu       sync.RWMutex
	handlers map[string]Handler // with their defaults filled in

	local  func() time.Time // the machine's clock
	behind atomic.Int64     // what options.Now must add to be the database server's clock; a time.Duration

	running  atomic.Bool
	signal   chan struct{} // there may be work
	announce chan struct{} // there may be work that this process can't take
}

// New makes an inbox on db. It fails on options that can't be, naming each.
func New(db *database.DB, options Options) (*Inbox, error) {
	if db == nil {
		return nil, errors.New("inbox: New needs a database")
	}
	options = options.withDefaults()
	if err := options.check(); err != nil {
		return nil, err
	}
	m, err := newInstruments(options.Meter)
	if err != nil {
		return nil, err
	}
	return &Inbox{
		local: time.Now, db: db, sql: newStatements(db.Dialect()), options: options, log: options.Logger, metrics: m,
		handlers: map[string]Handler{}, signal: make(chan struct{}, 1), announce: make(chan struct{}, 1),
	}, nil
}

// Handle sets what is done with a source's events. Call it before Run, once for each source. Without it, the events of a
// source wait (for a process that has a handler).
func (in *Inbox) Handle(source string, h Handler) error {
	if err := checkSource(source); err != nil {
		return err
	}
	h = h.withDefaults(in.options)
	if err := h.check(); err != nil {
		return fmt.Errorf("inbox: the handler of %s: %w", source, err)
	}
	if in.running.Load() {
		return fmt.Errorf("inbox: the handler of %s must be set before Run", source)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if _, twice := in.handlers[source]; twice {
		return fmt.Errorf("inbox: the source %s has a handler already", source)
	}
	in.handlers[source] = h
	return nil
}

// handler returns a source's handler, or one that has only the defaults.
func (in *Inbox) handler(source string) (h Handler, ok bool) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if h, ok = in.handlers[source]; !ok {
		h = Handler{}.withDefaults(in.options)
	}
	return h, ok
}

// Wake has the workers look for work now. Nothing in normal use needs it: puts, redrives and due times wake them.
func (in *Inbox) Wake() { raise(in.signal) }

// wakeFor wakes whoever handles source.
func (in *Inbox) wakeFor(source string) {
	if _, ok := in.handler(source); ok {
		in.Wake()
	} else {
		raise(in.announce)
	}
}

// raise sets a signal; a signal that is set already says it all.
func raise(signal chan struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}
