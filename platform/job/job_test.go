package job_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// env is a database with a clock that only the test moves.
type env struct {
	*testing.T
	db  *database.DB
	now time.Time
}

func (e *env) options(change ...func(*job.Options)) job.Options {
	o := job.Options{Lease: time.Minute, Now: func() time.Time { return e.now }, Process: "first"}
	for _, c := range change {
		c(&o)
	}
	return o
}

func second(o *job.Options) { o.Process = "second" }
func alone(o *job.Options)  { o.Alone = true }
func aside(o *job.Options)  { o.Aside = true }
func hourly(o *job.Options) { o.Interval = time.Hour }

func nothing(context.Context, *job.Holder) error { return nil }

func (e *env) run(fn func(context.Context, *job.Holder) error, change ...func(*job.Options)) error {
	return job.Run(e.Context(), e.db, "compare", e.options(change...), fn)
}

// abandon takes the job as a process does that dies at it, and leaves behind what it saved.
func (e *env) abandon(saved string, change ...func(*job.Options)) {
	e.Helper()
	o := e.options(change...)
	require.ErrorIs(e, e.run(func(ctx context.Context, h *job.Holder) error {
		require.NoError(e, h.Save(ctx, saved))
		return errDied
	}, change...), errDied)
	require.NoError(e, e.db.Write(e.Context(), "test", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE job_lease SET holder = 'dead', process = $1, lease_time = $2 WHERE name = 'compare'",
			o.Process, e.now.Add(o.Lease).UnixMicro())
		return err
	}))
}

var errDied = errors.New("died")

func each(t *testing.T, test func(e *env)) {
	t.Helper()
	databasetest.Each(t, job.Migrations(), func(t *testing.T, db *database.DB) {
		test(&env{T: t, db: db, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)})
	})
}

func TestOneRunAtATime(t *testing.T) {
	each(t, func(e *env) {
		require.NoError(e, e.run(func(context.Context, *job.Holder) error {
			require.ErrorIs(e, e.run(nothing), job.ErrBusy)
			require.ErrorIs(e, e.run(nothing, second), job.ErrBusy)
			require.NoError(e, job.Run(e.Context(), e.db, "other", e.options(), nothing), "another job is independent")
			return nil
		}))
		require.NoError(e, e.run(nothing, second))
	})
}

func TestOfManyRunsAtOnceOneHoldsTheJob(t *testing.T) {
	each(t, func(e *env) {
		var inside, most, runs atomic.Int32
		release := make(chan struct{})
		var all sync.WaitGroup
		var busy atomic.Int32
		for range 16 {
			all.Go(func() {
				err := e.run(func(context.Context, *job.Holder) error {
					most.Store(max(most.Load(), inside.Add(1)))
					runs.Add(1)
					<-release
					inside.Add(-1)
					return nil
				})
				if errors.Is(err, job.ErrBusy) {
					if busy.Add(1) == 15 {
						close(release)
					}
					return
				}
				if err != nil {
					e.Error(err)
				}
			})
		}
		all.Wait()
		require.EqualValues(e, 1, most.Load())
		require.EqualValues(e, 1, runs.Load())
		require.EqualValues(e, 15, busy.Load())
	})
}

func TestARunThatFailedIsResumed(t *testing.T) {
	each(t, func(e *env) {
		failure := errors.New("provider is down")
		require.ErrorIs(e, e.run(func(ctx context.Context, h *job.Holder) error {
			var state map[string]int
			require.False(e, h.Load(&state), "nothing was saved before the first run")
			require.NoError(e, h.Save(ctx, map[string]int{"page": 6}))
			require.NoError(e, h.Save(ctx, map[string]int{"page": 7}))
			return failure
		}), failure)
		require.NoError(e, e.run(func(_ context.Context, h *job.Holder) error {
			var state map[string]int
			require.True(e, h.Load(&state))
			require.Equal(e, map[string]int{"page": 7}, state)
			var other []string
			require.False(e, h.Load(&other), "progress of another form is ignored")
			return nil
		}, second))
		require.NoError(e, e.run(func(_ context.Context, h *job.Holder) error {
			var state map[string]int
			require.False(e, h.Load(&state), "a finished run leaves no progress")
			return nil
		}))
	})
}

