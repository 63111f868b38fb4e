package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// SaveMembers writes a report, unless a later one was written. The seats follow at next, or when an earlier report of a moment ago is due. The automatic
// top-up of a deleted organization is turned off at once: its credit expires, and nobody could turn it off.
func (s *Store) SaveMembers(ctx context.Context, accountID string, m checkout.Members, now, next time.Time) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		err := q.PutMemberCount(ctx, db.PutMemberCountParams{
			AccountID: accountID, Members: m.Count, Sequence: m.Sequence, NextTime: next.UnixMicro(), AtTime: now.UnixMicro(), Deleted: m.Deleted,
		})
		if err != nil || !m.Deleted {
			return err
		}
		return q.EndTopUp(ctx, accountID)
	})
}

// Members reads the newest report; ledger.ErrNotFound for none.
func (s *Store) Members(ctx context.Context, accountID string) (checkout.Members, error) {
	row, err := s.read.GetMemberCount(ctx, accountID)
	return checkout.Members{Count: row.Members, Sequence: row.Sequence, Attempt: row.Attempt, Deleted: row.Deleted}, translate(err)
}

// DueSeats lists accounts whose seats may differ from their members; see checkout.Store.
func (s *Store) DueSeats(ctx context.Context, at time.Time, limit int) ([]string, error) {
	ids, err := s.read.ListDueSeats(ctx, db.ListDueSeatsParams{AtTime: at.UnixMicro(), Most: int64(limit)})
	return ids, translate(err)
}

// PostponeSeats has an account wait, unless a later report has come.
func (s *Store) PostponeSeats(ctx context.Context, accountID string, sequence int64, next time.Time) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		return q.PostponeSeats(ctx, db.PostponeSeatsParams{AccountID: accountID, Sequence: sequence, NextTime: next.UnixMicro()})
	})
}

// SaveSeatAttempt writes a change before Stripe is called; "" for none.
func (s *Store) SaveSeatAttempt(ctx context.Context, accountID, attempt string) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		return q.SaveSeatAttempt(ctx, db.SaveSeatAttemptParams{AccountID: accountID, Attempt: attempt})
	})
}
