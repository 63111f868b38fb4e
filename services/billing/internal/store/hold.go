package store

import (
	"context"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

func (t tx) TakeHold(ctx context.Context, h ledger.Hold) (string, ledger.Taken, error) {
	if t.oneStatement {
		return t.takeHoldInOneStatement(ctx, h)
	}
	row, err := t.q.HoldCredit(ctx, db.HoldCreditParams{ID: h.AccountID, Amount: h.Amount, AtTime: h.CreateTime.UnixMicro()})
	if ok, err := one(err); err != nil || !ok {
		return "", ledger.TakenNot, err
	}
	switch inserted, err := t.InsertHold(ctx, h); {
	case err != nil:
		return "", ledger.TakenNot, err
	case inserted:
		return row.Plan, ledger.TakenNow, t.countForKey(ctx, row.KeyLimited, h, ledger.KeySpend{Held: h.Amount})
	default:
		return "", ledger.TakenBefore, t.release(ctx, h)
	}
}

// countForKey is AddKeySpend where it may find anything. It is a statement of its own also on PostgreSQL: after the account's row is
// locked it sees every window, even one that another replica made while this transaction waited for the row.
func (t tx) countForKey(ctx context.Context, limited bool, h ledger.Hold, more ledger.KeySpend) error {
	if !limited {
		return nil
	}
	return t.AddKeySpend(ctx, h, more)
}

func (t tx) release(ctx context.Context, h ledger.Hold) error {
	return t.q.ReleaseCredit(ctx, db.ReleaseCreditParams{ID: h.AccountID, Amount: h.Amount})
}

func (t tx) DropHold(ctx context.Context, h ledger.Hold) error {
	if err := t.q.DeleteHold(ctx, h.ID); err != nil {
		return err
	}
	if err := t.AddKeySpend(ctx, h, ledger.KeySpend{Held: -h.Amount}); err != nil {
		return err
	}
	return t.release(ctx, h)
}

func (t tx) InsertHold(ctx context.Context, h ledger.Hold) (bool, error) {
	n, err := t.q.InsertHold(ctx, db.InsertHoldParams{
		ID: h.ID, AccountID: h.AccountID, RequestID: h.RequestID, Fingerprint: h.Fingerprint, UserID: h.UserID, UserHash: hash(h.UserID),
		APIKeyID: h.APIKeyID, Model: h.Model, InputPrice: h.InputPrice, CachedInputPrice: h.CachedInputPrice, OutputPrice: h.OutputPrice,
		Amount: h.Amount, OutputTokens: h.OutputTokens, CreateTime: h.CreateTime.UnixMicro(), LeaseTime: h.LeaseTime.UnixMicro(),
		UsedInputTokens: h.Used.Input, UsedCachedInputTokens: h.Used.CachedInput, UsedOutputTokens: h.Used.Output,
		UsedReasoningTokens: h.Used.Reasoning,
	})
	return n > 0, err
}

// ChargeHold asks what may say no first, so that a no leaves nothing to undo.
func (t tx) ChargeHold(ctx context.Context, c ledger.Charge) (int64, bool, error) {
	if t.oneStatement && !c.Sweep && c.Record.Cost > 0 {
		return t.chargeHoldInOneStatement(ctx, c)
	}
	closing, total := ledger.Closing{Cost: c.Record.Cost, UsageID: c.Record.ID, SettleTime: c.Record.SettleTime}, c.Record.Total()
	if closing.Cost > 0 {
		id, err := t.q.BurnFirstGrant(ctx, db.BurnFirstGrantParams{
			AccountID: c.Hold.AccountID, Cost: closing.Cost, GoodAt: c.Hold.CreateTime.UnixMicro(), AtTime: closing.SettleTime.UnixMicro(),
			Requests: total.Requests, InputTokens: total.Usage.Input, CachedInputTokens: total.Usage.CachedInput,
			OutputTokens: total.Usage.Output, ReasoningTokens: total.Usage.Reasoning,
		})
		if ok, err := one(err); err != nil || !ok {
			return 0, false, err
		}
		closing.PaidBy = []ledger.Burn{{GrantID: id, Amount: closing.Cost}}
	}
	row, err := t.chargeAccount(ctx, c)
	switch ok, err := one(err); {
	case err != nil:
		return 0, false, err
	case !ok && closing.Cost > 0:
		return 0, false, ledger.ErrLost // nothing is due, or nothing would have burned: another call closed the hold
	case !ok:
		return 0, false, nil
	}
	closing.BalanceAfter = row.Balance
	if err := t.CloseHold(ctx, c.Hold, closing, c.Sweep); err != nil {
		return 0, false, err
	}
	if err := t.countForKey(ctx, row.KeyLimited, c.Hold, c.KeySpend()); err != nil {
		return 0, false, err
	}
	return row.Balance, true, t.writeUsage(ctx, c)
}

func (t tx) chargeAccount(ctx context.Context, c ledger.Charge) (db.ChargeAccountRow, error) {
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
			ID: h.ID, LeaseTime: h.LeaseTime.UnixMicro(), Cost: c.Cost, BalanceAfter: c.BalanceAfter, PaidBy: paid, Owed: c.Owed,
			UsageID: c.UsageID, SettleTime: c.SettleTime.UnixMicro(), InputTokens: h.Used.Input,
			CachedInputTokens: h.Used.CachedInput, OutputTokens: h.Used.Output, ReasoningTokens: h.Used.Reasoning,
		})
	} else {
		n, err = t.q.CloseHold(ctx, db.CloseHoldParams{
			ID: h.ID, Was: string(h.State), State: string(ledger.StateSettled), Cost: c.Cost, BalanceAfter: c.BalanceAfter,
			PaidBy: paid, Owed: c.Owed, UsageID: c.UsageID, SettleTime: c.SettleTime.UnixMicro(),
			WasOwed: h.Owed, WasPaidBy: writeBurns(h.PaidBy),
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

func (t tx) HoldsInDebt(ctx context.Context, accountID string) ([]ledger.HoldDebt, error) {
	rows, err := t.q.ListHoldsInDebt(ctx, accountID)
	if err != nil {
		return nil, err
	}
	debts := make([]ledger.HoldDebt, 0, len(rows))
	for _, r := range rows {
		paid, err := readBurns(r.PaidBy)
		if err != nil {
			return nil, fmt.Errorf("hold %s: %w", r.ID, err)
		}
		debts = append(debts, ledger.HoldDebt{HoldID: r.ID, Owed: r.Owed, PaidBy: paid})
	}
	return debts, nil
}

func (t tx) PayHold(ctx context.Context, d ledger.HoldDebt) error {
	return t.q.PayHold(ctx, db.PayHoldParams{ID: d.HoldID, Owed: d.Owed, PaidBy: writeBurns(d.PaidBy)})
}
