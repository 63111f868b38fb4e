package alert

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/wait"
)

// sharedLease is the default of SharedOptions.Lease.
const sharedLease = 30 * time.Second

const (
	// maxUnsaved bounds the rounds whose messages are not sent yet. More of them wait for the first one.
	maxUnsaved = 16
	// saveTimeout bounds storing what was sent before the replica stops.
	saveTimeout = 2 * time.Second
	// forgetAfter is how long an alert may fire of which nothing is measured, such as one of a source that was removed.
	forgetAfter = 24 * time.Hour
)

// SharedOptions are what a Shared is made of.
type SharedOptions struct {
	// Database is that of the replicas. Required.
	Database *database.DB
	// Logger gets failures. Required.
	Logger *slog.Logger
	// Lease is how long a replica that died keeps the others from telling. Default 30 s.
	Lease time.Duration
}

// Shared has one of several replicas tell of the alerts about what all of them share (Rule.Shared). All evaluate the rules. The one that holds a job
// of the database compares what it finds with what was told last, which is the job's progress. A change is stored when its messages were sent or given up:
// the next replica forgets none, and repeats those that were not stored.
type Shared struct {
	options SharedOptions
	rounds  chan round
	terms   atomic.Int64 // counts the times that this replica became the one that tells
}

// NewShared makes a Shared. An Evaluator runs it.
func NewShared(o SharedOptions) *Shared {
	o.Lease = cmp.Or(o.Lease, sharedLease)
	return &Shared{options: o, rounds: make(chan round, 1)}
}

// round is what an evaluation has found of the shared rules.
type round struct {
	term  int64 // when the evaluation began
	at    time.Time
	found []finding
}

// finding is the state of a rule.
type finding struct {
	rule    Rule
	holding map[string]bool
	firing  map[string]time.Time // since when the condition holds
	values  map[string]float64
}

// told is an alert that was told and is not resolved.
type told struct {
	Alert string    `json:"alert"`
	Group string    `json:"group"`
	Since time.Time `json:"since"`
	// Unmeasured is since when nothing is measured of it; zero while something is.
	Unmeasured time.Time `json:"unmeasured,omitzero"`
}

// begin begins a round. Without replicas nobody takes it.
func (s *Shared) begin() round {
	if s == nil {
		return round{}
	}
	return round{term: s.terms.Load()}
}

// offer gives a round to the telling replica, if this is the one. A round that was not taken is replaced.
func (s *Shared) offer(r round) {
	select {
	case <-s.rounds:
	default:
	}
	select {
	case s.rounds <- r:
	default:
	}
}

// run tells of changes whenever this replica is the one, until ctx ends.
func (s *Shared) run(ctx context.Context, tell func(context.Context, []Change)) {
	o := job.Options{Renew: true, Lease: s.options.Lease, Aside: true}
	failing := false
	for ctx.Err() == nil {
		err := job.Run(ctx, s.options.Database, "alerts", o, func(ctx context.Context, h *job.Holder) error {
			failing = false
			return s.lead(ctx, h, tell)
		})
		busy := errors.Is(err, job.ErrBusy) || errors.Is(err, job.ErrLost)
		if !busy && !failing && ctx.Err() == nil {
			s.options.Logger.WarnContext(ctx, "alerts about what replicas share are not sent while the database fails; retrying", slog.Any("error", err))
		}
		failing = !busy
		_ = wait.For(ctx, s.options.Lease/3)
	}
}

// lead tells of the changes of each round until ctx ends.
func (s *Shared) lead(ctx context.Context, h *job.Holder, tell func(context.Context, []Change)) error {
	l := &leader{s: s, h: h, tell: tell, term: s.terms.Add(1)}
	h.Load(&l.told)
	defer l.stop(ctx)
	for {
		rounds, sent := s.rounds, (<-chan struct{})(nil)
		if len(l.unsaved) > 0 {
			sent = l.unsaved[0].sent.done
		}
		if len(l.unsaved) == maxUnsaved {
			rounds = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sent:
			if err := l.save(ctx); err != nil {
				return err
			}
		case r := <-rounds:
			l.take(ctx, r)
		}
	}
}