func TestACancelledRunReleasesTheJobAtOnce(t *testing.T) {
	each(t, func(e *env) {
		ctx, cancel := context.WithCancel(e.Context())
		err := job.Run(ctx, e.db, "compare", e.options(), func(ctx context.Context, h *job.Holder) error {
			require.NoError(e, h.Save(ctx, "halfway"))
			cancel()
			return ctx.Err()
		})
		require.ErrorIs(e, err, context.Canceled)
		require.NoError(e, e.run(func(_ context.Context, h *job.Holder) error {
			var state string
			require.True(e, h.Load(&state))
			require.Equal(e, "halfway", state)
			return nil
		}, second), "another process need not wait for the lease")
	})
}

func TestAPanicReleasesTheJobAndDoesNotFinishIt(t *testing.T) {
	each(t, func(e *env) {
		require.PanicsWithValue(e, "boom", func() {
			_ = e.run(func(ctx context.Context, h *job.Holder) error {
				require.NoError(e, h.Save(ctx, 1))
				panic("boom")
			})
		})
		require.NoError(e, e.run(func(_ context.Context, h *job.Holder) error {
			var state int
			require.True(e, h.Load(&state))
			return nil
		}, second, hourly))
	})
}

func TestALeaseThatEndedIsTakenOver(t *testing.T) {
	each(t, func(e *env) {
		e.abandon("page 7")
		e.now = e.now.Add(time.Minute - time.Microsecond)
		require.ErrorIs(e, e.run(nothing, second), job.ErrBusy)
		e.now = e.now.Add(time.Microsecond)
		require.NoError(e, e.run(func(_ context.Context, h *job.Holder) error {
			var state string
			require.True(e, h.Load(&state))
			require.Equal(e, "page 7", state)
			return nil
		}, second))
	})
}

func TestTheOldHolderLosesTheJob(t *testing.T) {
	each(t, func(e *env) {
		wrote := false
		err := e.run(func(ctx context.Context, h *job.Holder) error {
			require.NoError(e, h.Save(ctx, "mine"))
			e.now = e.now.Add(time.Minute)
			require.NoError(e, e.run(func(ctx context.Context, other *job.Holder) error {
				require.NoError(e, other.Save(ctx, "theirs"))
				require.ErrorIs(e, h.Save(ctx, "mine again"), job.ErrLost)
				require.ErrorIs(e, h.Keep(ctx), job.ErrLost)
				require.ErrorIs(e, e.db.Write(ctx, "test", func(ctx context.Context, tx database.Tx) error {
					_, err := tx.ExecContext(ctx, "UPDATE job_lease SET begin_time = 1 WHERE name = 'compare'")
					require.NoError(e, err)
					return h.SaveTx(ctx, tx, "mine again")
				}), job.ErrLost, "the writes beside it are undone")
				row := e.db.Read().QueryRowContext(ctx, "SELECT begin_time = 1 FROM job_lease WHERE name = 'compare'")
				require.NoError(e, row.Scan(&wrote))
				require.False(e, wrote)
				return other.Save(ctx, "theirs still")
			}, second))
			return nil // it did not notice
		})
		require.ErrorIs(e, err, job.ErrLost, "a run whose job was taken is not finished by it")
	})
}

func TestALostRunDoesNotReleaseTheNewHolder(t *testing.T) {
	each(t, func(e *env) {
		failure := errors.New("failed")
		err := e.run(func(context.Context, *job.Holder) error {
			e.now = e.now.Add(time.Minute)
			e.abandon("theirs", second)
			return failure
		})
		require.ErrorIs(e, err, failure)
		require.NotErrorIs(e, err, job.ErrLost, "its own failure says it all")
		require.ErrorIs(e, e.run(nothing), job.ErrBusy, "the new holder still holds it")
	})
}

