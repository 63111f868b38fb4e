package ledger

import (
	"context"
	"errors"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Account reads an account, brought up to date; a new one is opened on the default plan. Error: SERVICE_UNAVAILABLE.
func (l *Ledger) Account(ctx context.Context, id string) (Account, error) {
	account, err := l.store.Account(ctx, id)
	if err == nil && l.now().Before(account.Due) {
		return account, nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Account{}, asPublic(err, "reading the account")
	}
	err = l.store.Write(ctx, id, func(ctx context.Context, tx Tx) (err error) {
		account, err = l.touch(ctx, tx, id, l.now())
		return err
	})
	return account, asPublic(err, "opening the account")
}

// Plan returns the account's plan; a new account is opened by it. Errors: CONFIGURATION_ERROR (the plan file no longer has
// the plan), SERVICE_UNAVAILABLE.
func (l *Ledger) Plan(ctx context.Context, accountID string) (plans.Plan, error) {
	account, err := l.Account(ctx, accountID)
	if err != nil {
		return plans.Plan{}, err
	}
	return l.planOf(account.Plan)
}

func (l *Ledger) planOf(id string) (plans.Plan, error) {
	plan, ok := l.plans.Get(id)
	if !ok {
		return plans.Plan{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"The account is on the plan %q, which the plan file no longer has. The operator must put it back (PLANS_FILE).", id)
	}
	return plan, nil
}

// Usage sums an account's usage by day and model. Error: SERVICE_UNAVAILABLE.
func (l *Ledger) Usage(ctx context.Context, q UsageQuery) ([]UsageRow, UsageTotal, error) {
	rows, err := l.store.Usage(ctx, q)
	var total UsageTotal
	for _, row := range rows {
		total.add(row.UsageTotal)
	}
	return rows, total, asPublic(err, "summing usage")
}

// Entries reads at most limit of an account's entries below the id before, newest first; "" begins with the newest.
// Error: SERVICE_UNAVAILABLE.
func (l *Ledger) Entries(ctx context.Context, accountID, before string, limit int) ([]Entry, error) {
	entries, err := l.store.Entries(ctx, accountID, before, limit)
	return entries, asPublic(err, "reading entries")
}
