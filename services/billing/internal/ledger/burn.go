package ledger

import (
	"context"
	"slices"
	"time"
)

// burn takes amount from the account's grants, soonest-expiring first and then by age; what they don't cover becomes debt.
// Only grants that were good at the time pay: what stayed of an expired one is for the holds from before. It changes the grants
// in the database and the debt in memory.
func (l *Ledger) burn(ctx context.Context, tx Tx, account *Account, amount int64, goodAt time.Time) ([]Burn, error) {
	live, err := tx.LiveGrants(ctx, account.ID)
	if err != nil {
		return nil, err
	}
	var paid []Burn
	for _, g := range live {
		if amount == 0 {
			break
		}
		if !g.ExpireTime.After(goodAt) {
			continue
		}
		part := min(g.Remaining, amount)
		if err := tx.SetRemaining(ctx, g.ID, g.Remaining-part); err != nil {
			return nil, err
		}
		amount -= part
		paid = append(paid, Burn{GrantID: g.ID, Amount: part})
	}
	account.Debt += amount
	return paid, nil
}

// unburn gives amount of a hold's charge back, last paid first: the debt that the charge made, then the grants that paid. Where
// a later grant has paid that debt, the part becomes a grant without end. It returns what the grants have still paid.
func (l *Ledger) unburn(ctx context.Context, tx Tx, account *Account, h Hold, amount int64, now time.Time) ([]Burn, error) {
	owed := h.Cost
	for _, b := range h.PaidBy {
		owed -= b.Amount
	}
	forgiven := min(owed, amount)
	amount -= forgiven
	still := min(forgiven, account.Debt)
	account.Debt -= still
	if err := l.refund(ctx, tx, h, forgiven-still, now); err != nil {
		return nil, err
	}
	paid := slices.Clone(h.PaidBy)
	for i, b := range slices.Backward(paid) {
		part := min(b.Amount, amount)
		if part == 0 {
			break
		}
		g, err := tx.Grant(ctx, b.GrantID)
		if err != nil {
			return nil, err
		}
		if err := tx.SetRemaining(ctx, g.ID, g.Remaining+part); err != nil {
			return nil, err
		}
		paid[i].Amount -= part
		amount -= part
	}
	paid = slices.DeleteFunc(paid, func(b Burn) bool { return b.Amount == 0 })
	return paid, l.payDebt(ctx, tx, account, now)
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

// payDebt uses credit that came back for debt: there is none while there is good credit.
func (l *Ledger) payDebt(ctx context.Context, tx Tx, account *Account, now time.Time) error {
	if account.Debt == 0 {
		return nil
	}
	owed := account.Debt
	account.Debt = 0
	_, err := l.burn(ctx, tx, account, owed, now)
	return err
}
