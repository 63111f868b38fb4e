package ledger

import (
	"context"
	"slices"
	"time"
)

// burnDown takes amount from grants, which come in the order in which they burn. Only grants that were good at the time pay: what is left
// of an expired one is for the holds from before. It returns what each pays, and what they don't cover.
func burnDown(grants []Grant, amount int64, goodAt time.Time) (paid []Burn, rest int64) {
	for _, g := range grants {
		if amount == 0 {
			break
		}
		if !g.ExpireTime.After(goodAt) {
			continue
		}
		part := min(g.Remaining, amount)
		paid = append(paid, Burn{GrantID: g.ID, Amount: part})
		amount -= part
	}
	return paid, amount
}

// giveBack undoes amount of what was paid, the last payment first. It returns what is still paid and what comes back to which grant.
func giveBack(paid []Burn, amount int64) (still, back []Burn) {
	still = slices.Clone(paid)
	for i, b := range slices.Backward(still) {
		part := min(b.Amount, amount)
		if part == 0 {
			break
		}
		still[i].Amount -= part
		amount -= part
		back = append(back, Burn{GrantID: b.GrantID, Amount: part})
	}
	return slices.DeleteFunc(still, func(b Burn) bool { return b.Amount == 0 }), back
}

// payDebts spreads payments over an account's debt: first over what no hold accounts for, which is debt from before holds knew what they
// owe, then over the holds, the oldest first. It returns what it paid of the former, and the holds that changed.
func payDebts(debt int64, holds []HoldDebt, payments []Burn) (old []Burn, changed []HoldDebt) {
	for _, h := range holds {
		debt -= h.Owed
	}
	payments = slices.Clone(payments)
	old = takeFirst(&payments, max(debt, 0))
	for _, h := range holds {
		paid := takeFirst(&payments, h.Owed)
		if len(paid) == 0 {
			break
		}
		for _, b := range paid {
			h.Owed -= b.Amount
		}
		h.PaidBy = slices.Concat(h.PaidBy, paid)
		changed = append(changed, h)
	}
	return old, changed
}

// takeFirst takes at most amount from the front of payments.
func takeFirst(payments *[]Burn, amount int64) (taken []Burn) {
	for amount > 0 && len(*payments) > 0 {
		first := &(*payments)[0]
		part := min(first.Amount, amount)
		taken = append(taken, Burn{GrantID: first.GrantID, Amount: part})
		amount -= part
		if first.Amount -= part; first.Amount == 0 {
			*payments = (*payments)[1:]
		}
	}
	return taken
}

// burn takes amount from the account's grants; what they don't cover becomes debt. It changes the grants in the database and the debt in
// memory.
func (l *Ledger) burn(ctx context.Context, tx Tx, account *Account, amount int64, goodAt time.Time) (paid []Burn, owed int64, err error) {
	live, err := tx.LiveGrants(ctx, account.ID)
	if err != nil {
		return nil, 0, err
	}
	paid, owed = burnDown(live, amount, goodAt)
	account.Debt += owed
	return paid, owed, takeFrom(ctx, tx, live, paid)
}

// takeFrom lowers the grants by what they pay.
func takeFrom(ctx context.Context, tx Tx, grants []Grant, paid []Burn) error {
	for _, b := range paid {
		g := grants[slices.IndexFunc(grants, func(g Grant) bool { return g.ID == b.GrantID })]
		if err := tx.SetRemaining(ctx, g.ID, g.Remaining-b.Amount); err != nil {
			return err
		}
	}
	return nil
}

// unburn gives amount of a hold's charge back, last paid first: what the hold still owes, then what the grants paid, also those that
// paid its debt later. Each gets back what it gave, and an expired one lets it expire. It returns what the grants have still paid, and what
// the hold still owes.
func (l *Ledger) unburn(ctx context.Context, tx Tx, account *Account, h Hold, amount int64, now time.Time) (still []Burn, owed int64, err error) {
	forgiven := min(h.Owed, amount)
	account.Debt -= forgiven
	if amount, err = l.unburnOld(ctx, tx, account, h, amount-forgiven, now); err != nil {
		return nil, 0, err
	}
	still, back := giveBack(h.PaidBy, amount)
	for _, b := range back {
		g, err := tx.Grant(ctx, b.GrantID)
		if err != nil {
			return nil, 0, err
		}
		if err := tx.SetRemaining(ctx, g.ID, g.Remaining+b.Amount); err != nil {
			return nil, 0, err
		}
	}
	return still, h.Owed - forgiven, l.payWithReturned(ctx, tx, account, h.ID, now)
}

// unburnOld gives back what a hold knows neither as paid nor as owed: debt of a charge from before holds knew what they owe. Of that which
// is paid since nobody knows by which grant: it becomes a grant without end. It returns what of amount is left.
func (l *Ledger) unburnOld(ctx context.Context, tx Tx, account *Account, h Hold, amount int64, now time.Time) (int64, error) {
	unknown := h.Cost - h.Owed - h.Overage
	for _, b := range h.PaidBy {
		unknown -= b.Amount
	}
	unknown = min(unknown, amount)
	if unknown <= 0 {
		return amount, nil
	}
	holds, err := tx.HoldsInDebt(ctx, account.ID)
	if err != nil {
		return 0, err
	}
	unassigned := account.Debt
	for _, d := range holds {
		if d.HoldID != h.ID {
			unassigned -= d.Owed
		}
	}
	forgiven := min(unknown, max(unassigned, 0))
	account.Debt -= forgiven
	return amount - unknown, l.refund(ctx, tx, h, unknown-forgiven, now)
}

// refund makes a grant of what comes back and has no grant to go to.
func (l *Ledger) refund(ctx context.Context, tx Tx, h Hold, amount int64, now time.Time) error {
	if amount == 0 {
		return nil
	}
	_, err := tx.InsertGrant(ctx, Grant{
		ID: l.ids.make(prefixGrant, now), AccountID: h.AccountID, Source: sourceRefund + h.ID, Amount: amount, Remaining: amount,
		CreateTime: now, ExpireTime: Never,
	})
	return err
}

// payWithReturned uses credit that came back for the debt of other holds: an account has either debt or good credit.
func (l *Ledger) payWithReturned(ctx context.Context, tx Tx, account *Account, except string, now time.Time) error {
	if account.Debt == 0 {
		return nil
	}
	before := account.Debt
	account.Debt = 0
	paid, _, err := l.burn(ctx, tx, account, before, now)
	if err != nil || len(paid) == 0 {
		return err
	}
	return l.payHolds(ctx, tx, account.ID, before, except, paid)
}

// payHolds writes which holds the payments of an account's debt are for. The debt is what it was before them. The hold except is left
// out: whoever changes it writes it.
func (l *Ledger) payHolds(ctx context.Context, tx Tx, accountID string, debt int64, except string, payments []Burn) error {
	holds, err := tx.HoldsInDebt(ctx, accountID)
	if err != nil {
		return err
	}
	holds = slices.DeleteFunc(holds, func(d HoldDebt) bool { return d.HoldID == except })
	old, changed := payDebts(debt, holds, payments)
	for _, b := range old {
		if err := tx.PayOldDebt(ctx, b); err != nil {
			return err
		}
	}
	for _, h := range changed {
		if err := tx.PayHold(ctx, h); err != nil {
			return err
		}
	}
	return nil
}
