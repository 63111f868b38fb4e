package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// intake is how Trivet received the webhooks, on one database.
type intake struct {
	database string
	offering
	acknowledged int
	byStatus     map[int]int // of the others; 0 means without an answer
	problem      error       // one of those that were not acknowledged
	sorted       []time.Duration

	before  moment
	offered moment        // at the last answer
	drained moment        // at the end
	drain   time.Duration // from the last answer
	waiting float64       // events at the end
	fetches int64
	memory  int64
}

// moment is a reading of all counters at one time.
type moment struct {
	reading
	cpu    time.Duration // Trivet's
	server time.Duration // the database server's
}

// look reads the counters. The database server's process is 0 when there is no server.
func (in *installation) look(ctx context.Context, server int) (m moment, err error) {
	if m.reading, err = read(ctx, in.ops); err != nil {
		return m, err
	}
	if m.cpu, err = cpuOf(in.pid); err != nil {
		return m, err
	}
	m.server, err = familyCPU(server)
	return m, err
}

// measure installs Trivet in dir, offers the webhooks, and waits until the queue is empty.
func measure(ctx context.Context, o webhookOptions, dir, database string, server int) (m intake, err error) {
	in, err := install(ctx, o, dir, database)
	defer in.stop()
	if err != nil {
		return m, err
	}
	defer func() { err = in.explain(err) }()
	customers, err := in.customers(ctx, o.customers)
	if err != nil {
		return m, err
	}
	syscall.Sync() // what the making of the database left to be written would slow the first commits
	if m.before, err = in.look(ctx, server); err != nil {
		return m, err
	}
	if err := m.offer(ctx, o, in, customers); err != nil {
		return m, err
	}
	if m.offered, err = in.look(ctx, server); err != nil {
		return m, err
	}
	if err := m.awaitEmpty(ctx, in, server); err != nil {
		return m, err
	}
	if m.fetches, err = in.fetches(ctx); err != nil {
		return m, err
	}
	m.memory, err = peakOf(in.pid)
	return m, err
}

// offer offers the webhooks, takes a profile if one is wanted, and sums up the answers.
func (m *intake) offer(ctx context.Context, o webhookOptions, in *installation, customers []string) (err error) {
	profiled := make(chan error, 1)
	if o.profiles == "" {
		profiled <- nil
	} else {
		go func() {
			profiled <- takeProfile(ctx, in.ops, "profile", o.duration, filepath.Join(o.profiles, "webhooks-"+filepath.Base(in.dir)+".pprof"))
		}()
	}
	m.offering, err = offer(ctx, in.edge, newFeed(o, customers, time.Now()), o.rate, o.duration)
	if err := errors.Join(err, <-profiled); err != nil {
		return err
	}
	m.byStatus = map[int]int{}
	for _, a := range m.answers {
		if a.err != nil {
			m.byStatus[a.status]++
			m.problem = a.err
			continue
		}
		m.acknowledged++
		m.sorted = append(m.sorted, a.took)
	}
	slices.Sort(m.sorted)
	return nil
}

// awaitEmpty waits until no event is pending or leased, within a limit.
func (m *intake) awaitEmpty(ctx context.Context, in *installation, server int) (err error) {
	for {
		if m.drained, err = in.look(ctx, server); err != nil {
			return err
		}
		waiting, known := m.drained.waiting()
		m.waiting, m.drain = waiting, time.Since(m.ended)
		switch {
		case known && waiting == 0:
			return nil
		case m.drain > drainPatience && !known:
			return errors.New("trivet_inbox_events does not tell of clerk and stripe")
		case m.drain > drainPatience:
			return nil // check complains, after all was shown
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (m *intake) dead() float64 {
	n, _ := m.drained.sum("trivet_inbox_events", `state="dead"`)
	return n
}

// applied counts the events whose effect was committed.
func (m *intake) applied() float64 {
	return m.drained.since(m.before.reading, "trivet_inbox_delay_seconds_count")
}

// check returns the errors that the run must not have.
func (m *intake) check() error {
	var found []error
	complain := func(format string, args ...any) {
		found = append(found, fmt.Errorf(m.database+": "+format, args...))
	}
	if missing := len(m.answers) - m.acknowledged; missing > 0 {
		complain("%d of %d webhooks were not acknowledged; one of them: %w", missing, len(m.answers), m.problem)
	}
	if m.dead() > 0 {
		complain("%.0f events are dead", m.dead())
	}
	if m.waiting > 0 {
		complain("%.0f events wait %s after the last answer", m.waiting, drainPatience)
	}
	if put := m.drained.since(m.before.reading, "trivet_inbox_puts_total", `outcome="pending"`); int(put) < m.acknowledged {
		complain("%d webhooks were acknowledged, but only %.0f events stored", m.acknowledged, put)
	}
	if m.waiting == 0 && int(m.applied()) < m.acknowledged {
		complain("%d webhooks were acknowledged, but only %.0f events applied", m.acknowledged, m.applied())
	}
	return errors.Join(found...)
}

// others lists the answers that were not acknowledgements.
func (m *intake) others() string {
	if len(m.byStatus) == 0 {
		return "none"
	}
	text := ""
	for status, n := range m.byStatus {
		name := http.StatusText(status)
		if status == 0 {
			name = "no answer"
		}
		text += fmt.Sprintf("%d × %d %s ", n, status, name)
	}
	return text
}
