package ledger

import (
	"context"
	"errors"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Account reads an account, brought up to date; a new one is opened on the default plan. userID is who asks, whose share of free credit
// the account may use, as MayShare returns it; "" for nobody. Error: ErrUnavailable.
func (l *Ledger) Account(ctx context.Context, id, userID string) (Account, error) {
	account, err := l.store.Account(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Account{}, err
	}
	isDue := err != nil || !l.now().Before(account.Due)
	account.ID = id
	claims, err := l.mayClaim(ctx, account, userID, isDue)
	if err != nil {
		return Account{}, err
	}
	if !isDue && !claims {
		return account, nil
	}
	err = l.store.Write(ctx, id, func(ctx context.Context, tx Tx) (err error) {
		now := l.now()
		if account, err = l.touch(ctx, tx, id, userID, now); err != nil || !claims {
			return err
		}
		return l.claim(ctx, tx, &account, userID, now)
	})
	return account, err
}

// Known reads an account as it is. Errors: *AccountNotFoundError, ErrUnavailable.
func (l *Ledger) Known(ctx context.Context, id string) (Account, error) {
	account, err := l.store.Account(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return Account{}, &AccountNotFoundError{id}
	}
	return account, err
}

// Plan returns the account's plan; the default plan while the account is not open. Errors: *PlanMissingError, ErrUnavailable.
func (l *Ledger) Plan(ctx context.Context, accountID string) (plans.Plan, error) {
	account, err := l.store.Account(ctx, accountID)
	switch {
	case errors.Is(err, ErrNotFound):
		return l.plans.Default(), nil
	case err == nil && !l.now().Before(account.Due):
		account, err = l.Account(ctx, accountID, "")
	}
	if err != nil {
		return plans.Plan{}, err
	}
	plan, err := l.planOf(account.Plan)
	if err != nil {
		if err := l.readMissing(ctx, err); err != nil {
			return plans.Plan{}, err
		}
		return l.planOf(account.Plan)
	}
	return plan, nil
}

func (l *Ledger) planOf(id string) (plans.Plan, error) {
	plan, ok := l.plans.Get(id)
	if !ok {
		return plans.Plan{}, &PlanMissingError{id}
	}
	return plan, nil
}

// Usage sums an account's usage by day and model. Error: ErrUnavailable.
func (l *Ledger) Usage(ctx context.Context, q UsageQuery) ([]UsageRow, UsageTotal, error) {
	rows, err := l.store.Usage(ctx, q)
	var total UsageTotal
	for _, row := range rows {
		total.Add(row.UsageTotal)
	}
	return rows, total, err
}

// Entries reads at most limit of an account's entries below the id before, newest first; "" begins with the newest. What is not folded
// yet is folded first, so that no charge is missing. Error: ErrUnavailable.
func (l *Ledger) Entries(ctx context.Context, accountID, before string, limit int) ([]Entry, error) {
	if before == "" {
		if err := l.foldAccount(ctx, accountID); err != nil {
			return nil, err
		}
	}
	return l.store.Entries(ctx, accountID, before, limit)
}

// UsageOfUser reads the records of calls that name a person, after one. Error: ErrUnavailable.
func (l *Ledger) UsageOfUser(ctx context.Context, userID, afterAccountID, afterID string, limit int) ([]UsageRecord, error) {
	if afterAccountID == "" {
		if _, err := l.Fold(ctx, func(context.Context) error { return nil }); err != nil {
			return nil, err
		}
	}
	return l.store.UsageOfUser(ctx, userID, afterAccountID, afterID, limit)
}
