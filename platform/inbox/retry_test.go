package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
)

// TestBackoff fails an event until it is dead and looks at each pause: exponential, capped, with full jitter.
func TestBackoff(t *testing.T) {
	each(t, func(f *fixture) {
		random := []float64{0.5, 1, 0, 0.25, 0.5}
		want := []time.Duration{500 * time.Millisecond, 2 * time.Second, 0, 2 * time.Second, 5 * time.Second}
		var n atomic.Int32
		in := f.handle(inbox.Handler{
			MaxAttempts: 6,
			Handle: func(_ context.Context, j *inbox.Job) error {
				if j.ID == "a" {
					return errors.New("no")
				}
				return nil // a probe
			},
		}, func(o *inbox.Options) {
			o.Backoff = inbox.Backoff{Base: time.Second, Cap: 10 * time.Second}
			o.Rand = func() float64 { return random[(int(n.Add(1))-2+len(random))%len(random)] } // the first is pruning's
		})
		f.eventually(func() bool { return n.Load() == 1 }, "pruning has not begun")
		f.put(in, event("a", "x"))
		for i, pause := range want {
			var r inbox.Record
			f.eventually(func() bool {
				r = f.get(in, "a")
				return r.Attempts > i && r.State != inbox.Leased
			}, "attempt %d was not made", i+1)
			if pause == 0 {
				continue // the next one is under way
			}
			require.Equal(f, i+1, r.Attempts)
			require.Equal(f, pause, r.DueTime.Sub(f.clock.now()), "after attempt %d", i+1)
			f.clock.advance(pause - time.Microsecond)
			in.Wake()
			f.settled(in)
			require.Equal(f, i+1, f.get(in, "a").Attempts, "too early")
			f.clock.advance(time.Microsecond)
			in.Wake()
		}
		require.Equal(f, 6, f.await(in, "a", inbox.Dead).Attempts)
	})
}

// settled has the inbox look for work, and returns after it did.
func (f *fixture) settled(in *inbox.Inbox) {
	f.Helper()
	probe := event(fmt.Sprintf("probe-%d", probes.Add(1)), "")
	probe.Source = "s"
	f.put(in, probe)
	f.eventually(func() bool { return f.get(in, probe.ID).Attempts > 0 }, "the probe was not claimed")
}

var probes atomic.Int64

func TestRetryAfterIsTheLeastPause(t *testing.T) {
	limited := errors.New("rate limited")
	require.NoError(t, inbox.RetryAfter(nil, time.Second))
	require.ErrorIs(t, inbox.RetryAfter(limited, time.Second), limited)
	for after, want := range map[time.Duration]time.Duration{
		90 * time.Second:    90*time.Second + 500*time.Millisecond,
		-time.Second:        500 * time.Millisecond,
		1000000 * time.Hour: 24*time.Hour + 500*time.Millisecond,
	} {
		each(t, func(f *fixture) {
			in := f.handle(inbox.Handler{Handle: func(context.Context, *inbox.Job) error {
				return fmt.Errorf("stripe: %w", inbox.RetryAfter(limited, after))
			}})
			f.put(in, event("a", "x"))
			f.eventually(func() bool { return f.get(in, "a").LastError != "" }, "no attempt")
			r := f.get(in, "a")
			require.Equal(f, "stripe: rate limited", r.LastError)
			require.Equal(f, want, r.DueTime.Sub(f.clock.now()))
		})
	}
}

func TestPermanentIsDeadAtOnce(t *testing.T) {
	malformed := errors.New("malformed")
	require.NoError(t, inbox.Permanent(nil))
	require.ErrorIs(t, inbox.Permanent(malformed), malformed)
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			if j.ID == "bad" {
				return fmt.Errorf("user.updated: %w", inbox.Permanent(malformed))
			}
			return apply(ctx, j)
		}})
		f.put(in, event("bad", "x"), event("a", "x"))
		f.await(in, "a", inbox.Done)
		r := f.get(in, "bad")
		require.Equal(f, inbox.Dead, r.State)
		require.Equal(f, 1, r.Attempts)
		require.Equal(f, "user.updated: malformed", r.LastError)
	})
}

func TestPanicIsAFailedAttempt(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{MaxAttempts: 1, Handle: func(ctx context.Context, j *inbox.Job) error {
			switch j.ID {
			case "outside":
				panic("boom")
			case "inside":
				return j.Complete(ctx, func(ctx context.Context, tx database.Tx) error {
					if err := effect(j)(ctx, tx); err != nil {
						return err
					}
					panic("bang")
				})
			}
			return apply(ctx, j)
		}})
		f.put(in, event("outside", "x"), event("inside", "x"), event("a", "x"))
		f.await(in, "a", inbox.Done)
		for _, id := range []string{"outside", "inside"} {
			stored := f.get(in, id).LastError
			require.Contains(f, stored, "panicked: a value of type string")
			require.NotRegexp(f, "boom|bang", stored, "the value of a panic may hold content, and operators read what is stored")
		}
		require.Equal(f, []string{"a"}, f.effects(""))
	})
}

// TestEffectAndMarkAreOne: without the mark there is no effect, and the other way round.
func TestEffectAndMarkAreOne(t *testing.T) {
	refused := errors.New("refused")
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{MaxAttempts: 1, Handle: func(ctx context.Context, j *inbox.Job) error {
			switch j.ID {
			case "refused":
				err := j.Complete(ctx, func(ctx context.Context, tx database.Tx) error {
					return errors.Join(effect(j)(ctx, tx), refused)
				})
				require.ErrorIs(f, err, refused)
				return err
			case "late error":
				require.NoError(f, apply(ctx, j))
				require.ErrorIs(f, apply(ctx, j), inbox.ErrLeaseLost, "twice")
				return errors.New("too late to matter")
			case "second thoughts": // the first Complete fails, the next one counts
				require.Error(f, j.Complete(ctx, func(context.Context, database.Tx) error { return refused }))
				return apply(ctx, j)
			case "nil":
				return nil
			}
			return j.Complete(ctx, nil)
		}})
		f.put(in, event("refused", "x"), event("late error", "x"), event("second thoughts", "x"), event("nil", "x"), event("none", "x"))
		f.await(in, "none", inbox.Done)
		require.Equal(f, inbox.Dead, f.get(in, "refused").State)
		for _, id := range []string{"late error", "second thoughts", "nil"} {
			r := f.get(in, id)
			require.Equal(f, inbox.Done, r.State, id)
			require.Empty(f, r.LastError)
			require.Equal(f, f.clock.now(), r.EndTime)
		}
		require.Equal(f, []string{"late error", "second thoughts"}, f.effects(""))
	})
}

func TestTimeout(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{MaxAttempts: 1, Timeout: time.Millisecond, Handle: func(ctx context.Context, _ *inbox.Job) error {
			<-ctx.Done()
			return fmt.Errorf("fetch: %w", ctx.Err())
		}})
		f.put(in, event("a", "x"))
		require.Equal(f, "fetch: context canceled (the attempt exceeded its timeout)", f.await(in, "a", inbox.Dead).LastError)
	})
}
