package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
)

// behaviour is what a handler does in one attempt.
type behaviour string

const (
	succeeds     behaviour = "succeeds"
	fails        behaviour = "fails"
	panics       behaviour = "panics"
	failsInside  behaviour = "fails inside Complete"
	failsAfter   behaviour = "fails after Complete"
	hangs        behaviour = "hangs" // as a dead process's: its lease runs out, and then it comes back and tries to complete
	dieForGood   behaviour = "permanent"
	maxBehaviour           = 4
)

// plan is one run: what is put, and how the attempts at each event go; after the last of them, all succeed.
type plan struct {
	coalesce bool
	subjects [][]planned
}

type planned struct {
	id         string
	duplicates int
	attempts   []behaviour
}

func drawPlan(r *rapid.T) (p plan) {
	p.coalesce = rapid.Bool().Draw(r, "coalesce")
	behaviours := []behaviour{succeeds, fails, panics, failsInside, failsAfter, hangs}
	if !p.coalesce { // there, what dies depends on what waits together
		behaviours = append(behaviours, dieForGood)
	}
	for subject := range rapid.IntRange(1, 5).Draw(r, "subjects") {
		var events []planned
		for e := range rapid.IntRange(1, 6).Draw(r, "events") {
			one := planned{
				id:         fmt.Sprintf("%d-%d", subject, e),
				duplicates: rapid.IntRange(0, 2).Draw(r, "duplicates"),
				attempts:   rapid.SliceOfN(rapid.SampledFrom(behaviours), 0, maxBehaviour).Draw(r, "attempts"),
			}
			if slices.Contains(one.attempts, dieForGood) {
				one.duplicates = 0 // they would bring it back, out of order
			}
			events = append(events, one)
		}
		p.subjects = append(p.subjects, events)
	}
	return p
}

// scenario runs a plan with two processes on one database.
type scenario struct {
	*rapid.T
	f, g    *fixture
	source  string
	mu      sync.Mutex
	left    map[string][]behaviour
	release chan struct{}
	won     atomic.Int32 // hung workers whose late Complete was accepted
}

var errPlanned = errors.New("as planned")

func (s *scenario) next(id string) behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left[id]) == 0 {
		return succeeds
	}
	b := s.left[id][0]
	s.left[id] = s.left[id][1:]
	return b
}

// handle applies a job's events, oldest first.
func (s *scenario) handle(ctx context.Context, j *inbox.Job) error {
	effects := func(ctx context.Context, tx database.Tx) error {
		for _, e := range append(j.Earlier[:len(j.Earlier):len(j.Earlier)], j.Record) {
			_, err := tx.ExecContext(ctx, "INSERT INTO effect (source, subject, event) VALUES ($1, $2, $3)", e.Source, e.Subject, e.ID)
			if err != nil {
				return err
			}
		}
		return nil
	}
	switch b := s.next(j.ID); b {
	case fails:
		return errPlanned
	case dieForGood:
		return inbox.Permanent(errPlanned)
	case panics:
		panic(errPlanned)
	case failsInside:
		return j.Complete(ctx, func(ctx context.Context, tx database.Tx) error { return errors.Join(effects(ctx, tx), errPlanned) })
	case failsAfter:
		return errors.Join(j.Complete(ctx, effects), errPlanned)
	case hangs:
		<-s.release
		err := j.Complete(context.Background(), effects)
		if err == nil {
			s.won.Add(1)
		}
		return err
	default:
		return j.Complete(ctx, effects)
	}
}

// TestExactlyOnceInOrder is the promise: whatever is put, twice or not, and however attempts end, each event has its effect
// exactly once, in order within its subject; unless it is dead, and then it has none.
func TestExactlyOnceInOrder(t *testing.T) {
	var runs atomic.Int32
	each(t, func(f *fixture) {
		g := f.other()
		rapid.Check(f.T, func(r *rapid.T) {
			s := &scenario{T: r, f: f, g: g, source: fmt.Sprintf("run-%d", runs.Add(1)), left: map[string][]behaviour{}, release: make(chan struct{})}
			s.check(drawPlan(r))
		})
	})
}

func (s *scenario) check(p plan) {
	for _, e := range slices.Concat(p.subjects...) {
		s.left[e.id] = e.attempts
	}
	var processes []*inbox.Inbox
	var stops []context.CancelFunc
	var running sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(s.release)
		for _, stop := range stops {
			stop()
		}
		running.Wait()
	})
	defer end()
	for _, f := range []*fixture{s.f, s.g} {
		in := f.open(func(o *inbox.Options) { o.Workers, o.MaxAttempts = 64, 1<<20 })
		require.NoError(s, in.Handle(s.source, inbox.Handler{Handle: s.handle, Coalesce: p.coalesce}))
		ctx, stop := context.WithCancel(s.f.Context())
		stops, processes = append(stops, stop), append(processes, in)
		running.Go(func() {
			if err := in.Run(ctx); err != nil {
				s.Error(err)
			}
		})
	}
	s.putAll(p, processes)
	begun, last := time.Now(), time.Time{}
	require.Eventually(s, func() bool {
		// The slower the machine, the longer a minute: else no attempt would end before its lease does.
		if time.Since(last) > time.Since(begun)/20 {
			s.f.clock.advance(time.Minute) // pauses end, and so do leases, also of those that are at work
			last = time.Now()
		}
		processes[0].Wake()
		processes[1].Wake()
		counts, err := processes[0].Counts(s.f.Context())
		require.NoError(s, err)
		for _, c := range counts {
			if c.Source == s.source && c.State != inbox.Dead {
				return false
			}
		}
		return true
	}, 30*time.Second, time.Millisecond, "not all was handled")
	dead := s.dead(processes[0])
	end() // those that hang come back
	require.Zero(s, s.won.Load(), "a worker without a lease had an effect")
	for subject, events := range p.subjects {
		var want []string
		for _, e := range events {
			if !dead[e.id] {
				want = append(want, e.id)
			} else {
				require.Contains(s, e.attempts, dieForGood)
			}
		}
		require.Equal(s, want, s.applied(fmt.Sprint(subject)), "subject %d", subject)
	}
}

// putAll puts each subject's events in order, the subjects at once.
func (s *scenario) putAll(p plan, processes []*inbox.Inbox) {
	var all sync.WaitGroup
	for subject, events := range p.subjects {
		all.Go(func() {
			for i, e := range events {
				for n := range 1 + e.duplicates {
					duplicate, err := processes[(i+n)%2].Put(s.f.Context(), inbox.Event{Source: s.source, ID: e.id, Subject: fmt.Sprint(subject)})
					if err != nil || duplicate != (n > 0) {
						s.Errorf("put %s: %v, %v", e.id, duplicate, err)
					}
				}
			}
		})
	}
	all.Wait()
}

func (s *scenario) dead(in *inbox.Inbox) map[string]bool {
	page, err := in.List(s.f.Context(), inbox.Filter{Source: s.source, State: inbox.Dead, PageSize: 500})
	require.NoError(s, err)
	dead := map[string]bool{}
	for _, r := range page.Events {
		dead[r.ID] = true
	}
	return dead
}

func (s *scenario) applied(subject string) (events []string) {
	rows, err := s.f.db.Reader().QueryContext(s.f.Context(), "SELECT event FROM effect WHERE source = $1 AND subject = $2 ORDER BY n", s.source, subject)
	require.NoError(s, err)
	defer rows.Close()
	for rows.Next() {
		var e string
		require.NoError(s, rows.Scan(&e))
		events = append(events, e)
	}
	require.NoError(s, rows.Err())
	return events
}
