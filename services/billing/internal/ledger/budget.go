package ledger

import (
	"context"
	"time"
)

// KeyLimit is the most that an API key may spend in a window, its holds included. It comes with the call.
type KeyLimit struct {
	// Amount is in nano-dollars; 0 means no limit.
	Amount int64
	// Period is the length of a window, counted from the Unix epoch; 0 means the account's billing period.
	Period time.Duration
}

// budget is what a call may hold.
type budget struct {
	// amount is the least of what the account and the limits afford, in nano-dollars; it may be below 0.
	amount int64
	// by is the limit that is tighter than the account and all other limits; nil for none.
	by *LimitBudget
}

// budget decides what the account and all limits of the caller leave.
func (r *reserving) budget(ctx context.Context, tx Tx, account Account, now time.Time) (budget, error) {
	b := budget{amount: account.Spendable(now)}
	limits, err := r.limits(ctx, tx)
	if err != nil {
		return b, err
	}
	for _, limit := range limits {
		w := windowAt(limit.Period, account, now)
		spend, err := tx.SpendWindow(ctx, account.ID, limit.Subject, w, limit.Amount)
		if err != nil {
			return b, err
		}
		if left := limit.Amount - plus(spend.Spent, spend.Held); left < b.amount {
			b.amount = left
			b.by = &LimitBudget{
				Kind: limit.Subject.Kind, Amount: limit.Amount, Left: left, Window: w, Wait: w.End.Sub(now), subject: limit.Subject, spent: spend.Spent,
			}
		}
	}
	return b, nil
}

// limits are the limits of the caller, at most one for each subject and period.
func (r *reserving) limits(ctx context.Context, tx Tx) ([]SpendLimit, error) {
	stored, err := tx.SpendLimits(ctx, r.AccountID, r.UserID, r.APIKeyID)
	if err != nil {
		return nil, err
	}
	limits := effective(stored, r.UserID)
	if r.KeyLimit.Amount <= 0 || r.APIKeyID == "" {
		return limits, nil
	}
	own := SpendLimit{Subject: KeySubject(r.APIKeyID), Period: r.KeyLimit.Period, Amount: r.KeyLimit.Amount}
	for i, l := range limits {
		if l.Subject == own.Subject && l.Period == own.Period {
			limits[i].Amount = min(l.Amount, own.Amount)
			return limits, nil
		}
	}
	return append(limits, own), nil
}

// insufficient says what is missing, and whose limit it is.
func (r *reserving) insufficient(account Account, b budget) error {
	e := &InsufficientError{Account: account, Limit: b.by, Needed: -1}
	if least, err := r.worst.Cost(r.InputTokens, 0, r.MinOutputTokens*r.Choices); err == nil {
		e.Needed = plus(least, r.fixed)
	}
	return e
}
