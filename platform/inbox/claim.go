package inbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
)

// maxReady bounds the events that a claim looks at at a time.
const maxReady = 256

// group is a leased subject and the events that its holder is to handle, oldest first.
type group struct {
	source, subject string
	token           int64
	events          []Record
}

// newToken makes a lease's name. It tells leases apart, also from those of a subject's earlier rows.
func newToken() int64 {
	return rand.Int64N(1<<63-2) + 1 //nolint:gosec // keeps accidents apart, not attackers
}

// want says how many subjects of a source there are workers for.
type want struct {
	source string
	free   int
	limit  int // events of a job
	lease  time.Duration
	fresh  bool // subjects that nobody has looked at come first
}

// claim is one round of taking leases, in one transaction.
//
// Any number of processes claim at the same time. Two rules keep each subject with one worker and no process waiting:
//
//   - The row of a subject in inbox_subject is its lock. A claim takes it with SKIP LOCKED (on SQLite there is one writer), so a
//     subject that another transaction holds is left out and noted in busy, and the process looks again soon. The lease is a
//     random token in that row: a worker that lost its lease finds another token there and cannot write its result.
//   - A subject without a row is new: its events are marked ready, and nobody has looked at it. Inserting the row would wait for
//     another process that inserts the same row and has not committed, so the claim takes an advisory lock first and leaves the
//     subject out when it is held.
//
// There are two kinds of work, subjects that are due again (a pause or a lease has ended) and new ones. Either kind could fill
// every round and keep the other waiting forever. So each gets half of the free workers, the first turn alternates, and what
// one kind leaves the other may take.
type claim struct {
	in  *Inbox
	now time.Time

	groups []*group
	more   bool      // there is more work than free workers
	busy   bool      // there may be work on subjects that other transactions held: look again soon
	next   time.Time // when the next subject is due, if known
	stolen int       // leases that had ended without a result
}