// leader is the replica that tells.
type leader struct {
	s    *Shared
	h    *job.Holder
	tell func(context.Context, []Change)
	term int64

	told    []told
	unsaved []unsaved // oldest first
	failing bool
}

// unsaved is what is told once the messages of a round were sent.
type unsaved struct {
	told []told
	sent *delivery
}

// take tells of the changes of a round. One that began before this replica was the one may be older than what another replica told last.
func (l *leader) take(ctx context.Context, r round) {
	if r.term != l.term || ctx.Err() != nil {
		return
	}
	after, changes := r.compare(l.told)
	if len(changes) == 0 && slices.Equal(after, l.told) {
		return
	}
	sent := newDelivery()
	for i := range changes {
		changes[i].delivery = sent
	}
	if len(changes) > 0 {
		l.tell(ctx, changes)
	}
	sent.end()
	l.told = after
	l.unsaved = append(l.unsaved, unsaved{after, sent})
}

// save stores what the first unsaved round told. A database that fails is asked again: the messages were sent.
func (l *leader) save(ctx context.Context) error {
	err := l.h.Save(ctx, l.unsaved[0].told)
	switch {
	case err == nil:
		l.unsaved, l.failing = l.unsaved[1:], false
	case errors.Is(err, job.ErrLost) || ctx.Err() != nil:
		return err
	default:
		if !l.failing {
			l.s.options.Logger.WarnContext(ctx, "storing which alerts were sent failed; retrying", slog.Any("error", err))
		}
		l.failing = true
		_ = wait.For(ctx, l.s.options.Lease/10)
	}
	return nil
}

// stop stores what was sent. The next replica tells of the rest.
func (l *leader) stop(ctx context.Context) {
	sent := 0
	for sent < len(l.unsaved) && l.unsaved[sent].sent.ended() {
		sent++
	}
	if sent == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := l.h.Save(ctx, l.unsaved[sent-1].told); err != nil && !errors.Is(err, job.ErrLost) {
		l.s.options.Logger.WarnContext(ctx, "storing which alerts were sent failed; another replica may repeat them", slog.Any("error", err))
	}
}

// compare returns what is told after the round, and the changes. An alert is resolved when its condition was measured and holds no more: a process that
// began a short while ago does not count it as firing yet, and one whose database is slow or that stops does not measure it. One of which nothing is
// measured for forgetAfter is resolved, too.
func (r round) compare(before []told) (after []told, changes []Change) {
	for _, f := range r.found {
		known := map[string]told{}
		for _, t := range before {
			if t.Alert == f.rule.Name {
				known[t.Group] = t
			}
		}
		change := func(group string, firing bool, since time.Time) {
			changes = append(changes, Change{Rule: f.rule, Labels: labels(f.rule, group), Firing: firing, Since: since, At: r.at, Value: valueOf(f.values, group)})
		}
		for _, group := range slices.Sorted(maps.Keys(f.firing)) {
			if _, ok := known[group]; !ok {
				known[group] = told{Alert: f.rule.Name, Group: group, Since: f.firing[group]}
				change(group, true, f.firing[group])
			}
		}
		for _, group := range slices.Sorted(maps.Keys(known)) {
			if t, still := known[group].after(r.at, f); still {
				after = append(after, t)
			} else {
				change(group, false, t.Since)
			}
		}
	}
	return after, changes
}

// after is the alert after a finding of that time. It is false when the alert is resolved.
func (t told) after(at time.Time, f finding) (told, bool) {
	_, measured := f.values[t.Group]
	switch {
	case measured:
		t.Unmeasured = time.Time{}
		return t, f.holding[t.Group]
	case t.Unmeasured.IsZero():
		t.Unmeasured = at.UTC().Round(0) // as it is read again
		return t, true
	default:
		return t, at.Sub(t.Unmeasured) < forgetAfter
	}
}
