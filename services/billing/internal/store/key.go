package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

func (t tx) KeyWindow(ctx context.Context, accountID, keyID string, w ledger.Window) (ledger.KeySpend, error) {
	spend, found, err := t.readKeyWindow(ctx, accountID, keyID, w)
	if err != nil || found {
		return spend, err
	}
	if err := t.q.InsertKeyWindow(ctx, db.InsertKeyWindowParams{
		AccountID: accountID, APIKeyID: keyID, Period: w.Period.Microseconds(), StartTime: w.Start.UnixMicro(), EndTime: w.End.UnixMicro(),
	}); err != nil {
		return ledger.KeySpend{}, err
	}
	if err := t.q.LimitKeys(ctx, accountID); err != nil {
		return ledger.KeySpend{}, err
	}
	spend, _, err = t.readKeyWindow(ctx, accountID, keyID, w)
	return spend, err
}

func (t tx) readKeyWindow(ctx context.Context, accountID, keyID string, w ledger.Window) (ledger.KeySpend, bool, error) {
	row, err := t.q.GetKeyWindow(ctx, db.GetKeyWindowParams{
		AccountID: accountID, APIKeyID: keyID, Period: w.Period.Microseconds(), StartTime: w.Start.UnixMicro(),
	})
	found, err := one(err)
	return ledger.KeySpend{Held: row.Held, Spent: row.Spent}, found, err
}

func (t tx) AddKeySpend(ctx context.Context, h ledger.Hold, more ledger.KeySpend) error {
	if h.APIKeyID == "" {
		return nil
	}
	return t.q.AddKeySpend(ctx, db.AddKeySpendParams{
		AccountID: h.AccountID, APIKeyID: h.APIKeyID, CreateTime: h.CreateTime.UnixMicro(), Held: more.Held, Spent: more.Spent,
	})
}

// PruneKeyWindows deletes windows that ended at or before that time.
func (s *Store) PruneKeyWindows(ctx context.Context, ended time.Time, limit int) (deleted int, err error) {
	err = s.write(ctx, "key windows", func(ctx context.Context, q *db.Queries) error {
		n, err := q.DeleteKeyWindows(ctx, db.DeleteKeyWindowsParams{Ended: ended.UnixMicro(), Most: int64(limit)})
		deleted = int(n)
		return err
	})
	return deleted, err
}
