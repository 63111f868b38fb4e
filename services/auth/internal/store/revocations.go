package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// revocationLane is the key of writes that only revoke.
const revocationLane = "revocations"

// Revision returns the number of the latest revocation.
func (s *Store) Revision(ctx context.Context) (int64, error) { return s.read.GetRevision(ctx) }

// Since returns revocations after a revision.
func (s *Store) Since(ctx context.Context, revision int64, limit int) ([]revocation.Revocation, error) {
	rows, err := s.read.ListRevocations(ctx, db.ListRevocationsParams{After: revision, PageSize: int64(limit)})
	if err != nil {
		return nil, err
	}
	return each(rows, func(row db.Revocation) (revocation.Revocation, error) {
		return revocation.Revocation{
			Revision: row.Revision, UserID: row.UserID, SessionID: row.SessionID, APIKeyID: row.APIKeyID,
		}, nil
	})
}

// Revoke adds a revocation.
func (s *Store) Revoke(ctx context.Context, r revocation.Revocation, at time.Time) error {
	err := s.write(ctx, revocationLane, func(ctx context.Context, q *db.Queries) error {
		return s.addRevocation(ctx, q, r, at)
	})
	if err == nil {
		s.revoked()
	}
	return err
}

// addRevocation stores a revocation under the next number. Call it last in a transaction: the row of the number is locked until
// the commit, and every other revocation waits for it.
func (s *Store) addRevocation(ctx context.Context, q *db.Queries, r revocation.Revocation, at time.Time) error {
	revision, err := q.NextRevision(ctx)
	if err != nil {
		return err
	}
	return q.AddRevocation(ctx, db.AddRevocationParams{
		Revision: revision, UserID: r.UserID, SessionID: r.SessionID, APIKeyID: r.APIKeyID, CreateTime: micros(at),
	})
}

// Prune deletes revocations from before a time, and the ids of memberships that ended so long ago that no event about them can
// come.
func (s *Store) Prune(ctx context.Context, before time.Time) error {
	return s.write(ctx, revocationLane, func(ctx context.Context, q *db.Queries) error {
		if err := q.PruneRevocations(ctx, micros(before)); err != nil {
			return err
		}
		return q.PruneEndedMemberships(ctx, micros(s.now().Add(-endedFor)))
	})
}
