package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// takeHoldInOneStatement is TakeHold in one statement.
func (t tx) takeHoldInOneStatement(ctx context.Context, h ledger.Hold) (string, ledger.Taken, error) {
	row, err := t.q.TakeHoldInOneStatement(ctx, db.TakeHoldInOneStatementParams{
		ID: h.ID, AccountID: h.AccountID, RequestID: h.RequestID, Fingerprint: h.Fingerprint, UserID: h.UserID, UserHash: hash(h.UserID), APIKeyID: h.APIKeyID,
		Model: h.Model, InputPrice: h.InputPrice, CachedInputPrice: h.CachedInputPrice, OutputPrice: h.OutputPrice,
		Amount: h.Amount, OutputTokens: h.OutputTokens, CreateTime: h.CreateTime.UnixMicro(), LeaseTime: h.LeaseTime.UnixMicro(),
		UsedInputTokens: h.Used.Input, UsedCachedInputTokens: h.Used.CachedInput, UsedOutputTokens: h.Used.Output,
		UsedReasoningTokens: h.Used.Reasoning,
	})
	switch found, err := one(err); {
	case err != nil || !found:
		return "", ledger.TakenNot, err
	case row.Inserted:
		return row.Plan, ledger.TakenNow, t.countForKey(ctx, row.KeyLimited, h, ledger.KeySpend{Held: h.Amount})
	default:
		return "", ledger.TakenBefore, t.release(ctx, h)
	}
}

// chargeHoldInOneStatement is ChargeHold in one statement, for a charge above 0 that is not the sweeper's.
func (t tx) chargeHoldInOneStatement(ctx context.Context, c ledger.Charge) (int64, bool, error) {
	r, entry := c.Record, c.Entry()
	row, err := t.q.ChargeHoldInOneStatement(ctx, db.ChargeHoldInOneStatementParams{
		AccountID: c.Hold.AccountID, HoldID: c.Hold.ID, GoodAt: c.Hold.CreateTime.UnixMicro(), Amount: c.Hold.Amount,
		Cost: r.Cost, InputTokens: r.Usage.Input, CachedInputTokens: r.Usage.CachedInput, OutputTokens: r.Usage.Output,
		ReasoningTokens: r.Usage.Reasoning, SettleTime: r.SettleTime.UnixMicro(), Day: r.SettleTime.Format(time.DateOnly),
		UsageID: r.ID, EntryID: entry.ID, Debit: entry.Debit, Credit: entry.Credit,
		Outcome: string(r.Outcome), Estimated: r.Estimated, ProviderRequestID: r.ProviderRequestID,
	})
	switch found, err := one(err); {
	case err != nil || !found:
		return 0, false, err
	case !row.Closed:
		// The hold is closed, or another replica spent from the grant between this statement's view and its turn.
		return 0, false, ledger.ErrLost
	default:
		return row.Balance, true, t.countForKey(ctx, row.KeyLimited, c.Hold, c.KeySpend())
	}
}
