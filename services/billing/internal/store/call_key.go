package store

import (
	"context"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

func (u *unit) CallKey(ctx context.Context, id string) (ledger.CallKey, error) {
	row, err := u.q.GetCallKey(ctx, id)
	if err != nil {
		return ledger.CallKey{}, translate(err)
	}
	return ledger.CallKey{ID: row.ID, RequestDigest: row.RequestDigest, RequestID: row.RequestID, CreateTime: toTime(row.CreateTime)}, nil
}

func (u *unit) SaveCallKey(ctx context.Context, k ledger.CallKey, seen string) error {
	n, err := u.q.PutCallKey(ctx, db.PutCallKeyParams{
		ID: k.ID, RequestDigest: k.RequestDigest, RequestID: k.RequestID, CreateTime: k.CreateTime.UnixMicro(), SeenRequestID: seen,
	})
	if err == nil && n != 1 {
		return fmt.Errorf("%w: another call took the idempotency key", errAssumed)
	}
	return err
}

// PruneCallKeys deletes at most limit keys of calls that began at or before a time.
func (s *Store) PruneCallKeys(ctx context.Context, began time.Time, limit int) (deleted int, err error) {
	err = s.write(ctx, "call keys", func(ctx context.Context, q *db.Queries) error {
		n, err := q.DeleteCallKeys(ctx, db.DeleteCallKeysParams{Before: began.UnixMicro(), Most: int64(limit)})
		deleted = int(n)
		return err
	})
	return deleted, err
}
