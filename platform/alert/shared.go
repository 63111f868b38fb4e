package alert

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/wait"
)

// sharedLease is the default of SharedOptions.Lease.
const sharedLease = 30 * time.Second

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
// of the database compares what it finds with what was told last, which is the job's progress, so that the next one neither repeats nor forgets a change.
type Shared struct {
	options SharedOptions
	rounds  chan round
}

// NewShared makes a Shared. An Evaluator runs it.
func NewShared(o SharedOptions) *Shared {
	o.Lease = cmp.Or(o.Lease, sharedLease)
	return &Shared{options: o, rounds: make(chan round, 1)}
}

// round is what an evaluation has found of the shared rules.
type round struct {
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
		err := job.Run(ctx, s.options.Database, "alerts", o, func(ctx context.Context, h *job.Holder) error { return s.lead(ctx, h, tell) })
		busy := errors.Is(err, job.ErrBusy) || errors.Is(err, job.ErrLost)
		if !busy && !failing && ctx.Err() == nil {
			s.options.Logger.WarnContext(ctx, "alerts about what replicas share are not told while the database fails; retrying", slog.Any("error", err))
		}
		failing = !busy
		_ = wait.For(ctx, s.options.Lease/3)
	}
}

// lead tells of the changes of each round until ctx ends. A change is stored first: a replica that dies then sends nothing, and no change is sent twice.
func (s *Shared) lead(ctx context.Context, h *job.Holder, tell func(context.Context, []Change)) error {
	var before []told
	h.Load(&before)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-s.rounds:
			after, changes := r.compare(before)
			if len(changes) == 0 {
				continue
			}
			if err := h.Save(ctx, after); err != nil {
				return err
			}
			before = after
			tell(ctx, changes)
		}
	}
}

// compare returns what is told after the round, and the changes. An alert is resolved when its condition holds no more: a process that began a short
// while ago does not count it as firing yet.
func (r round) compare(before []told) (after []told, changes []Change) {
	for _, f := range r.found {
		known := map[string]time.Time{}
		for _, t := range before {
			if t.Alert == f.rule.Name {
				known[t.Group] = t.Since
			}
		}
		change := func(group string, firing bool, since time.Time) {
			changes = append(changes, Change{Rule: f.rule, Labels: labels(f.rule, group), Firing: firing, Since: since, At: r.at, Value: valueOf(f.values, group)})
		}
		for _, group := range slices.Sorted(maps.Keys(f.firing)) {
			if _, ok := known[group]; !ok {
				known[group] = f.firing[group]
				change(group, true, known[group])
			}
		}
		for _, group := range slices.Sorted(maps.Keys(known)) {
			if f.holding[group] {
				after = append(after, told{f.rule.Name, group, known[group]})
				continue
			}
			change(group, false, known[group])
		}
	}
	return after, changes
}
