package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// tx is a ledger.Tx.
type tx struct{ q *db.Queries }

func (t tx) HoldCredit(ctx context.Context, accountID string, amount int64, at time.Time) (string, bool, error) {
	plan, err := t.q.HoldCredit(ctx, db.HoldCreditParams{ID: accountID, Amount: amount, AtTime: at.UnixMicro()})
	ok, err := one(err)
	return plan, ok, err
}

func (t tx) ReleaseCredit(ctx context.Context, accountID string, amount int64) error {
	return t.q.ReleaseCredit(ctx, db.ReleaseCreditParams{ID: accountID, Amount: amount})
}

func (t tx) Charge(ctx context.Context, accountID string, amount int64, total ledger.UsageTotal, at time.Time) (int64, bool, error) {
	balance, err := t.q.ChargeAccount(ctx, db.ChargeAccountParams{
		ID: accountID, Amount: amount, Cost: total.Cost, AtTime: at.UnixMicro(), Requests: total.Requests,
		InputTokens: total.Usage.Input, CachedInputTokens: total.Usage.CachedInput,
		OutputTokens: total.Usage.Output, ReasoningTokens: total.Usage.Reasoning,
	})
	ok, err := one(err)
	return balance, ok, err
}

func (t tx) LockAccount(ctx context.Context, id string) (ledger.Account, error) {
	row, err := t.q.LockAccount(ctx, id)
	return toAccount(row), translate(err)
}

func (t tx) InsertAccount(ctx context.Context, a ledger.Account) (bool, error) {
	n, err := t.q.InsertAccount(ctx, db.InsertAccountParams{
		ID: a.ID, Plan: a.Plan, CreateTime: a.CreateTime.UnixMicro(), PeriodStartTime: a.PeriodStart.UnixMicro(),
		PeriodEndTime: a.PeriodEnd.UnixMicro(), DueTime: a.Due.UnixMicro(),
	})
	if err != nil || n == 0 {
		return false, err
	}
	return true, t.q.InsertCustomer(ctx, db.InsertCustomerParams{AccountID: a.ID, NextTime: a.CreateTime.UnixMicro()})
}

func (t tx) SaveAccount(ctx context.Context, a ledger.Account) error {
	return t.q.SaveAccount(ctx, db.SaveAccountParams{
		ID: a.ID, Balance: a.Balance, Held: a.Held, Debt: a.Debt, PeriodStartTime: a.PeriodStart.UnixMicro(),
		PeriodEndTime: a.PeriodEnd.UnixMicro(), DueTime: a.Due.UnixMicro(), PeriodRequests: a.Period.Requests,
		PeriodInputTokens: a.Period.Usage.Input, PeriodCachedInputTokens: a.Period.Usage.CachedInput,
		PeriodOutputTokens: a.Period.Usage.Output, PeriodReasoningTokens: a.Period.Usage.Reasoning, PeriodCost: a.Period.Cost,
	})
}

func (t tx) InsertGrant(ctx context.Context, g ledger.Grant) (bool, error) {
	n, err := t.q.InsertGrant(ctx, db.InsertGrantParams{
		ID: g.ID, AccountID: g.AccountID, Source: g.Source, Amount: g.Amount, Remaining: g.Remaining,
		CreateTime: g.CreateTime.UnixMicro(), ExpireTime: g.ExpireTime.UnixMicro(),
	})
	return n > 0, err
}

func (t tx) GrantBySource(ctx context.Context, accountID, source string) (ledger.Grant, error) {
	row, err := t.q.GetGrantBySource(ctx, db.GetGrantBySourceParams{AccountID: accountID, Source: source})
	return toGrant(row), translate(err)
}

func (t tx) LiveGrants(ctx context.Context, accountID string) ([]ledger.Grant, error) {
	rows, err := t.q.ListLiveGrants(ctx, accountID)
	return toGrants(rows), err
}

func (t tx) Grant(ctx context.Context, id string) (ledger.Grant, error) {
	row, err := t.q.GetGrant(ctx, id)
	return toGrant(row), translate(err)
}

func (t tx) BurnFirst(ctx context.Context, accountID string, cost int64, goodAt time.Time) (string, bool, error) {
	id, err := t.q.BurnFirstGrant(ctx, db.BurnFirstGrantParams{AccountID: accountID, Cost: cost, GoodAt: goodAt.UnixMicro()})
	ok, err := one(err)
	return id, ok, err
}

