package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Follow brings an account's plan, period and credit up to what its mirrored subscription says. Repeating it changes nothing.
func (l *Ledger) Follow(ctx context.Context, tx Tx, accountID string) error {
	now := l.now()
	if opens, err := l.opens(ctx, tx, accountID); err != nil || !opens {
		return err
	}
	account, err := l.touchAside(ctx, tx, accountID, now)
	if err != nil {
		return err
	}
	if _, err := l.follow(ctx, tx, &account, now); err != nil {
		return err
	}
	return l.save(ctx, tx, &account) // credit may have ended although there is nothing to follow
}

// FollowDue follows the subscriptions that time alone has changed, at most limit, and counts them. Errors: ErrUnavailable.
func (l *Ledger) FollowDue(ctx context.Context, limit int) (int, error) {
	now := l.now()
	due, err := l.store.DueSubscriptions(ctx, now, limit)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, accountID := range due {
		err := l.store.Write(ctx, accountID, func(ctx context.Context, tx Tx) error { return l.Follow(ctx, tx, accountID) })
		if err != nil {
			failed = append(failed, fmt.Errorf("follow the subscription of %s: %w", accountID, err))
		}
		if err := l.store.PostponeSubscription(ctx, accountID, now, now.Add(followRetry)); err != nil {
			return len(due) - len(failed), errors.Join(append(failed, err)...)
		}
	}
	return len(due) - len(failed), errors.Join(failed...)
}

// followRetry is after how long a subscription is followed again that is still due: following it failed, or it gives nothing.
const followRetry = time.Hour

// follow changes an account in memory, and its grants. It returns false when the account has no subscription to follow.
func (l *Ledger) follow(ctx context.Context, tx Tx, account *Account, now time.Time) (bool, error) {
	if ahead := account.PeriodStart.Sub(now); ahead > 0 && ahead <= clockSkew {
		now = account.PeriodStart // the clock is behind that of a replica that has begun the period; one begun early is further ahead
	}
	in, st, err := l.derive(ctx, tx, account.ID, now)
	if err != nil || len(in.Subscriptions) == 0 {
		return false, err
	}
	before, err := tx.Subscription(ctx, account.ID)
	if err != nil {
		return false, err
	}
	if err := l.noticeSubscription(ctx, tx, account.ID, in, st, before); err != nil {
		return false, err
	}
	if st.Access == subscriptions.None {
		if len(st.Unmapped) > 0 && account.Overage.CloseTime.After(now) {
			account.Overage.CloseTime = now // without a known plan, overage cannot be charged
		}
		return false, nil
	}
	if err := l.endCredit(ctx, tx, account, st.Endings, now); err != nil {
		return false, err
	}
	if st.Access == subscriptions.Ended {
		return l.unsubscribe(ctx, tx, account, st, before.Access, now)
	}
	return true, l.subscribe(ctx, tx, account, st, now)
}

// subscribe puts the account on the plan that it is entitled to, and gives what is due.
func (l *Ledger) subscribe(ctx context.Context, tx Tx, account *Account, st subscriptions.State, now time.Time) error {
	ref := st.Plan.Ref()
	if st.Access == subscriptions.Suspended {
		ref = l.plans.Default().ID
	}
	if err := l.setPlan(ctx, tx, account, ref); err != nil {
		return err
	}
	if !account.PeriodStart.Equal(st.CreditStart) {
		account.PeriodStart, account.Period = st.CreditStart, UsageTotal{}
		account.Overage.begin(account.PeriodStart)
	}
	account.PeriodEnd = st.CreditEnd
	if err := l.allowOverage(ctx, tx, account, st, now); err != nil {
		return err
	}
	if err := l.giveDue(ctx, tx, account, st, now); err != nil {
		return err
	}
	return tx.SaveSubscription(ctx, account.ID, st)
}

