package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

func (t tx) KeySpend(ctx context.Context, accountID, keyID string, window time.Time) (ledger.KeySpend, error) {
	row, err := t.q.GetKeySpend(ctx, db.GetKeySpendParams{AccountID: accountID, APIKeyID: keyID, WindowStart: window.UnixMicro()})
	if found, err := one(err); err != nil || found {
		return ledger.KeySpend{Held: row.Held, Spent: row.Spent}, err
	}
	if err := t.q.DeleteOldKeySpend(ctx, db.DeleteOldKeySpendParams{
		AccountID: accountID, APIKeyID: keyID, WindowStart: window.UnixMicro(),
	}); err != nil {
		return ledger.KeySpend{}, err
	}
	return ledger.KeySpend{}, t.q.InsertKeySpend(ctx, db.InsertKeySpendParams{
		AccountID: accountID, APIKeyID: keyID, WindowStart: window.UnixMicro(),
	})
}

func (t tx) AddKeySpend(ctx context.Context, accountID, keyID string, window time.Time, more ledger.KeySpend) error {
	return t.q.AddKeySpend(ctx, db.AddKeySpendParams{
		AccountID: accountID, APIKeyID: keyID, WindowStart: window.UnixMicro(), Held: more.Held, Spent: more.Spent,
	})
}
