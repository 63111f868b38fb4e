package store

import (
	"context"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// UsageOfUser returns the usage records that name a person, in the order of account and id, after the given one.
func (s *Store) UsageOfUser(ctx context.Context, userID, afterAccountID, afterID string, limit int) ([]ledger.UsageRecord, error) {
	rows, err := s.read.ListUsageOfUser(ctx, db.ListUsageOfUserParams{
		UserID: userID, AfterAccountID: afterAccountID, AfterID: afterID, PageSize: int32(limit),
	})
	if err != nil {
		return nil, translate(err)
	}
	records := make([]ledger.UsageRecord, 0, len(rows))
	for _, row := range rows {
		records = append(records, toUsage(row))
	}
	return records, nil
}