func TestKeepRenewsALeaseThatIsNotFresh(t *testing.T) {
	each(t, func(e *env) {
		leaseEnd := func() (end int64) {
			require.NoError(e, e.db.Read().QueryRowContext(e.Context(), "SELECT lease_time FROM job_lease WHERE name = 'compare'").Scan(&end))
			return end
		}
		require.NoError(e, e.run(func(ctx context.Context, h *job.Holder) error {
			begin := leaseEnd()
			e.now = e.now.Add(time.Minute/8 - time.Microsecond)
			require.NoError(e, h.Keep(ctx))
			require.Equal(e, begin, leaseEnd(), "a fresh lease costs no write")
			e.now = e.now.Add(time.Microsecond)
			require.NoError(e, h.Keep(ctx))
			require.Equal(e, e.now.Add(time.Minute).UnixMicro(), leaseEnd())
			e.now = e.now.Add(time.Second)
			require.NoError(e, h.Save(ctx, 1))
			require.Equal(e, e.now.Add(time.Minute).UnixMicro(), leaseEnd(), "saving renews too")
			e.now = e.now.Add(-time.Hour)
			require.NoError(e, h.Keep(ctx))
			require.Equal(e, e.now.Add(time.Minute).UnixMicro(), leaseEnd(), "a clock that was set back does not stop renewals")
			return nil
		}))
	})
}

func TestAnAbandonedLeaseIsTakenAtOnceWhenAlone(t *testing.T) {
	each(t, func(e *env) {
		e.abandon("page 7")
		require.ErrorIs(e, e.run(nothing, second), job.ErrBusy)
		require.ErrorIs(e, e.run(nothing, alone), job.ErrBusy, "another run of this process is alive")
		require.NoError(e, e.run(func(_ context.Context, h *job.Holder) error {
			var state string
			require.True(e, h.Load(&state))
			require.ErrorIs(e, e.run(nothing, second, alone), job.ErrBusy)
			return nil
		}, second, alone))
	})
}

func TestAJobThatIsNotDueDoesNotRun(t *testing.T) {
	each(t, func(e *env) {
		require.NoError(e, e.run(nothing, hourly), "it never ran")
		e.now = e.now.Add(time.Hour - time.Microsecond)
		require.ErrorIs(e, e.run(nothing, hourly), job.ErrNotDue)
		require.ErrorIs(e, e.run(nothing, hourly, alone, second), job.ErrNotDue)
		require.NoError(e, e.run(nothing, aside), "without an interval it always runs")
		e.now = e.now.Add(time.Microsecond)
		failure := errors.New("failed")
		require.ErrorIs(e, e.run(func(context.Context, *job.Holder) error { return failure }, hourly), failure)
		require.NoError(e, e.run(nothing, hourly), "a failed run stays due")
		require.ErrorIs(e, e.run(nothing, hourly), job.ErrNotDue)
	})
}

func TestARunAsideLeavesTheProgressAndTheScheduleAlone(t *testing.T) {
	each(t, func(e *env) {
		failure := errors.New("failed")
		require.ErrorIs(e, e.run(func(ctx context.Context, h *job.Holder) error {
			require.NoError(e, h.Save(ctx, "page 7"))
			return failure
		}), failure)
		require.NoError(e, e.run(nothing, aside))
		require.NoError(e, e.run(func(_ context.Context, h *job.Holder) error {
			var state string
			require.True(e, h.Load(&state))
			require.Equal(e, "page 7", state)
			return nil
		}, hourly), "the run aside did not count as finished")
	})
}

func TestRunNeedsAName(t *testing.T) {
	require.ErrorContains(t, job.Run(t.Context(), nil, "", job.Options{}, nothing), "name")
}

func TestScheduleLooksSoonAndThenRegularly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		var looks []time.Duration
		job.Schedule(ctx, time.Hour, func(context.Context) { looks = append(looks, time.Since(begin)) })
		require.GreaterOrEqual(t, looks[0], time.Minute)
		require.LessOrEqual(t, looks[0], 2*time.Minute)
		for i := range looks[1:] {
			gap := looks[i+1] - looks[i]
			require.GreaterOrEqual(t, gap, 5*time.Minute)
			require.LessOrEqual(t, gap, 10*time.Minute)
		}
		require.GreaterOrEqual(t, len(looks), 11)
	})
}

func TestScheduleWithAShortIntervalLooksMoreOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		looks := 0
		job.Schedule(ctx, time.Minute, func(context.Context) { looks++ })
		require.Greater(t, looks, 29)
	})
}
