package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

func (t tx) TakeHold(ctx context.Context, h ledger.Hold) (string, ledger.Taken, error) {
	if t.atOnce {
		return t.takeHoldAtOnce(ctx, h)
	}
	plan, err := t.q.HoldCredit(ctx, db.HoldCreditParams{ID: h.AccountID, Amount: h.Amount, AtTime: h.CreateTime.UnixMicro()})
	if ok, err := one(err); err != nil || !ok {
		return "", ledger.TakenNot, err
	}
	inserted, err := t.InsertHold(ctx, h)
	if err != nil || inserted {
		return plan, ledger.TakenNow, err
	}
	return "", ledger.TakenBefore, t.release(ctx, h)
}

func (t tx) release(ctx context.Context, h ledger.Hold) error {
	return t.q.ReleaseCredit(ctx, db.ReleaseCreditParams{ID: h.AccountID, Amount: h.Amount})
}

func (t tx) DropHold(ctx context.Context, h ledger.Hold) error {
	if err := t.q.DeleteHold(ctx, h.ID); err != nil {
		return err
	}
	return t.release(ctx, h)
}

func (t tx) InsertHold(ctx context.Context, h ledger.Hold) (bool, error) {
	n, err := t.q.InsertHold(ctx, db.InsertHoldParams{
		ID: h.ID, AccountID: h.AccountID, RequestID: h.RequestID, Fingerprint: h.Fingerprint, UserID: h.UserID, APIKeyID: h.APIKeyID,
		KeyWindow: fromTime(h.KeyWindow),
		Model:     h.Model, InputPrice: h.InputPrice, CachedInputPrice: h.CachedInputPrice, OutputPrice: h.OutputPrice,
		Amount: h.Amount, OutputTokens: h.OutputTokens, CreateTime: h.CreateTime.UnixMicro(), LeaseTime: h.LeaseTime.UnixMicro(),
		UsedInputTokens: h.Used.Input, UsedCachedInputTokens: h.Used.CachedInput, UsedOutputTokens: h.Used.Output,
		UsedReasoningTokens: h.Used.Reasoning,
	})
	return n > 0, err
}

// ChargeHold asks what may say no first, so that a no leaves nothing to undo.
func (t tx) ChargeHold(ctx context.Context, c ledger.Charge) (int64, bool, error) {
	if t.atOnce && !c.Sweep && c.Record.Cost > 0 {
		return t.chargeHoldAtOnce(ctx, c)
	}
	closing := ledger.Closing{Cost: c.Record.Cost, UsageID: c.Record.ID, SettleTime: c.Record.SettleTime}
	if closing.Cost > 0 {
		id, err := t.q.BurnFirstGrant(ctx, db.BurnFirstGrantParams{
			AccountID: c.Hold.AccountID, Cost: closing.Cost, GoodAt: c.Hold.CreateTime.UnixMicro(), AtTime: closing.SettleTime.UnixMicro(),
		})
		if ok, err := one(err); err != nil || !ok {
			return 0, false, err
		}
		closing.PaidBy = []ledger.Burn{{GrantID: id, Amount: closing.Cost}}
	}
	balance, err := t.chargeAccount(ctx, c)
	switch ok, err := one(err); {
	case err != nil:
		return 0, false, err
	case !ok && closing.Cost > 0:
		return 0, false, ledger.ErrLost // nothing is due, or nothing would have burned: another call closed the hold
	case !ok:
		return 0, false, nil
	}
	closing.BalanceAfter = balance
	if err := t.CloseHold(ctx, c.Hold, closing, c.Sweep); err != nil {
		return 0, false, err
	}
	return balance, true, t.writeUsage(ctx, c)
}

func (t tx) chargeAccount(ctx context.Context, c ledger.Charge) (int64, error) {
	total := c.Record.Total()
	return t.q.ChargeAccount(ctx, db.ChargeAccountParams{
		ID: c.Hold.AccountID, Amount: c.Hold.Amount, Cost: total.Cost, AtTime: c.Record.SettleTime.UnixMicro(), Requests: total.Requests,
		InputTokens: total.Usage.Input, CachedInputTokens: total.Usage.CachedInput,
		OutputTokens: total.Usage.Output, ReasoningTokens: total.Usage.Reasoning,
	})
}

func (t tx) writeUsage(ctx context.Context, c ledger.Charge) error {
	if c.Record.Cost > 0 {
		if err := t.InsertEntry(ctx, c.Entry()); err != nil {
			return err
		}
	}
	if c.Record.ID == "" {
		return nil
	}
	return t.InsertUsage(ctx, c.Record)
}

func (t tx) Hold(ctx context.Context, id string) (ledger.Hold, error) {
	row, err := t.q.GetHold(ctx, id)
	if err != nil {
		return ledger.Hold{}, translate(err)
	}
	return toHold(row)
}

func (t tx) CloseHold(ctx context.Context, h ledger.Hold, c ledger.Closing, sweep bool) error {
	paid := writeBurns(c.PaidBy)
	var n int64
	var err error
	if sweep {
		n, err = t.q.SweepHold(ctx, db.SweepHoldParams{
			ID: h.ID, LeaseTime: h.LeaseTime.UnixMicro(), Cost: c.Cost, BalanceAfter: c.BalanceAfter, PaidBy: paid,
			UsageID: c.UsageID, SettleTime: c.SettleTime.UnixMicro(), InputTokens: h.Used.Input,
			CachedInputTokens: h.Used.CachedInput, OutputTokens: h.Used.Output, ReasoningTokens: h.Used.Reasoning,
		})
	} else {
		n, err = t.q.CloseHold(ctx, db.CloseHoldParams{
			ID: h.ID, Was: string(h.State), State: string(ledger.StateSettled), Cost: c.Cost, BalanceAfter: c.BalanceAfter,
			PaidBy: paid, UsageID: c.UsageID, SettleTime: c.SettleTime.UnixMicro(),
		})
	}
	if err == nil && n == 0 {
		return ledger.ErrLost
	}
	return err
}

func (t tx) HeldBefore(ctx context.Context, accountID string, before time.Time) (int64, error) {
	return t.q.SumOpenHoldsBefore(ctx, db.SumOpenHoldsBeforeParams{AccountID: accountID, Before: before.UnixMicro()})
}