// unsubscribe puts the account back on the default plan, once. Its own months begin again with the next; the free credit of the present
// one is not given.
func (l *Ledger) unsubscribe(ctx context.Context, tx Tx, account *Account, st subscriptions.State, before subscriptions.Access, now time.Time) (bool, error) {
	switch {
	case st.Status == "incomplete_expired": // it was never paid
		return false, nil
	case before == subscriptions.Ended, before == subscriptions.None: // it ended before, or began and ended without any news
		return false, tx.SaveSubscription(ctx, account.ID, st)
	}
	if err := l.setPlan(ctx, tx, account, l.plans.Default().ID); err != nil {
		return false, err
	}
	_, end := period(account.CreateTime, now)
	account.PeriodStart, account.PeriodEnd, account.Period = now, end, UsageTotal{}
	account.Overage.begin(account.PeriodStart)
	if err := l.allowOverage(ctx, tx, account, st, now); err != nil {
		return false, err
	}
	return true, tx.SaveSubscription(ctx, account.ID, st)
}

// setPlan changes the account's plan.
func (l *Ledger) setPlan(ctx context.Context, tx Tx, account *Account, ref string) error {
	if account.Plan == ref {
		return nil
	}
	account.Plan = ref
	return tx.SetPlan(ctx, account.ID, ref)
}

// endCredit lets the credit of subscriptions that are over expire with them, also that of which nothing is left: a refund that fails and the correction
// of a call return credit to it. What open calls hold stays theirs, also that of a call that was made at the same moment.
func (l *Ledger) endCredit(ctx context.Context, tx Tx, account *Account, endings []subscriptions.Ending, now time.Time) error {
	now = now.Add(time.Microsecond) // credit is good for the calls that were made before its end
	found := false
	for _, e := range endings {
		ended, err := tx.EndGrants(ctx, account.ID, subscriptions.SourceOf(e.SubscriptionID), now)
		if err != nil {
			return err
		}
		found = found || ended
	}
	if !found {
		return nil
	}
	return l.expire(ctx, tx, account, now)
}

// FollowCheckout gives the credit of a pack that a checkout session paid for, once.
func (l *Ledger) FollowCheckout(ctx context.Context, tx Tx, accountID string, body []byte) error {
	session, err := subscriptions.ParseSession(body)
	if err != nil {
		return err
	}
	return l.followPack(ctx, tx, accountID, session.ID, func() (subscriptions.Grant, bool, bool) { return subscriptions.Pack(session, l.plans) })
}

// FollowTopUp gives the credit of a pack that the invoice of an automatic top-up paid for, once. Other invoices change nothing.
func (l *Ledger) FollowTopUp(ctx context.Context, tx Tx, accountID string, body []byte) error {
	invoice, err := subscriptions.ParseInvoice(body)
	if err != nil {
		return err
	}
	return l.followPack(ctx, tx, accountID, invoice.ID, func() (subscriptions.Grant, bool, bool) { return subscriptions.TopUp(invoice, l.plans) })
}

// followPack gives the credit of a pack that is paid for. object is Stripe's id of what paid.
func (l *Ledger) followPack(ctx context.Context, tx Tx, accountID, object string, read func() (g subscriptions.Grant, bought, unmapped bool)) error {
	bought, paid, unmapped := read()
	if unmapped && l.reload != nil {
		if err := l.reload(ctx); err != nil {
			return err
		}
		bought, paid, unmapped = read()
	}
	if unmapped {
		l.log.WarnContext(ctx, "a payment is for a price that no applied pack has; no credit is given for it", slog.String("account", accountID), slog.String("object", object))
		n := notices.Notice{Source: "object:" + object + ":unmapped", Kind: notices.Unmapped, Data: notices.Data{ObjectID: object}}
		if err := l.notice(ctx, tx, accountID, n); err != nil {
			return err
		}
	}
	if !paid {
		return nil
	}
	now := l.now()
	account, err := l.touchAside(ctx, tx, accountID, now)
	if err != nil {
		return err
	}
	if bought.Expire.IsZero() {
		bought.Expire = Never
	}
	given, err := l.give(ctx, tx, &account, Grant{Source: bought.Source, Amount: bought.Amount, ExpireTime: bought.Expire}, now)
	if err != nil || !given {
		return err
	}
	if by := bought.Payment; by.Intent != "" || by.Invoice != "" {
		p := Purchase{
			Key: cmp.Or(by.Intent, bought.Source), AccountID: accountID, Source: bought.Source, Payment: by.Intent, Invoice: by.Invoice, Credit: bought.Amount, Total: by.Total,
		}
		if err := l.purchased(ctx, tx, &account, p, now); err != nil {
			return err
		}
	}
	return l.save(ctx, tx, &account)
}
