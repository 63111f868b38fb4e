package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// SaveReplacement replaces the account's replacement; see checkout.Store.
func (s *Store) SaveReplacement(ctx context.Context, accountID string, r checkout.Replacement, check time.Time) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		return q.PutReplacement(ctx, db.PutReplacementParams{
			AccountID: accountID, Subscription: r.Subscription, Schedule: r.Schedule, Price: r.Price, Quantity: r.Quantity, CheckTime: check.UnixMicro(),
		})
	})
}

// Replacement reads the account's replacement; ledger.ErrNotFound for none.
func (s *Store) Replacement(ctx context.Context, accountID string) (checkout.Replacement, error) {
	row, err := s.read.GetReplacement(ctx, accountID)
	return checkout.Replacement{Subscription: row.Subscription, Schedule: row.Schedule, Price: row.Price, Quantity: row.Quantity}, translate(err)
}

// DropReplacement deletes the account's replacement.
func (s *Store) DropReplacement(ctx context.Context, accountID string) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error { return q.DropReplacement(ctx, accountID) })
}

// DueReplacements lists accounts whose replacement is to be checked; see checkout.Store.
func (s *Store) DueReplacements(ctx context.Context, at time.Time, limit int) ([]string, error) {
	ids, err := s.read.ListDueReplacements(ctx, db.ListDueReplacementsParams{AtTime: at.UnixMicro(), Most: int64(limit)})
	return ids, translate(err)
}
