package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/ai/internal/store/db"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

// PutRunning implements stored.Store.
func (s *Store) PutRunning(ctx context.Context, r stored.Response, running stored.Running, deletion time.Time) error {
	return s.write(ctx, r.ID, func(ctx context.Context, q *db.Queries) error {
		if err := s.put(ctx, q, r, nil, running.Created, deletion); err != nil {
			return err
		}
		if running.Starting != "" {
			if err := q.DeleteStarting(ctx, running.Starting); err != nil {
				return err
			}
		}
		return q.PutBackground(ctx, db.PutBackgroundParams{
			ID: running.ID, AccountID: running.Account, UserID: running.User, Model: running.Model, Target: running.Target, HoldID: running.Hold,
			RequestID: running.Request, Terms: string(running.Terms), CreateTime: running.Created.UnixMicro(), PollTime: running.Polled.UnixMicro(),
		})
	})
}

// Running implements stored.Background.
func (s *Store) Running(ctx context.Context, id string) (stored.Running, error) {
	row, err := s.read.GetBackground(ctx, id)
	return running(row), notFound(err)
}

// Start implements stored.Background.
func (s *Store) Start(ctx context.Context, start stored.Starting) (began bool, err error) {
	err = s.write(ctx, start.Account, func(ctx context.Context, q *db.Queries) error {
		began = false
		if s.postgres() {
			if err := q.LockStarting(ctx, start.Account); err != nil {
				return err
			}
		}
		if err := q.DeleteExpiredStarting(ctx, db.DeleteExpiredStartingParams{AccountID: start.Account, Now: start.Now.UnixMicro()}); err != nil {
			return err
		}
		running, err := q.CountBackground(ctx, start.Account)
		if err != nil || running >= start.Most {
			return err
		}
		began = true
		return q.PutStarting(ctx, db.PutStartingParams{ID: start.ID, AccountID: start.Account, ExpireTime: start.Expires.UnixMicro()})
	})
	return began && err == nil, err
}

// Stop implements stored.Background.
func (s *Store) Stop(ctx context.Context, id string) error {
	return s.write(ctx, id, func(ctx context.Context, q *db.Queries) error { return q.DeleteStarting(ctx, id) })
}

// Forget implements stored.Background.
func (s *Store) Forget(ctx context.Context, now time.Time) error {
	return s.write(ctx, "", func(ctx context.Context, q *db.Queries) error { return q.ForgetStarting(ctx, now.UnixMicro()) })
}

// AllRunning implements stored.Background.
func (s *Store) AllRunning(ctx context.Context, after string, limit int) ([]stored.Running, error) {
	rows, err := s.read.ListBackground(ctx, db.ListBackgroundParams{AfterID: after, PageSize: int64(limit)})
	all := make([]stored.Running, 0, len(rows))
	for _, row := range rows {
		all = append(all, running(row))
	}
	return all, err
}

// Backlog implements stored.Background.
func (s *Store) Backlog(ctx context.Context) (stored.Backlog, error) {
	row, err := s.read.BackgroundBacklog(ctx)
	return stored.Backlog{Running: row.Running, Oldest: timeOf(row.Oldest), Due: timeOf(row.Due)}, err
}

// Claim implements stored.Background.
func (s *Store) Claim(ctx context.Context, now, lease time.Time, limit int) (all []stored.Running, err error) {
	err = s.write(ctx, "background", func(ctx context.Context, q *db.Queries) error {
		rows, err := q.ClaimBackground(ctx, db.ClaimBackgroundParams{Now: now.UnixMicro(), LeaseTime: lease.UnixMicro(), PageSize: int64(limit)})
		all = make([]stored.Running, 0, len(rows))
		for _, row := range rows {
			all = append(all, running(row))
		}
		return err
	})
	return all, err
}

// Again implements stored.Background.
func (s *Store) Again(ctx context.Context, id string, at, missing time.Time) error {
	return s.write(ctx, id, func(ctx context.Context, q *db.Queries) error {
		return q.PollBackgroundAgain(ctx, db.PollBackgroundAgainParams{ID: id, PollTime: at.UnixMicro(), MissingTime: microsOf(missing)})
	})
}

// See implements stored.Background.
func (s *Store) See(ctx context.Context, id string, tokens int64) error {
	return s.write(ctx, id, func(ctx context.Context, q *db.Queries) error {
		return q.NoteBackgroundSeen(ctx, db.NoteBackgroundSeenParams{ID: id, Seen: tokens})
	})
}

// Settled implements stored.Background.
func (s *Store) Settled(ctx context.Context, id string) (first bool, err error) {
	err = s.write(ctx, id, func(ctx context.Context, q *db.Queries) error {
		rows, err := q.DeleteBackground(ctx, id)
		first = rows > 0
		return err
	})
	return first, err
}

func running(row db.BackgroundResponse) stored.Running {
	return stored.Running{
		ID: row.ID, Account: row.AccountID, User: row.UserID, Model: row.Model, Target: row.Target, Hold: row.HoldID, Request: row.RequestID,
		Terms: []byte(row.Terms), Seen: row.Seen, Created: timeOf(row.CreateTime), Polled: timeOf(row.PollTime), Polls: row.Polls, Missing: timeOf(row.MissingTime),
	}
}

// timeOf is the time that a column holds; 0 stands for none.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}

func microsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
