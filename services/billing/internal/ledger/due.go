package ledger

import (
	"cmp"
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
	more := false
	due := slices.DeleteFunc(st.Due(given), func(g subscriptions.Grant) bool { return !g.Expire.After(now) })
	for _, g := range due {
		inserted, err := l.give(ctx, tx, account, Grant{Source: g.Source, Amount: g.Amount, ExpireTime: g.Expire}, now)
		if err != nil {
			return err
		}
		if inserted {
			given[g.Source] = g.Amount
			more = more || g.IsChange()
		}
	}
	paid := map[string]bool{}
	for _, g := range slices.Concat(due, st.Grants) { // an advance may have been given before it was paid
		credit, known := given[g.Source]
		if !known || paid[g.Source] || g.IsChange() {
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
	return l.assign(ctx, tx, account, st.Month, given, more, now)
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
			if err := l.extend(ctx, tx, account, k.Source, grants, k.Expire, now); err != nil {
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

// extend has the grants of a source last until a time that have ended before, because Stripe has taken back what ended them, and returns what has expired of
// them. What refunds and disputes have taken stays taken.
func (l *Ledger) extend(ctx context.Context, tx Tx, account *Account, source string, grants []Grant, until, now time.Time) error {
	if !slices.ContainsFunc(grants, func(g Grant) bool { return g.ExpireTime.Before(until) }) {
		return nil
	}
	purchases, err := tx.PurchasesOf(ctx, account.ID, source)
	if err != nil {
		return err
	}
	for _, group := range boughtTogether(grants, purchases) {
		if !slices.ContainsFunc(group.grants, func(g Grant) bool { return g.ExpireTime.Before(until) }) {
			continue
		}
		if err := l.extendBought(ctx, tx, account, group, until, now); err != nil {
			return err
		}
	}
	return nil
}

// together is a grant, or the grants that changes of a month share, with those that have returned their credit, and what paid for them.
type together struct {
	source string
	grants []Grant
	paid   []Purchase
}

func boughtTogether(grants []Grant, purchases []Purchase) (all []together) {
	of := func(g Grant) string {
		source, _, _ := strings.Cut(g.Source, ":"+sourceReturn)
		for _, p := range purchases {
			if p.Changes != "" && strings.HasPrefix(source, p.Changes+":") {
				return p.Changes
			}
		}
		return source
	}
	find := func(source string) int {
		return slices.IndexFunc(all, func(t together) bool { return t.source == source })
	}
	for _, g := range grants {
		i := find(of(g))
		if i < 0 {
			i, all = len(all), append(all, together{source: of(g)})
		}
		all[i].grants = append(all[i].grants, g)
	}
	for _, p := range purchases {
		if i := find(cmp.Or(p.Changes, p.Source)); i >= 0 {
			all[i].paid = append(all[i].paid, p)
		}
	}
	return all
}

// extendBought extends the grants of one group.
func (l *Ledger) extendBought(ctx context.Context, tx Tx, account *Account, group together, until, now time.Time) (err error) {
	expired, back := make([]int64, len(group.grants)), int64(0)
	for _, p := range group.paid {
		back -= p.Clawed
	}
	for i, g := range group.grants {
		if expired[i], err = tx.Expired(ctx, g); err != nil {
			return err
		}
		if back += expired[i]; strings.Contains(g.Source, ":"+sourceReturn) { // it returned what had been taken
			back -= g.Amount
		}
	}
	for i, g := range slices.Backward(group.grants) { // those that returned credit are the last
		if err := tx.ExtendGrant(ctx, g.ID, until); err != nil {
			return err
		}
		part := max(min(expired[i], back), 0)
		back -= part
		if err := l.unexpire(ctx, tx, account, g, part, now); err != nil {
			return err
		}
	}
	if err := l.payWithReturned(ctx, tx, account, "", now); err != nil {
		return err
	}
	return l.clawAll(ctx, tx, account, group.paid, now) // they may have been refunded meanwhile
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
