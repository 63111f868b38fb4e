package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// tx is a ledger.Tx.
type tx struct {
	q *db.Queries
	// oneStatement is true where statements may write within WITH: on PostgreSQL.
	oneStatement bool
}

func (t tx) LockAccount(ctx context.Context, id string) (ledger.Account, error) {
	row, err := t.q.LockAccount(ctx, id)
	return toAccount(row), translate(err)
}

func (t tx) InsertAccount(ctx context.Context, a ledger.Account) (bool, error) {
	n, err := t.q.InsertAccount(ctx, db.InsertAccountParams{
		ID: a.ID, IDHash: hash(a.ID), Plan: a.Plan, CreateTime: a.CreateTime.UnixMicro(), PeriodStartTime: a.PeriodStart.UnixMicro(),
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

func (t tx) SetRemaining(ctx context.Context, grantID string, remaining int64) error {
	return t.q.SetGrantRemaining(ctx, db.SetGrantRemainingParams{ID: grantID, Remaining: remaining})
}

func (t tx) InsertEntry(ctx context.Context, e ledger.Entry) error {
	return t.q.InsertEntry(ctx, db.InsertEntryParams{
		AccountID: e.AccountID, ID: e.ID, Kind: e.Kind, Debit: e.Debit, Credit: e.Credit, Amount: e.Amount,
		Reference: e.Reference, CreateTime: e.CreateTime.UnixMicro(),
	})
}

func (t tx) InsertUsage(ctx context.Context, r ledger.UsageRecord) error {
	return t.q.InsertUsage(ctx, db.InsertUsageParams{
		ID: r.ID, HoldID: r.HoldID, AccountID: r.AccountID, Day: r.SettleTime.Format(time.DateOnly), Model: r.Model,
		APIKeyID: r.APIKeyID, InputTokens: r.Usage.Input, CachedInputTokens: r.Usage.CachedInput, OutputTokens: r.Usage.Output,
		ReasoningTokens: r.Usage.Reasoning, Cost: r.Cost, Outcome: string(r.Outcome), Estimated: r.Estimated,
		ProviderRequestID: r.ProviderRequestID, SettleTime: r.SettleTime.UnixMicro(),
	})
}

func (t tx) Usage(ctx context.Context, accountID, id string) (ledger.UsageRecord, error) {
	row, err := t.q.GetUsage(ctx, db.GetUsageParams{AccountID: accountID, ID: id})
	return toUsage(row), translate(err)
}

func (t tx) DeleteUsage(ctx context.Context, accountID, id string) error {
	return t.q.DeleteUsage(ctx, db.DeleteUsageParams{AccountID: accountID, ID: id})
}
