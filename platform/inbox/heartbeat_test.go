package inbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
)

// due is until when a subject is leased, or when it is tried again.
func (f *fixture) due(subject string) time.Time {
	f.Helper()
	var micros int64
	row := f.db.Reader().QueryRowContext(f.Context(), "SELECT due_time FROM inbox_subject WHERE source = 's' AND subject = $1", subject)
	require.NoError(f, row.Scan(&micros))
	return time.UnixMicro(micros).UTC()
}

// TestALongAttemptKeepsItsLease: an attempt may last far longer than a lease, as long as its process lives.
func TestALongAttemptKeepsItsLease(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		first := f.handle(inbox.Handler{Handle: h.handle}, one, func(o *inbox.Options) { o.Heartbeat = 5 * time.Millisecond })
		f.put(first, event("a", "x"))
		receive(t, h.entered)
		second := f.handle(inbox.Handler{Handle: apply})
		for range 5 {
			f.clock.advance(59 * time.Second)
			want := f.clock.now().Add(time.Minute)
			f.eventually(func() bool { return f.due("x").Equal(want) }, "no sign of life")
			second.Wake()
			f.settled(second)
		}
		require.Equal(f, 1, f.get(second, "a").Attempts)
		h.release()
		require.NoError(f, receive(t, h.result))
		require.Equal(f, []string{"a"}, f.effects("x"))
	})
}

// An attempt without a lease has no effect, so it must end.
func TestALostLeaseEndsTheAttempt(t *testing.T) {
	each(t, func(f *fixture) {
		entered, ended := make(chan struct{}), make(chan error, 1)
		first := f.handle(inbox.Handler{Handle: func(ctx context.Context, _ *inbox.Job) error {
			close(entered)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return ctx.Err()
		}}, one, func(o *inbox.Options) { o.Heartbeat = 5 * time.Millisecond })
		f.put(first, event("a", "x"))
		receive(t, entered)
		require.NoError(f, f.db.Write(f.Context(), "x", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE inbox_subject SET token = 7 WHERE subject = 'x'")
			return err
		}))
		require.ErrorIs(f, receive(t, ended), inbox.ErrLeaseLost)
		require.Empty(f, f.get(first, "a").Failures, "it is another worker's attempt now")
	})
}

// A handler that runs longer than its time loses its subject.
func TestTheHeartbeatEndsWithTheAttempt(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		first := f.handle(inbox.Handler{Handle: h.handle, Timeout: 20 * time.Millisecond}, one, func(o *inbox.Options) { o.Heartbeat = 5 * time.Millisecond })
		f.put(first, event("a", "x"))
		receive(t, h.entered)
		second := f.handle(inbox.Handler{Handle: apply})
		require.Eventually(f, func() bool {
			state := f.get(second, "a").State
			f.clock.advance(time.Minute)
			second.Wake()
			return state == inbox.Done
		}, 30*time.Second, 500*time.Millisecond, "the lease of the dead process never ends")
		h.release()
		require.ErrorIs(f, receive(t, h.result), inbox.ErrLeaseLost)
		require.Equal(f, []string{"a"}, f.effects("x"))
	})
}

// TestAloneTakesOverAtOnce: where there can be no other process, nobody waits for the leases of one that died.
func TestAloneTakesOverAtOnce(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		first := f.handle(inbox.Handler{Handle: h.handle}, one)
		f.put(first, event("a", "x"), event("b", "x"))
		receive(t, h.entered)
		second := f.handle(inbox.Handler{Handle: apply}, func(o *inbox.Options) { o.Alone = true })
		f.await(second, "b", inbox.Done)
		require.Equal(f, 2, f.get(second, "a").Attempts)
		h.release()
		require.ErrorIs(f, receive(t, h.result), inbox.ErrLeaseLost)
		require.Equal(f, []string{"a", "b"}, f.effects("x"))
	})
}

// TestFailuresAreKept: an operator sees how each of the latest attempts went.
func TestFailuresAreKept(t *testing.T) {
	each(t, func(f *fixture) {
		begun := f.clock.now()
		in := f.handle(inbox.Handler{MaxAttempts: 60, Coalesce: true, Handle: func(context.Context, *inbox.Job) error {
			f.clock.advance(time.Second)
			return errors.New("no")
		}}, func(o *inbox.Options) { o.Rand = func() float64 { return 0 } })
		f.put(in, event("a", "x"))
		f.await(in, "a", inbox.Dead)
		r := f.get(in, "a")
		require.Len(f, r.Failures, 35, "the 25 of after the 50th attempt, and 10 more")
		last := r.Failures[34]
		require.Equal(f, inbox.Failure{
			Attempt: 60, BeginTime: begun.Add(59 * time.Second), EndTime: begun.Add(60 * time.Second), Error: "no",
		}, last)
		require.Equal(f, 26, r.Failures[0].Attempt)
		_, _, err := in.Redrive(t.Context(), "s", []string{"a"})
		require.NoError(f, err)
		f.eventually(func() bool {
			r = f.get(in, "a")
			return r.State == inbox.Dead && r.EndTime.After(last.EndTime)
		}, "it does not die again")
		require.Len(f, r.Failures, 35)
	})
}

// TestFailuresGoWithTheirEvent, when its retention is over.
func TestFailuresGoWithTheirEvent(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			if j.Attempts == 1 {
				return errors.New("not yet")
			}
			return apply(ctx, j)
		}}, func(o *inbox.Options) { o.Rand, o.Retention = func() float64 { return 0 }, time.Hour })
		f.put(in, event("a", "x"))
		require.Equal(f, []inbox.Failure{{Attempt: 1, BeginTime: f.clock.now(), EndTime: f.clock.now(), Error: "not yet"}}, f.await(in, "a", inbox.Done).Failures)
		f.clock.advance(2 * time.Hour)
		_, err := in.Prune(t.Context())
		require.NoError(f, err)
		var left int
		require.NoError(f, f.db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM inbox_failure").Scan(&left))
		require.Zero(f, left)
	})
}
