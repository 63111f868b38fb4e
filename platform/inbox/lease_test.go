package inbox_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/inbox"
)

// hung is a handler that does not come back until it is let go; then it tries to complete and tells how that went.
type hung struct {
	entered chan *inbox.Job
	leave   chan struct{}
	result  chan error
	release func()
}

func (f *fixture) hung() *hung {
	h := &hung{entered: make(chan *inbox.Job, 10), leave: make(chan struct{}), result: make(chan error, 10)}
	h.release = sync.OnceFunc(func() { close(h.leave) })
	f.beforeStop = append(f.beforeStop, h.release)
	return h
}

// one worker, so that one that hangs is all.
func one(o *inbox.Options) { o.Workers = 1 }

func (h *hung) handle(_ context.Context, j *inbox.Job) error {
	h.entered <- j
	<-h.leave
	err := apply(context.Background(), j)
	h.result <- err
	return err
}

// TestAnotherTakesOver: a worker that shows no sign of life loses its subject, and what it does later is refused.
func TestAnotherTakesOver(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		first := f.handle(inbox.Handler{Handle: h.handle}, one)
		f.put(first, event("a", "x"), event("b", "x"))
		receive(t, h.entered)

		second := f.handle(inbox.Handler{Handle: apply})
		f.put(second, event("c", "y"))
		f.await(second, "c", inbox.Done)
		require.Equal(f, inbox.Leased, f.get(second, "a").State, "the lease lasts")
		require.Equal(f, inbox.Pending, f.get(second, "b").State, "and holds its subject")

		f.clock.advance(time.Minute)
		second.Wake()
		f.await(second, "b", inbox.Done)
		require.Equal(f, 2, f.get(second, "a").Attempts)
		require.Equal(f, []string{"a", "b"}, f.effects("x"))

		f.put(second, event("d", "x"))
		f.await(second, "d", inbox.Done)
		h.release()
		require.ErrorIs(f, receive(t, h.result), inbox.ErrLeaseLost)
		require.Equal(f, []string{"a", "b", "d"}, f.effects("x"))
	})
}

// TestASourceMayHaveLongerLeases: each lease of its subjects lasts that long, and nobody takes one over before.
func TestASourceMayHaveLongerLeases(t *testing.T) {
	each(t, func(f *fixture) {
		entered, leave := make(chan *inbox.Job), make(chan struct{})
		f.beforeStop = append(f.beforeStop, sync.OnceFunc(func() { close(leave) }))
		h := inbox.Handler{Lease: 5 * time.Minute, Handle: func(ctx context.Context, j *inbox.Job) error {
			if j.Subject == "x" {
				entered <- j
				<-leave
			}
			return apply(ctx, j)
		}}
		until := func() { f.Helper(); require.Equal(f, f.clock.now().Add(5*time.Minute), f.due("x")) }
		first := f.handle(h, one)
		f.put(first, event("a", "x"), event("b", "x"))
		receive(t, entered)
		until()
		leave <- struct{}{}
		b := receive(t, entered)
		require.Equal(f, "b", b.ID)
		until()
		f.clock.advance(time.Minute)
		second := f.handle(h)
		second.Wake()
		f.settled(second)
		require.Equal(f, 1, f.get(second, "b").Attempts)
		require.NoError(f, b.Extend(f.Context()))
		until()
		f.clock.advance(5 * time.Minute)
		second.Wake()
		require.Equal(f, 2, receive(t, entered).Attempts)
		until()
	})
}

// TestALeaseOfASourceIsNotShorter: that of the inbox is the least.
func TestALeaseOfASourceIsNotShorter(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		f.put(f.handle(inbox.Handler{Handle: h.handle, Lease: time.Second}), event("a", "x"))
		receive(t, h.entered)
		require.Equal(f, f.clock.now().Add(time.Minute), f.due("x"))
	})
}

// TestTakenOverInSmallerJobs: a deployment that stops coalescing takes over a job of several events, one by one.
func TestTakenOverInSmallerJobs(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open()
		f.put(in, event("a", "x"), event("b", "x"), event("c", "x"))
		h := f.hung()
		f.handle(inbox.Handler{Handle: h.handle, Coalesce: true}, one)
		require.Len(f, receive(t, h.entered).Earlier, 2)
		f.clock.advance(time.Minute)
		f.handle(inbox.Handler{Handle: apply}).Wake()
		f.await(in, "c", inbox.Done)
		require.Equal(f, []string{"a", "b", "c"}, f.effects("x"))
		h.release()
		require.ErrorIs(f, receive(t, h.result), inbox.ErrLeaseLost)
	})
}

// TestLateButNotReplaced: nobody has taken the subject, so the late effect is as good as a timely one.
func TestLateButNotReplaced(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		in := f.handle(inbox.Handler{Handle: h.handle}, one) // a second worker could take the subject
		f.put(in, event("a", "x"))
		receive(t, h.entered)
		f.clock.advance(time.Hour)
		h.release()
		require.NoError(f, receive(t, h.result))
		require.Equal(f, inbox.Done, f.get(in, "a").State)
	})
}

