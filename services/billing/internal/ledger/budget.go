package ledger

import (
	"context"
	"time"
)

// KeyLimit is the most that an API key may spend in a window, its holds included.
type KeyLimit struct {
	// Amount is in nano-dollars; 0 means no limit.
	Amount int64
	// Period is the length of a window, counted from the Unix epoch; 0 means the account's billing period.
	Period time.Duration
}

// Window is one window of an API key's limit.
type Window struct {
	// Period is the limit's; 0 means that the window is the account's billing period.
	Period time.Duration
	// Start and End bound the window: from the start, up to and without the end.
	Start, End time.Time
}

// window returns the window around now, which is within the account's billing period.
func (k KeyLimit) window(account Account, now time.Time) Window {
	micros, length := now.UnixMicro(), k.Period.Microseconds()
	if length <= 0 {
		return Window{Start: account.PeriodStart, End: account.PeriodEnd}
	}
	start := time.UnixMicro(micros - micros%length).UTC()
	return Window{Period: k.Period, Start: start, End: start.Add(k.Period)}
}

// budget is what a call may hold.
type budget struct {
	// amount is the least of what the account and the key afford, in nano-dollars; it may be below 0.
	amount int64
	// byKey is true when the key's limit is the tighter one.
	byKey bool
	// windowEnd is when the window of the key's limit ends; zero when it has none.
	windowEnd time.Time
}

func (r *reserving) budget(ctx context.Context, tx Tx, account Account, now time.Time) (budget, error) {
	b := budget{amount: account.Spendable(now)}
	if r.KeyLimit.Amount <= 0 || r.APIKeyID == "" {
		return b, nil
	}
	w := r.KeyLimit.window(account, now)
	b.windowEnd = w.End
	spend, err := tx.KeyWindow(ctx, account.ID, r.APIKeyID, w)
	if left := r.KeyLimit.Amount - plus(spend.Spent, spend.Held); left < b.amount {
		b.amount, b.byKey = left, true
	}
	return b, err
}

// insufficient says what is missing, and whose limit it is.
func (r *reserving) insufficient(account Account, b budget) error {
	e := &InsufficientError{Account: account, Needed: -1}
	if least, err := r.worst.Cost(r.InputTokens, 0, r.MinOutputTokens*r.Choices); err == nil {
		e.Needed = least
	}
	if b.byKey {
		e.Key = &KeyBudget{Limit: r.KeyLimit.Amount, Left: b.amount, WindowEnd: b.windowEnd}
	}
	return e
}
