package ledger

import (
	"context"
	"errors"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// notice writes a notice, once for each source, in the transaction of the decision.
func (l *Ledger) notice(ctx context.Context, tx Tx, accountID string, n notices.Notice) error {
	now := l.now()
	n.ID, n.AccountID, n.CreateTime = l.ids.make(prefixNotice, now), accountID, now
	_, err := tx.InsertNotice(ctx, n)
	return err
}

// Notify writes a notice, once for each source. An account that does not exist gets none.
func (l *Ledger) Notify(ctx context.Context, accountID string, n notices.Notice) error {
	err := l.store.Write(ctx, accountID, func(ctx context.Context, tx Tx) error {
		if _, err := tx.LockAccount(ctx, accountID); err != nil {
			return err
		}
		return l.notice(ctx, tx, accountID, n)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// noticeSubscription tells what a subscription has become.
func (l *Ledger) noticeSubscription(ctx context.Context, tx Tx, accountID string, in subscriptions.Input, st, before subscriptions.State) error {
	told, err := tx.NoticeSources(ctx, accountID)
	if err != nil {
		return err
	}
	for _, n := range subscriptions.Notices(in, st, before, told) {
		if err := l.notice(ctx, tx, accountID, n); err != nil {
			return err
		}
	}
	return nil
}

// noticeReversal tells that a payment for credit was refunded or disputed, unless that is history.
func (l *Ledger) noticeReversal(ctx context.Context, tx Tx, p Purchase, r subscriptions.Reversal) error {
	n, ok := r.Notice()
	if !ok || !r.Created.IsZero() && l.now().Sub(r.Created) > subscriptions.NoticeAge {
		return nil
	}
	n.Data.InvoiceID = p.Invoice
	return l.notice(ctx, tx, p.AccountID, n)
}

// noticeRefusedCharges tells of charges of overage that Stripe refuses.
func (l *Ledger) noticeRefusedCharges(ctx context.Context, tx Tx, accountID string) error {
	refused, err := tx.RefusedCharges(ctx, accountID)
	if err != nil {
		return err
	}
	for _, c := range refused {
		err := l.notice(ctx, tx, accountID, notices.Notice{
			Source: "charge:" + c.ID + ":refused", Kind: notices.OverageRefused,
			Data: notices.Data{Time: c.CreateTime, Amount: c.Cents * plans.Cent, SubscriptionID: c.SubscriptionID, ObjectID: c.ID},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
