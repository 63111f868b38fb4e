package ledger

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// giveDue gives the credit that a subscription is due, and notes what paid for it.
func (l *Ledger) giveDue(ctx context.Context, tx Tx, account *Account, st subscriptions.State, now time.Time) error {
	given, err := l.keepCredit(ctx, tx, account, st.Kept, now)
	if err != nil {
		return err
	}
	due := slices.DeleteFunc(st.Due(given), func(g subscriptions.Grant) bool { return !g.Expire.After(now) })
	for _, g := range due {
		inserted, err := l.give(ctx, tx, account, Grant{Source: g.Source, Amount: g.Amount, ExpireTime: g.Expire}, now)
		if err != nil {
			return err
		}
		if inserted {
			given[g.Source] = g.Amount
		}
	}
	paid := map[string]bool{}
	for _, g := range slices.Concat(due, st.Grants) { // an advance may have been given before it was paid
		credit, known := given[g.Source]
		if !known || paid[g.Source] {
			continue
		}
		paid[g.Source] = true
		p := Purchase{
			Key: g.Source, AccountID: account.ID, Source: g.Source, Payment: g.Payment.Intent, Invoice: g.Payment.Invoice, Credit: credit, Total: g.Payment.Total,
		}
		if err := l.purchased(ctx, tx, account, p, now); err != nil {
			return err
		}
	}
	return nil
}

// keepCredit has the credit of live subscriptions end when they say, and returns the amounts of their grants, by source.
func (l *Ledger) keepCredit(ctx context.Context, tx Tx, account *Account, kept []subscriptions.Kept, now time.Time) (map[string]int64, error) {
	given := map[string]int64{}
	for _, k := range kept {
		grants, err := tx.GrantsOf(ctx, account.ID, k.Source)
		if err != nil {
			return nil, err
		}
		late := false
		for _, g := range grants {
			given[g.Source] = g.Amount
			late = late || g.ExpireTime.After(k.Expire)
		}
		if k.Expire.After(now) {
			if err := l.extend(ctx, tx, account, grants, k.Expire, now); err != nil {
				return nil, err
			}
		}
		if late && k.Exact {
			if err := l.shorten(ctx, tx, account, k, now); err != nil {
				return nil, err
			}
		}
	}
	return given, nil
}

// shorten has credit end earlier than was known: an operator has ended a trial.
func (l *Ledger) shorten(ctx context.Context, tx Tx, account *Account, k subscriptions.Kept, now time.Time) error {
	end := k.Expire
	if !end.After(now) {
		end = now.Add(time.Microsecond) // credit is good for the calls that were made before its end
	}
	if _, err := tx.EndGrants(ctx, account.ID, k.Source, end); err != nil {
		return err
	}
	return l.expire(ctx, tx, account, now.Add(time.Microsecond))
}

// extend has grants last until a time that have ended before, because Stripe has taken back what ended them, and returns what has expired of them. What refunds
// and disputes have taken stays taken.
func (l *Ledger) extend(ctx context.Context, tx Tx, account *Account, grants []Grant, until, now time.Time) error {
	for _, g := range grants {
		if strings.Contains(g.Source, ":"+sourceReturn) {
			continue // with the grant whose credit it returned
		}
		returns := slices.DeleteFunc(slices.Clone(grants), func(r Grant) bool { return !strings.HasPrefix(r.Source, g.Source+":"+sourceReturn) })
		if !slices.ContainsFunc(append(returns, g), func(g Grant) bool { return g.ExpireTime.Before(until) }) {
			continue
		}
		if err := l.extendBought(ctx, tx, account, append(returns, g), until, now); err != nil {
			return err
		}
	}
	return nil
}

// extendBought extends one grant, which comes last, and those that have returned its credit.
func (l *Ledger) extendBought(ctx context.Context, tx Tx, account *Account, grants []Grant, until, now time.Time) error {
	g := grants[len(grants)-1]
	purchase, bought, err := purchaseOf(ctx, tx, g)
	if err != nil {
		return err
	}
	expired, back := make([]int64, len(grants)), -purchase.Clawed
	for i, g := range grants {
		if expired[i], err = tx.Expired(ctx, g); err != nil {
			return err
		}
		if back += expired[i]; i < len(grants)-1 { // it returned what had been taken
			back -= g.Amount
		}
	}
	for i, g := range grants {
		if err := tx.ExtendGrant(ctx, g.ID, until); err != nil {
			return err
		}
		part := max(min(expired[i], back), 0)
		back -= part
		if err := l.unexpire(ctx, tx, account, g, part, now); err != nil {
			return err
		}
	}
	if err := l.payWithReturned(ctx, tx, account, "", now); err != nil || !bought {
		return err
	}
	return l.claw(ctx, tx, account, purchase, "", now) // it may have been refunded meanwhile
}

// purchaseOf reads what paid for a subscription's grant; false when nothing did.
func purchaseOf(ctx context.Context, tx Tx, g Grant) (Purchase, bool, error) {
	all, err := tx.Purchases(ctx, g.Source)
	if i := slices.IndexFunc(all, func(p Purchase) bool { return p.Key == g.Source && p.AccountID == g.AccountID }); i >= 0 {
		return all[i], true, err
	}
	return Purchase{}, false, err
}

// unexpire returns credit that has expired to its grant.
func (l *Ledger) unexpire(ctx context.Context, tx Tx, account *Account, g Grant, amount int64, now time.Time) error {
	if amount == 0 {
		return nil
	}
	account.Balance += amount
	if err := tx.SetRemaining(ctx, g.ID, g.Remaining+amount); err != nil {
		return err
	}
	return tx.InsertEntry(ctx, Entry{
		ID: l.ids.make(prefixEntry, now), AccountID: account.ID, Kind: KindExpiry, Debit: SideExpired, Credit: SideCustomer(account.ID),
		Amount: amount, Reference: g.ID, CreateTime: now,
	})
}
