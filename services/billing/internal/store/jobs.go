package store

import (
	"context"
	"math"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

var _ reconcile.Store = (*Store)(nil)

// reconcileJob names the one job that there is.
const reconcileJob = "reconcile"

// AcquireReconcile takes the job for one holder; a zero doneBefore means whenever it was last done.
func (s *Store) AcquireReconcile(ctx context.Context, holder string, now time.Time, lease time.Duration, doneBefore time.Time) (progress []byte, ok bool, err error) {
	before := int64(math.MaxInt64)
	if !doneBefore.IsZero() {
		before = doneBefore.UnixMicro()
	}
	err = s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		progress, ok = nil, false
		rows, err := q.AcquireJob(ctx, db.AcquireJobParams{
			Name: reconcileJob, Holder: holder, Now: now.UnixMicro(), LeaseTime: now.Add(lease).UnixMicro(), DoneBefore: before,
		})
		if err != nil || rows == 0 {
			return err
		}
		job, err := q.GetJob(ctx, reconcileJob)
		progress, ok = job.Progress, err == nil
		return err
	})
	return progress, ok, err
}

// SaveReconcile keeps how far the holder is and renews the lease.
func (s *Store) SaveReconcile(ctx context.Context, holder string, now time.Time, lease time.Duration, progress []byte) (held bool, err error) {
	err = s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		rows, err := q.SaveJob(ctx, db.SaveJobParams{
			Name: reconcileJob, Holder: holder, Progress: progress, LeaseTime: now.Add(lease).UnixMicro(),
		})
		held = rows > 0
		return err
	})
	return held, err
}

// OrphanReconcile takes the job away from whoever has it.
func (s *Store) OrphanReconcile(ctx context.Context, now time.Time) error {
	return s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		return q.OrphanJob(ctx, db.OrphanJobParams{Name: reconcileJob, Now: now.UnixMicro()})
	})
}

// EndReconcile gives the job back; a finished one begins anew the next time.
func (s *Store) EndReconcile(ctx context.Context, holder string, now time.Time, finished bool) error {
	return s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		if !finished {
			return q.ReleaseJob(ctx, db.ReleaseJobParams{Name: reconcileJob, Holder: holder, Now: now.UnixMicro()})
		}
		return q.FinishJob(ctx, db.FinishJobParams{Name: reconcileJob, Holder: holder, Now: now.UnixMicro(), EmptyObject: emptyObject()})
	})
}