func (t tx) SetRemaining(ctx context.Context, grantID string, remaining int64) error {
	return t.q.SetGrantRemaining(ctx, db.SetGrantRemainingParams{ID: grantID, Remaining: remaining})
}

func (t tx) InsertHold(ctx context.Context, h ledger.Hold) (bool, error) {
	n, err := t.q.InsertHold(ctx, db.InsertHoldParams{
		ID: h.ID, AccountID: h.AccountID, RequestID: h.RequestID, Fingerprint: h.Fingerprint, UserID: h.UserID, APIKeyID: h.APIKeyID,
		Model: h.Model, InputPrice: h.InputPrice, CachedInputPrice: h.CachedInputPrice, OutputPrice: h.OutputPrice,
		Amount: h.Amount, OutputTokens: h.OutputTokens, CreateTime: h.CreateTime.UnixMicro(), LeaseTime: h.LeaseTime.UnixMicro(),
		UsedInputTokens: h.Used.Input, UsedCachedInputTokens: h.Used.CachedInput, UsedOutputTokens: h.Used.Output,
		UsedReasoningTokens: h.Used.Reasoning,
	})
	return n > 0, err
}

func (t tx) Hold(ctx context.Context, id string) (ledger.Hold, error) {
	row, err := t.q.GetHold(ctx, id)
	if err != nil {
		return ledger.Hold{}, translate(err)
	}
	return toHold(row)
}

func (t tx) CloseHold(ctx context.Context, id string, from ledger.State, c ledger.Closing) (bool, error) {
	n, err := t.q.CloseHold(ctx, db.CloseHoldParams{
		ID: id, Was: string(from), State: string(ledger.StateSettled), Cost: c.Cost, BalanceAfter: c.BalanceAfter,
		PaidBy: writeBurns(c.PaidBy), SettleTime: c.SettleTime.UnixMicro(),
	})
	return n > 0, err
}

func (t tx) SweepHold(ctx context.Context, h ledger.Hold, c ledger.Closing) (bool, error) {
	n, err := t.q.SweepHold(ctx, db.SweepHoldParams{
		ID: h.ID, LeaseTime: h.LeaseTime.UnixMicro(), Cost: c.Cost, BalanceAfter: c.BalanceAfter,
		PaidBy: writeBurns(c.PaidBy), SettleTime: c.SettleTime.UnixMicro(), InputTokens: h.Used.Input,
		CachedInputTokens: h.Used.CachedInput, OutputTokens: h.Used.Output, ReasoningTokens: h.Used.Reasoning,
	})
	return n > 0, err
}

func (t tx) HeldBefore(ctx context.Context, accountID string, before time.Time) (int64, error) {
	return t.q.SumOpenHoldsBefore(ctx, db.SumOpenHoldsBeforeParams{AccountID: accountID, Before: before.UnixMicro()})
}

func (t tx) InsertEntry(ctx context.Context, e ledger.Entry) error {
	return t.q.InsertEntry(ctx, db.InsertEntryParams{
		AccountID: e.AccountID, ID: e.ID, Kind: e.Kind, Debit: e.Debit, Credit: e.Credit, Amount: e.Amount,
		Reference: e.Reference, CreateTime: e.CreateTime.UnixMicro(),
	})
}

func (t tx) InsertUsage(ctx context.Context, r ledger.UsageRecord) error {
	return t.q.InsertUsage(ctx, db.InsertUsageParams{
		HoldID: r.HoldID, AccountID: r.AccountID, Day: r.SettleTime.Format(time.DateOnly), Model: r.Model, UserID: r.UserID,
		APIKeyID: r.APIKeyID, InputTokens: r.Usage.Input, CachedInputTokens: r.Usage.CachedInput, OutputTokens: r.Usage.Output,
		ReasoningTokens: r.Usage.Reasoning, Cost: r.Cost, Outcome: string(r.Outcome), Estimated: r.Estimated,
		ProviderRequestID: r.ProviderRequestID, SettleTime: r.SettleTime.UnixMicro(),
	})
}

func (t tx) Usage(ctx context.Context, holdID string) (ledger.UsageRecord, error) {
	row, err := t.q.GetUsage(ctx, holdID)
	return toUsage(row), translate(err)
}

func (t tx) DeleteUsage(ctx context.Context, holdID string) error {
	return t.q.DeleteUsage(ctx, holdID)
}