// claim takes leases for at most total workers. When the connection breaks during the commit, the leases may or may not have
// been stored. They are worked on all the same: if they were not, the end of the attempt finds another token and writes
// nothing; if they were and nobody worked on them, their events would wait until the leases end.
func (in *Inbox) claim(ctx context.Context, total int, wants []want) (*claim, error) {
	c := &claim{}
	err := in.db.Write(ctx, "inbox claim", func(ctx context.Context, tx database.Tx) error {
		now := in.now()
		*c = claim{in: in, now: now}
		for _, w := range wants {
			w.free = min(w.free, total-len(c.groups))
			if w.free <= 0 {
				c.more = true // who knows
				continue
			}
			if err := c.claim(ctx, tx, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, database.ErrCommitUnknown) {
		return &claim{}, err
	}
	return c, nil
}

// until is the end of the leases that are taken now.
func (c *claim) until(w want) int64 { return c.now.Add(w.lease).UnixMicro() }

func (c *claim) claim(ctx context.Context, tx database.Tx, w want) error {
	full := len(c.groups) + w.free
	// Both kinds get a part, each in its turn the first: subjects whose events never end are due again and again, and must
	// not keep the others out; nor the other way round.
	part := len(c.groups) + (w.free+1)/2
	takes := [2]func(context.Context, database.Tx, want, int) error{c.takeDue, c.takeFresh}
	if w.fresh {
		takes[0], takes[1] = takes[1], takes[0]
	}
	if err := takes[0](ctx, tx, w, part); err != nil {
		return err
	}
	if err := takes[1](ctx, tx, w, full); err != nil {
		return err
	}
	if len(c.groups) >= part && len(c.groups) < full { // the first may have left some
		if err := takes[0](ctx, tx, w, full); err != nil {
			return err
		}
	}
	if len(c.groups) >= full {
		c.more = true
		return nil
	}
	var next sql.NullInt64
	if err := tx.QueryRowContext(ctx, c.in.sql.next, w.source).Scan(&next); err != nil {
		return err
	}
	switch at := time.UnixMicro(next.Int64); {
	case !next.Valid:
	case !at.After(c.now):
		c.busy = true // it is due, but was locked
	case c.next.IsZero() || at.Before(c.next):
		c.next = at
	}
	return nil
}

// takeFresh takes subjects that nobody has looked at, as long as there are any or until it is full.
func (c *claim) takeFresh(ctx context.Context, tx database.Tx, w want, full int) (err error) {
	for again := true; again && len(c.groups) < full && err == nil; {
		again, err = c.takeReady(ctx, tx, w, full)
	}
	return err
}

// takeDue takes subjects whose pause is over, or whose lease ran out.
func (c *claim) takeDue(ctx context.Context, tx database.Tx, w want, full int) error {
	due, err := c.dueSubjects(ctx, tx, w.source, full-len(c.groups))
	if err != nil {
		return err
	}
	for _, d := range due {
		g := &group{source: w.source, subject: d.subject, token: newToken()}
		if _, err := exec(ctx, tx, c.in.sql.lease, g.source, g.subject, g.token, c.until(w)); err != nil {
			return err
		}
		if d.token != 0 {
			c.stolen++
			if _, err := exec(ctx, tx, c.in.sql.retake, g.source, g.subject); err != nil {
				return err
			}
		}
		if err := c.take(ctx, tx, g, w.limit); err != nil {
			return err
		}
	}
	return nil
}

type dueSubject struct {
	subject string
	token   int64
}

func (c *claim) dueSubjects(ctx context.Context, tx database.Tx, source string, n int) (due []dueSubject, err error) {
	rows, err := tx.QueryContext(ctx, c.in.sql.due, source, c.now.UnixMicro(), int64(n))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d dueSubject
		if err := rows.Scan(&d.subject, &d.token); err != nil {
			return nil, err
		}
		due = append(due, d)
	}
	return due, rows.Err()
}

// take puts the subject's first events into g, which holds its lease. A subject without any is dropped.
func (c *claim) take(ctx context.Context, tx database.Tx, g *group, limit int) (err error) {
	if g.events, err = c.in.take(ctx, tx, g.source, g.subject, c.now, limit); err != nil {
		return err
	}
	if len(g.events) == 0 {
		_, err := exec(ctx, tx, c.in.sql.drop, g.source, g.subject)
		return err
	}
	c.groups = append(c.groups, g)
	return nil
}

// take marks a subject's first events as leased, and returns them in order.
func (in *Inbox) take(ctx context.Context, tx database.Tx, source, subject string, now time.Time, limit int) ([]Record, error) {
	rows, err := tx.QueryContext(ctx, in.sql.take, source, subject, now.UnixMicro(), int64(limit))
	if err != nil {
		return nil, err
	}
	events, err := scanRecords(rows)
	slices.SortFunc(events, func(a, b Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return events, err
}

// readySubject is a subject of events that nobody has looked at.
type readySubject struct {
	subject string
	last    int64 // the newest of them on this page
	events  int
	held    bool // it has a row
}

// takeReady takes subjects that have no row yet. Of those that have one, it hands the events over to it. It tells whether
// there is more to look at.
func (c *claim) takeReady(ctx context.Context, tx database.Tx, w want, full int) (again bool, err error) {
	subjects, events, err := c.readySubjects(ctx, tx, w.source)
	if err != nil {
		return false, err
	}
	progress := false
	for _, s := range subjects {
		if !s.held && len(c.groups) >= full {
			continue // continue with the subjects that are held; quiet ones need no second look
		}
		ok, err := c.own(ctx, tx, w, s)
		if err != nil {
			return false, err
		}
		progress, c.busy = progress || ok, c.busy || !ok
	}
	return progress && events == maxReady, nil
}

// own takes a subject, or hands its ready events over to who holds it; false means that another transaction is at it.
func (c *claim) own(ctx context.Context, tx database.Tx, w want, s *readySubject) (ok bool, err error) {
	if s.held {
		var one int
		err := tx.QueryRowContext(ctx, c.in.sql.try, w.source, s.subject).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		_, err = exec(ctx, tx, c.in.sql.quiet, w.source, s.subject, s.last)
		return err == nil, err
	}
	g := &group{source: w.source, subject: s.subject, token: newToken()}
	inserted, err := exec(ctx, tx, c.in.sql.insert, g.source, g.subject, g.token, c.until(w))
	if err != nil || inserted == 0 {
		return false, err
	}
	if s.events > 1 {
		if _, err := exec(ctx, tx, c.in.sql.quiet, g.source, g.subject, s.last); err != nil {
			return false, err
		}
	}
	return true, c.take(ctx, tx, g, w.limit)
}

// readySubjects returns the subjects of the oldest ready events, and how many events these are.
func (c *claim) readySubjects(ctx context.Context, tx database.Tx, source string) (subjects []*readySubject, events int, err error) {
	rows, err := tx.QueryContext(ctx, c.in.sql.ready, source, int64(maxReady))
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	known := map[string]*readySubject{}
	for ; rows.Next(); events++ {
		var r readySubject
		if err := rows.Scan(&r.last, &r.subject, &r.held); err != nil {
			return nil, 0, err
		}
		s := known[r.subject]
		if s == nil {
			s = &r
			known[r.subject] = s
			subjects = append(subjects, s)
		}
		s.last, s.events = r.last, s.events+1
	}
	return subjects, events, rows.Err()
}