func TestExtendKeepsTheLease(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		first := f.handle(inbox.Handler{Handle: h.handle}, one)
		f.put(first, event("a", "x"))
		j := receive(t, h.entered)
		second := f.handle(inbox.Handler{Handle: apply})
		for range 3 {
			f.clock.advance(59 * time.Second)
			require.NoError(f, j.Extend(t.Context()))
		}
		f.settled(second)
		require.Equal(f, 1, f.get(second, "a").Attempts)
		h.release()
		require.NoError(f, receive(t, h.result))
		require.ErrorIs(f, j.Extend(t.Context()), inbox.ErrLeaseLost)
	})
}

// TestExtendProlongsTheAttempt has attempts that take twice their Timeout, and can only succeed because they extend it. One
// that the machine starves fails, and is made again.
func TestExtendProlongsTheAttempt(t *testing.T) {
	each(t, func(f *fixture) {
		const timeout = 100 * time.Millisecond
		in := f.handle(inbox.Handler{Timeout: timeout, MaxAttempts: 100, Handle: func(ctx context.Context, j *inbox.Job) error {
			for begun := time.Now(); time.Since(begun) < 2*timeout; {
				if err := errors.Join(ctx.Err(), j.Extend(ctx)); err != nil {
					return err
				}
			}
			return apply(ctx, j)
		}}, func(o *inbox.Options) { o.Rand = func() float64 { return 0 } })
		f.put(in, event("a", "x"))
		f.await(in, "a", inbox.Done)
	})
}

// TestDeadlyEvent: an event whose every attempt ends with its worker is given up like one that fails.
func TestDeadlyEvent(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		handler := inbox.Handler{MaxAttempts: 2, Handle: h.handle}
		in := f.handle(handler, one)
		f.put(in, event("a", "x"))
		receive(t, h.entered)
		for attempt := 2; attempt <= 3; attempt++ {
			f.clock.advance(time.Minute)
			f.handle(handler, one).Wake() // a new process, as the old one is dead
			if attempt == 2 {
				require.Equal(f, 2, receive(t, h.entered).Attempts)
			}
		}
		require.Contains(f, f.await(in, "a", inbox.Dead).LastError, "ended with its process")
		h.release()
		require.ErrorIs(f, receive(t, h.result), inbox.ErrLeaseLost)
		require.ErrorIs(f, receive(t, h.result), inbox.ErrLeaseLost)
		require.Empty(f, f.effects(""))
	})
}

// Events that were leased together with a deadly one do not count the attempt.
func TestOthersDoNotDieWithADeadlyEvent(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		handler := inbox.Handler{MaxAttempts: 1, Coalesce: true, Handle: h.handle}
		in := f.handle(handler, one)
		f.put(in, event("a", "x"))
		receive(t, h.entered)
		f.put(in, event("b", "x"))
		f.clock.advance(time.Minute)
		f.handle(handler, one).Wake()
		j := receive(t, h.entered)
		require.Equal(f, "b", j.ID)
		require.Empty(f, j.Earlier)
		require.Equal(f, 1, j.Attempts)
		require.Equal(f, inbox.Dead, f.get(in, "a").State)
		h.release()
		results := errors.Join(receive(t, h.result), receive(t, h.result))
		require.ErrorIs(f, results, inbox.ErrLeaseLost, "the first one's")
		require.Equal(f, []string{"b"}, f.effects("x"))
	})
}

// TestShutdownReleases: a handler that is interrupted gives its event back as if nothing had been tried.
func TestShutdownReleases(t *testing.T) {
	each(t, func(f *fixture) {
		entered := make(chan struct{})
		in := f.open(func(o *inbox.Options) { o.Grace = time.Millisecond })
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: func(ctx context.Context, _ *inbox.Job) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}}))
		stop := f.run(in)
		f.put(in, event("a", "x"), event("b", "x"))
		receive(t, entered)
		stop()
		r := f.get(in, "a")
		require.Equal(f, inbox.Pending, r.State)
		require.Zero(f, r.Attempts)
		require.Empty(f, r.LastError)
		next := f.handle(inbox.Handler{Handle: apply}) // at once: no lease to wait for
		f.await(next, "b", inbox.Done)
		require.Equal(f, []string{"a", "b"}, f.effects(""))
	})
}

// During the grace period running handlers complete, and no other event starts.
func TestShutdownLetsHandlersFinish(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		in := f.open(one)
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: h.handle}))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx) }()
		f.put(in, event("a", "x"), event("b", "x"), event("c", "y"))
		receive(t, h.entered)
		stop()
		h.release()
		require.NoError(f, receive(t, h.result))
		require.NoError(f, receive(t, done))
		require.Equal(f, []string{"a"}, f.effects(""))
		for _, id := range []string{"b", "c"} {
			require.Equal(f, inbox.Pending, f.get(in, id).State)
			require.Zero(f, f.get(in, id).Attempts)
		}
		require.ErrorIs(f, ctx.Err(), context.Canceled)
	})
}

func TestRunOnceAtATime(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		in := f.handle(inbox.Handler{Handle: h.handle})
		f.put(in, event("a", "x"))
		receive(t, h.entered)
		require.ErrorContains(f, in.Run(t.Context()), "already running")
		require.ErrorContains(f, in.Handle("s2", inbox.Handler{Handle: apply}), "must be set before Run")
		h.release()
		_ = receive(t, h.result)
	})
}
