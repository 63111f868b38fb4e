package ledger

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Purchase is a payment that gave credit.
type Purchase struct {
	PaymentIntent, AccountID string
	// Source is that of the grant.
	Source string
	// Credit is in nano-dollars, and Total, with tax, in the currency's smallest unit.
	Credit, Total int64
	// Clawed is the credit that was taken back, in nano-dollars.
	Clawed int64
}

// FollowReversal takes credit back after a refund or a dispute, and gives it back when the dispute is won or the refund failed. Repeating it changes
// nothing.
func (l *Ledger) FollowReversal(ctx context.Context, tx Tx, accountID string, r subscriptions.Reversal) error {
	now := l.now()
	account, err := l.touch(ctx, tx, accountID, accountID, now)
	if err != nil {
		return err
	}
	if err := l.claw(ctx, tx, &account, r.PaymentIntent, r.ID, now); err != nil {
		return err
	}
	return l.save(ctx, tx, &account)
}

// claw makes the credit of a payment what refunds and disputes leave of it. It takes only credit that is left and not held: what was used stays
// used.
func (l *Ledger) claw(ctx context.Context, tx Tx, account *Account, paymentIntent, reversal string, now time.Time) error {
	p, err := tx.Purchase(ctx, paymentIntent)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	reversed, err := tx.Reversed(ctx, paymentIntent)
	if err != nil {
		return err
	}
	target := subscriptions.ClawOf(p.Credit, p.Total, reversed)
	if target > p.Clawed {
		return l.takeBack(ctx, tx, account, p, target-p.Clawed, reversed, now)
	}
	g, err := tx.GrantBySource(ctx, account.ID, p.Source)
	if err != nil {
		return err
	}
	if target < p.Clawed && g.ExpireTime.After(now) {
		given, err := l.give(ctx, tx, account, Grant{Source: sourceReturn + reversal, Amount: p.Clawed - target, ExpireTime: g.ExpireTime}, now)
		if err != nil || !given {
			return err
		}
		return tx.SetClawed(ctx, paymentIntent, target)
	}
	return nil
}

// takeBack takes credit from the purchase's grant, and then from those that returned its credit after a dispute was won or a refund failed.
func (l *Ledger) takeBack(ctx context.Context, tx Tx, account *Account, p Purchase, amount int64, reversed []subscriptions.Reversal, now time.Time) error {
	sources := []string{p.Source}
	for _, r := range reversed {
		sources = append(sources, sourceReturn+r.ID)
	}
	short := amount
	for _, source := range sources {
		g, err := tx.GrantBySource(ctx, account.ID, source)
		if errors.Is(err, ErrNotFound) && source != p.Source {
			continue
		}
		if err != nil {
			return err
		}
		take := min(short, g.Remaining, max(0, account.Available()))
		if err := l.expireTo(ctx, tx, account, g, g.Remaining-take, now); err != nil {
			return err
		}
		short -= take
	}
	if short > 0 {
		l.log.WarnContext(ctx, "a payment was taken back whose credit is used or held; that part stays with the account",
			slog.String("account", account.ID), slog.String("payment_intent", p.PaymentIntent), slog.Int64("nano_usd", short))
	}
	return tx.SetClawed(ctx, p.PaymentIntent, p.Clawed+amount-short)
}
