package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
)

func TestInOrderWithinASubject(t *testing.T) {
	each(t, func(f *fixture) {
		const subjects, events = 8, 40
		var at [subjects]atomic.Int32
		in := f.handle(inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			n := &at[j.Subject[0]-'0']
			if n.Add(1) > 1 {
				f.Errorf("two at once on %s", j.Subject)
			}
			runtime.Gosched()
			n.Add(-1) // Complete lets the next one in
			return apply(ctx, j)
		}})
		var all sync.WaitGroup
		for s := range subjects {
			all.Go(func() {
				for e := range events {
					if _, err := in.Put(t.Context(), event(fmt.Sprintf("%d-%d", s, e), fmt.Sprint(s))); err != nil {
						f.Error(err)
					}
				}
			})
		}
		all.Wait()
		f.eventually(func() bool { return len(f.effects("")) == subjects*events }, "not all were handled")
		for s := range subjects {
			require.Equal(f, ids(fmt.Sprintf("%d-", s), events), f.effects(fmt.Sprint(s)))
		}
	})
}

// TestBacklogInOrder puts everything before anybody works.
func TestBacklogInOrder(t *testing.T) {
	each(t, func(f *fixture) {
		const subjects, events = 3, 150 // more of one subject than a worker does in a row, more in all than a claim looks at
		in := f.open(func(o *inbox.Options) { o.Workers = 2 })
		for e := range events {
			for s := range subjects {
				f.put(in, event(fmt.Sprintf("%d-%d", s, e), fmt.Sprint(s)))
			}
		}
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: apply}))
		f.run(in)
		f.eventually(func() bool { return len(f.effects("")) == subjects*events }, "not all were handled")
		for s := range subjects {
			require.Equal(f, ids(fmt.Sprintf("%d-", s), events), f.effects(fmt.Sprint(s)))
		}
		counts, err := in.Counts(t.Context())
		require.NoError(f, err)
		require.Empty(f, counts)
	})
}

// TestParallelAcrossSubjects: as many handlers are inside at once as there are workers, and no more.
func TestParallelAcrossSubjects(t *testing.T) {
	each(t, func(f *fixture) {
		inside, leave := make(chan string, 100), make(chan struct{})
		in := f.handle(inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			inside <- j.ID
			<-leave
			return apply(ctx, j)
		}}, func(o *inbox.Options) { o.Workers = 3 })
		for _, id := range ids("e", 5) {
			f.put(in, event(id, "subject of "+id))
		}
		f.put(in, event("second", "subject of e0"), event("alone", ""))
		first := map[string]bool{}
		for range 3 {
			first[receive(t, inside)] = true
		}
		require.Equal(f, map[string]bool{"e0": true, "e1": true, "e2": true}, first, "the oldest come first")
		require.Empty(f, inside, "more handlers than workers")
		close(leave)
		f.eventually(func() bool { return len(f.effects("")) == 7 }, "not all were handled")
		require.Equal(f, []string{"e0", "second"}, f.effects("subject of e0"))
		require.Equal(f, []string{"alone"}, f.effects("alone"), "without a subject the id stands in")
	})
}

// TestSlowSourceLeavesWorkersToOthers: Handler.Workers is a bulkhead.
func TestSlowSourceLeavesWorkersToOthers(t *testing.T) {
	each(t, func(f *fixture) {
		inside, leave := make(chan string, 100), make(chan struct{})
		in := f.open(func(o *inbox.Options) { o.Workers = 4 })
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: apply}))
		require.NoError(f, in.Handle("slow", inbox.Handler{Workers: 2, Handle: func(ctx context.Context, j *inbox.Job) error {
			inside <- j.ID
			<-leave
			return apply(ctx, j)
		}}))
		f.run(in)
		for _, id := range ids("slow", 6) {
			f.put(in, inbox.Event{Source: "slow", ID: id})
		}
		receive(t, inside)
		receive(t, inside)
		for _, id := range ids("e", 10) {
			f.put(in, event(id, id))
		}
		f.eventually(func() bool { return len(f.effects("")) == 10 }, "the slow source blocks the other")
		require.Empty(f, inside)
		close(leave)
		f.eventually(func() bool { return len(f.effects("")) == 16 }, "not all were handled")
	})
}

// TestEndlessSubjectsLeaveSomeToOthers: as many subjects as there are workers get a new event whenever one is handled; those
// that come later get their turn all the same.
func TestEndlessSubjectsLeaveSomeToOthers(t *testing.T) {
	each(t, func(f *fixture) {
		const workers = 2
		ctx, stop := context.WithCancel(t.Context())
		f.beforeStop = append(f.beforeStop, stop)
		in := f.open(func(o *inbox.Options) { o.Workers = workers })
		var n atomic.Int64
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: func(_ context.Context, j *inbox.Job) error {
			return j.Complete(context.Background(), func(c context.Context, tx database.Tx) error {
				if j.Subject == "late" {
					return effect(j)(c, tx)
				}
				if ctx.Err() != nil {
					return nil
				}
				_, err := in.PutTx(c, tx, event(fmt.Sprintf("more%d", n.Add(1)), j.Subject))
				return err
			})
		}}))
		for _, id := range ids("endless", 3*workers) {
			f.put(in, event(id, id))
		}
		f.run(in)
		f.eventually(func() bool { return n.Load() > 200 }, "nothing flows")
		f.put(in, event("a", "late"))
		f.await(in, "a", inbox.Done)
		stop()
	})
}

