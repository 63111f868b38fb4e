package job_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
)

// renewing are options whose lease of 30 ms is renewed every 10 ms, by a clock that only the test moves.
func renewing(ahead *atomic.Int64) job.Options {
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	return job.Options{Renew: true, Lease: 30 * time.Millisecond, Now: func() time.Time { return begin.Add(time.Duration(ahead.Load())) }}
}

// TestALongRunKeepsAShortLease: a run may last far longer than a lease, as long as its process lives, and nobody else does its work.
func TestALongRunKeepsAShortLease(t *testing.T) {
	each(t, func(e *env) {
		var ahead atomic.Int64
		o := renewing(&ahead)
		require.NoError(e, job.Run(e.Context(), e.db, "compare", o, func(ctx context.Context, _ *job.Holder) error {
			for range 5 {
				ahead.Add(int64(o.Lease - time.Microsecond))
				want := o.Now().Add(o.Lease).UnixMicro()
				require.Eventually(e, func() bool {
					var end int64
					err := e.db.Read().QueryRowContext(ctx, "SELECT lease_time FROM job_lease WHERE name = 'compare'").Scan(&end)
					return err == nil && end == want
				}, time.Minute, time.Millisecond)
				require.ErrorIs(e, job.Run(ctx, e.db, "compare", o, nothing), job.ErrBusy)
			}
			return nil
		}))
		require.NoError(e, job.Run(e.Context(), e.db, "compare", o, nothing), "it was given back")
	})
}

// TestALostJobEndsItsRun: who continues after its lease has ended and another run has the job must stop.
func TestALostJobEndsItsRun(t *testing.T) {
	each(t, func(e *env) {
		var ahead atomic.Int64
		stopped := errors.New("stopped")
		err := job.Run(e.Context(), e.db, "compare", renewing(&ahead), func(ctx context.Context, h *job.Holder) error {
			require.NoError(e, e.db.Write(ctx, "test", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, "UPDATE job_lease SET holder = 'another' WHERE name = 'compare'")
				return err
			}))
			<-ctx.Done()
			require.ErrorIs(e, context.Cause(ctx), job.ErrLost)
			return stopped
		})
		require.ErrorIs(e, err, job.ErrLost)
		require.ErrorIs(e, err, stopped)
	})
}

// TestTheDefaultLeases: a lease that is renewed is as short as the lock of a frozen process.
func TestTheDefaultLeases(t *testing.T) {
	each(t, func(e *env) {
		for renew, want := range map[bool]time.Duration{true: 3 * time.Second, false: 2 * time.Minute} {
			o := job.Options{Renew: renew, Now: func() time.Time { return e.now }}
			require.NoError(e, job.Run(e.Context(), e.db, "compare", o, func(ctx context.Context, _ *job.Holder) error {
				var end int64
				require.NoError(e, e.db.Read().QueryRowContext(ctx, "SELECT lease_time FROM job_lease WHERE name = 'compare'").Scan(&end))
				require.Equal(e, e.now.Add(want).UnixMicro(), end)
				return nil
			}))
		}
	})
}

// TestClocksOfProcessesMayDiffer: a run whose machine's clock is wrong by more than a lease takes no job of another that works, and nobody takes its job.
// All processes of a SQLite file are on one machine, which has one clock.
func TestClocksOfProcessesMayDiffer(t *testing.T) {
	for _, wrong := range []time.Duration{time.Minute, -time.Minute} {
		t.Run(wrong.String(), func(t *testing.T) {
			each(t, func(e *env) {
				if e.db.Dialect() != database.Postgres {
					return
				}
				right := job.Options{Renew: true, Lease: 30 * time.Second}
				other := right.WithMachineClock(func() time.Time { return time.Now().Add(wrong) })
				for _, pair := range [][2]job.Options{{right, other}, {other, right}} {
					require.NoError(e, job.Run(e.Context(), e.db, "compare", pair[0], func(ctx context.Context, h *job.Holder) error {
						require.ErrorIs(e, job.Run(ctx, e.db, "compare", pair[1], nothing), job.ErrBusy)
						require.NoError(e, h.Save(ctx, "saved"))
						require.ErrorIs(e, job.Run(ctx, e.db, "compare", pair[1], nothing), job.ErrBusy)
						require.Less(e, time.Until(e.leaseEnd()).Abs(), 45*time.Second, "the lease is by the server's clock")
						return nil
					}))
				}
			})
		})
	}
}

// TestAClockIsSetDuringARun: a long run notices that the machine's clock was set.
func TestAClockIsSetDuringARun(t *testing.T) {
	each(t, func(e *env) {
		if e.db.Dialect() != database.Postgres {
			return
		}
		var wrong atomic.Int64
		o := job.Options{Renew: true, Lease: 3 * time.Second}.WithMachineClock(func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) })
		require.NoError(e, job.Run(e.Context(), e.db, "compare", o, func(ctx context.Context, h *job.Holder) error {
			wrong.Store(int64(time.Hour))
			for begun := time.Now(); ; {
				require.NoError(e, h.Save(ctx, "saved"))
				if time.Until(e.leaseEnd()) < 30*time.Minute {
					return nil
				}
				require.Less(e, time.Since(begun), time.Minute, "the leases end in an hour")
			}
		}))
	})
}

func (e *env) leaseEnd() time.Time {
	e.Helper()
	var end int64
	require.NoError(e, e.db.Read().QueryRowContext(e.Context(), "SELECT lease_time FROM job_lease WHERE name = 'compare'").Scan(&end))
	return time.UnixMicro(end)
}
