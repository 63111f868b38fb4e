package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

var _ reconcile.Store = (*Store)(nil)

// reconcileJob names the one job that there is.
const reconcileJob = "reconcile"

// AcquireReconcile takes the job for one holder; a zero doneBefore means whenever it was last done.
func (s *Store) AcquireReconcile(ctx context.Context, holder string, lease time.Duration, doneBefore time.Time) (progress []byte, ok bool, err error) {
	now := s.now()
	if doneBefore.IsZero() {
		doneBefore, _ = newest(paging.Cursor{})
	}
	err = s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		progress, ok = nil, false
		rows, err := q.AcquireJob(ctx, db.AcquireJobParams{
			Name: reconcileJob, Holder: holder, Now: now, ExpireTime: now.Add(lease), DoneBefore: nullTime(doneBefore),
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

// OrphanReconcile takes the job away from whoever has it.
func (s *Store) OrphanReconcile(ctx context.Context) error {
	return s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		return q.OrphanJob(ctx, db.OrphanJobParams{Name: reconcileJob, Now: s.now()})
	})
}

// RenewReconcile renews the lease and leaves the progress alone.
func (s *Store) RenewReconcile(ctx context.Context, holder string, lease time.Duration) (held bool, err error) {
	err = s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		rows, err := q.RenewJob(ctx, db.RenewJobParams{Name: reconcileJob, Holder: holder, ExpireTime: s.now().Add(lease)})
		held = rows > 0
		return err
	})
	return held, err
}

// SaveReconcile keeps how far the holder is and renews the lease.
func (s *Store) SaveReconcile(ctx context.Context, holder string, lease time.Duration, progress []byte) (held bool, err error) {
	err = s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		rows, err := q.SaveJob(ctx, db.SaveJobParams{
			Name: reconcileJob, Holder: holder, Progress: progress, ExpireTime: s.now().Add(lease),
		})
		held = rows > 0
		return err
	})
	return held, err
}

// EndReconcile gives the job back; a finished one is done for now and begins anew the next time.
func (s *Store) EndReconcile(ctx context.Context, holder string, finished bool) error {
	return s.write(ctx, reconcileJob, func(ctx context.Context, q *db.Queries) error {
		if !finished {
			return q.ReleaseJob(ctx, db.ReleaseJobParams{Name: reconcileJob, Holder: holder, Now: s.now()})
		}
		return q.FinishJob(ctx, db.FinishJobParams{Name: reconcileJob, Holder: holder, Now: s.now(), EmptyObject: emptyObject})
	})
}

// UserIDs are those of living users, in their order.
func (s *Store) UserIDs(ctx context.Context, after string, limit int) ([]string, error) {
	return s.read.ListUserIDs(ctx, db.ListUserIDsParams{After: after, PageSize: int64(limit)})
}

// OrganizationIDs are those of living organizations, in their order.
func (s *Store) OrganizationIDs(ctx context.Context, after string, limit int) ([]string, error) {
	return s.read.ListOrganizationIDs(ctx, db.ListOrganizationIDsParams{After: after, PageSize: int64(limit)})
}
