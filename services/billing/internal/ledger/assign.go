package ledger

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// assign notes what the payment of each change within a month has bought. The payments share the grants of all changes, because a grant keeps the amount that
// was missing when it was given. So what a refund takes does not depend on which payment was heard of first. An earlier payment that is heard of late takes over
// credit that later payments had bought before: what was taken back of it for them counts for all, and comes back where it is too much. given has the amounts
// of the account's grants, and more says that some of them are new.
func (l *Ledger) assign(ctx context.Context, tx Tx, account *Account, m subscriptions.Month, given map[string]int64, more bool, now time.Time) error {
	if len(m.Bought) == 0 {
		return nil
	}
	before, err := tx.PurchasesOf(ctx, account.ID, m.Changes)
	if err != nil {
		return err
	}
	after := changesOf(account.ID, m, given)
	if slices.EqualFunc(before, after, sameBought) {
		if more {
			err = l.clawAll(ctx, tx, account, before, now)
		}
		return err
	}
	for _, p := range before {
		if err := tx.DeletePurchase(ctx, p); err != nil {
			return err
		}
	}
	for _, p := range after {
		if _, err := tx.InsertPurchase(ctx, p); err != nil {
			return err
		}
		if err := l.tellReversed(ctx, tx, account, p); err != nil {
			return err
		}
	}
	return l.moveClawed(ctx, tx, account, before, after, now)
}

// moveClawed lets what was taken back of credit count for those who have bought it after all. What is too much comes back, and what is missing is taken.
func (l *Ledger) moveClawed(ctx context.Context, tx Tx, account *Account, before, after []Purchase, now time.Time) error {
	clawed := int64(0)
	for _, p := range before {
		clawed += p.Clawed
	}
	for i := range after {
		p := &after[i]
		reversed, err := tx.Reversed(ctx, *p)
		if err != nil {
			return err
		}
		p.Clawed = min(clawed, subscriptions.ClawOf(p.Credit, p.Total, reversed))
		clawed -= p.Clawed
		if err := tx.SetClawed(ctx, *p); err != nil {
			return err
		}
	}
	if clawed > 0 {
		if err := l.restore(ctx, tx, account, before[0], before[0].Key, clawed, now); err != nil {
			return err
		}
	}
	return l.clawAll(ctx, tx, account, after, now)
}

// changesOf is what the payments of a month's changes have bought of its grants, by key.
func changesOf(accountID string, m subscriptions.Month, given map[string]int64) (all []Purchase) {
	left, first := int64(0), ""
	for source, amount := range given {
		if !strings.HasPrefix(source, m.Changes+":") || strings.Contains(source, ":"+sourceReturn) {
			continue
		}
		left += amount
		if first == "" || source < first {
			first = source
		}
	}
	for _, g := range m.Bought {
		credit := min(g.Amount, left)
		left -= credit
		if credit == 0 || g.Payment.Total <= 0 {
			continue // nothing was paid that could be taken back
		}
		p := Purchase{
			Key: g.Source, AccountID: accountID, Source: g.Source, Changes: m.Changes, Payment: g.Payment.Intent, Invoice: g.Payment.Invoice, Credit: credit,
			Total: g.Payment.Total,
		}
		if _, known := given[p.Source]; !known {
			p.Source = first // it was paid within the second of a change that was heard of before
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Purchase) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// sameBought compares purchases without what was taken back of them.
func sameBought(a, b Purchase) bool {
	a.Clawed, a.Waiting = b.Clawed, b.Waiting
	return a == b
}

// clawShared takes what has come back of a change's credit for the refunds of the other changes of its month: they share its grants.
func (l *Ledger) clawShared(ctx context.Context, tx Tx, account *Account, p Purchase, now time.Time) error {
	if p.Changes == "" || p.AccountID != account.ID {
		return nil
	}
	all, err := tx.PurchasesOf(ctx, account.ID, p.Changes)
	if err != nil {
		return err
	}
	return l.clawAll(ctx, tx, account, all, now)
}