// TestALongQueueYields: a subject with many events gives its worker away now and then.
func TestALongQueueYields(t *testing.T) {
	each(t, func(f *fixture) {
		const events = 300
		in := f.open(one)
		for _, id := range ids("e", events) {
			f.put(in, event(id, "long"))
		}
		f.put(in, event("a", "short"))
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: apply}))
		f.run(in)
		f.eventually(func() bool { return len(f.effects("")) == events+1 }, "not all were handled")
		at := slices.Index(f.effects(""), "a")
		require.LessOrEqual(f, at, 2*64, "the short one waited for the long one")
		require.Equal(f, ids("e", events), f.effects("long"))
	})
}

// TestTheLongestDueComesFirst among those whose pauses are over.
func TestTheLongestDueComesFirst(t *testing.T) {
	each(t, func(f *fixture) {
		pauses := map[string]time.Duration{"a": 3 * time.Second, "b": time.Second, "c": 2 * time.Second}
		in := f.handle(inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			if j.Attempts == 1 {
				return inbox.RetryAfter(errors.New("later"), pauses[j.ID])
			}
			return apply(ctx, j)
		}}, one, func(o *inbox.Options) { o.Rand = func() float64 { return 0 } })
		for _, id := range []string{"a", "b", "c"} {
			f.put(in, event(id, id))
			f.eventually(func() bool { return f.get(in, id).LastError != "" }, "no attempt")
		}
		f.clock.advance(time.Minute)
		in.Wake()
		f.eventually(func() bool { return len(f.effects("")) == 3 }, "not all were handled")
		require.Equal(f, []string{"b", "c", "a"}, f.effects(""))
		require.Zero(f, f.get(in, "a").DueTime)
	})
}

func TestCoalescedEventsAreOneJob(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open()
		for _, id := range ids("e", 5) {
			f.put(in, event(id, "x"))
		}
		jobs := make(chan *inbox.Job, 10)
		refuse := 2
		require.NoError(f, in.Handle("s", inbox.Handler{Coalesce: true, Handle: func(ctx context.Context, j *inbox.Job) error {
			jobs <- j
			if refuse--; refuse >= 0 {
				return errors.New("not yet")
			}
			return apply(ctx, j)
		}}))
		f.run(in)
		j := receive(t, jobs)
		require.Equal(f, "e4", j.ID)
		require.JSONEq(f, `{"id":"e4"}`, string(j.Payload))
		require.Len(f, j.Earlier, 4)
		for i, id := range ids("e", 4) {
			require.Equal(f, id, j.Earlier[i].ID)
			require.Equal(f, "thing.changed", j.Earlier[i].Type)
			require.Empty(f, j.Earlier[i].Payload)
		}
		f.await(in, "e4", inbox.Pending)
		f.put(in, event("e5", "x")) // joins them at the next attempt
		f.clock.advance(f.get(in, "e0").DueTime.Sub(f.clock.now()))
		in.Wake()
		j = receive(t, jobs)
		require.Equal(f, "e5", j.ID)
		require.Equal(f, 1, j.Attempts)
		require.Len(f, j.Earlier, 5)
		require.Equal(f, 2, j.Earlier[0].Attempts)
		r := f.await(in, "e5", inbox.Pending)
		require.Equal(f, 2*time.Second/2, r.DueTime.Sub(f.clock.now()), "the pause is that of the oldest one's attempts")
		f.clock.advance(time.Second)
		in.Wake()
		receive(t, jobs)
		f.await(in, "e5", inbox.Done)
		for _, id := range ids("e", 6) {
			require.Equal(f, inbox.Done, f.get(in, id).State)
		}
		require.Equal(f, []string{"e5"}, f.effects(""))
	})
}

// Events behind a poisoned one wait until it is dead. Other subjects never wait.
func TestPoisonedHead(t *testing.T) {
	each(t, func(f *fixture) {
		tried := make(chan int, 10)
		in := f.handle(inbox.Handler{MaxAttempts: 3, Handle: func(ctx context.Context, j *inbox.Job) error {
			if j.ID == "poisoned" {
				tried <- j.Attempts
				return errors.New("can't be digested")
			}
			return apply(ctx, j)
		}})
		f.put(in, event("poisoned", "x"), event("a", "x"), event("b", "x"), event("c", "y"))
		for n := range 3 {
			require.Equal(f, n+1, receive(t, tried))
			if n < 2 {
				r := f.await(in, "poisoned", inbox.Pending)
				require.Equal(f, "can't be digested", r.LastError)
				f.await(in, "c", inbox.Done)
				require.Equal(f, []string{"c"}, f.effects(""))
				f.clock.advance(r.DueTime.Sub(f.clock.now()))
				in.Wake()
			}
		}
		f.await(in, "b", inbox.Done)
		r := f.get(in, "poisoned")
		require.Equal(f, inbox.Dead, r.State)
		require.Equal(f, 3, r.Attempts)
		require.Equal(f, "can't be digested", r.LastError)
		require.Equal(f, f.clock.now(), r.EndTime)
		require.Zero(f, r.DueTime)
		require.Equal(f, []string{"a", "b"}, f.effects("x"))
	})
}
