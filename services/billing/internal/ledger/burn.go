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

// unburn gives amount of a hold's charge back: to the debt, then to the grants that paid, the last first. What has no
// such place (a later grant had paid the debt that the charge made) becomes a grant without end. It returns what the grants
// have still paid.
func (l *Ledger) unburn(ctx context.Context, tx Tx, account *Account, h Hold, amount int64, now time.Time) ([]Burn, error) {
	part := min(account.Debt, amount)
	account.Debt -= part
	amount -= part
	paid := slices.Clone(h.PaidBy)
	for i, b := range slices.Backward(paid) {
		part := min(b.Amount, amount)
		if part == 0 {
			continue
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
	if amount > 0 {
		_, err := tx.InsertGrant(ctx, Grant{
			ID: l.ids.make(prefixGrant, now), AccountID: account.ID, Source: sourceRefund + h.ID, Amount: amount, Remaining: amount,
			CreateTime: now, ExpireTime: Never,
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(paid, func(b Burn) bool { return b.Amount == 0 }), nil
}
