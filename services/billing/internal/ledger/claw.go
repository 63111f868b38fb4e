package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Purchase is credit that was paid for. A payment may be for several: the parts of a month, and the months of a year.
type Purchase struct {
	// Key identifies it: the payment intent of a pack, or else the grant's source.
	Key, AccountID string
	// Source is that of the grant.
	Source string
	// Changes begins the sources of the grants that it shares with other changes of its month; "" for a grant of its own. See assign.
	Changes string
	// Payment is the payment intent, and Invoice the invoice; one of them may be empty.
	Payment, Invoice string
	// Credit is in nano-dollars, and Total, with tax, in the currency's smallest unit.
	Credit, Total int64
	// Clawed is the credit that was taken back, and Waiting what will be when the calls end that hold it, in nano-dollars.
	Clawed, Waiting int64
}

// FollowReversal takes credit back after a refund, a dispute or a credit note, and gives it back when the dispute is won, the refund failed or the
// credit note was voided. Repeating it changes nothing.
func (l *Ledger) FollowReversal(ctx context.Context, tx Tx, accountID string, r subscriptions.Reversal) error {
	now := l.now()
	account, err := l.touchAside(ctx, tx, accountID, now)
	if err != nil {
		return err
	}
	if err := l.stopTopUp(ctx, tx, accountID, r.Paid, r); err != nil {
		return err
	}
	paid, err := tx.Purchases(ctx, r.Paid)
	if err != nil {
		return err
	}
	for _, p := range paid {
		if p.AccountID != accountID {
			continue
		}
		if err := l.noticeReversal(ctx, tx, p, r); err != nil {
			return err
		}
		if err := l.claw(ctx, tx, &account, p, r.ID, now); err != nil {
			return err
		}
	}
	for _, p := range paid {
		if err := l.clawShared(ctx, tx, &account, p, now); err != nil {
			return err
		}
	}
	return l.save(ctx, tx, &account)
}

// stopTopUp turns an automatic top-up off after a dispute, and after a refund of what it bought: the card must not be charged again.
func (l *Ledger) stopTopUp(ctx context.Context, tx Tx, accountID, paid string, r subscriptions.Reversal) error {
	if r.Amount <= 0 {
		return nil
	}
	now := l.now()
	stop := TopUpStop{AccountID: accountID, Disputed: r.Disputed(), Paid: paid, Time: r.Created}
	if stop.Time.IsZero() {
		stop.Time = now
	}
	setUp, err := tx.StopTopUp(ctx, stop)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	problem := "refunded"
	if stop.Disputed {
		problem = "disputed"
	}
	return l.notice(ctx, tx, accountID, notices.TopUpOff(setUp, now, problem))
}

// purchased notes what paid for a grant, and takes back what was reversed before.
func (l *Ledger) purchased(ctx context.Context, tx Tx, account *Account, p Purchase, now time.Time) error {
	if p.Total <= 0 || p.Credit <= 0 {
		return nil // nothing was paid that could be taken back
	}
	fresh, err := tx.InsertPurchase(ctx, p)
	if err != nil || !fresh {
		return err
	}
	if err := l.tellReversed(ctx, tx, account, p); err != nil {
		return err
	}
	return l.claw(ctx, tx, account, p, p.Key, now)
}

// tellReversed does what the news of refunds and disputes do that came before their purchase.
func (l *Ledger) tellReversed(ctx context.Context, tx Tx, account *Account, p Purchase) error {
	reversed, err := tx.Reversed(ctx, p)
	if err != nil {
		return err
	}
	for _, r := range reversed {
		if err := l.noticeReversal(ctx, tx, p, r); err != nil {
			return err
		}
		if err := l.stopTopUp(ctx, tx, account.ID, cmp.Or(p.Payment, p.Invoice), r); err != nil {
			return err
		}
	}
	return nil
}

// claw makes the credit of a payment what refunds, disputes and credit notes leave of it. It takes only credit that is left: what was used stays used,
// and what open calls hold waits for their end. The reversal is the news; without news, claw only takes what has come back since, and gives nothing.
func (l *Ledger) claw(ctx context.Context, tx Tx, account *Account, p Purchase, reversal string, now time.Time) error {
	reversed, err := tx.Reversed(ctx, p)
	if err != nil {
		return err
	}
	target := subscriptions.ClawOf(p.Credit, p.Total, reversed)
	switch {
	case target > p.Clawed:
		after, err := l.takeBack(ctx, tx, account, p, target-p.Clawed, reversed, now)
		if err != nil || reversal == "" && after == p {
			return err
		}
		if used := target - after.Clawed - after.Waiting; used > 0 {
			l.log.WarnContext(ctx, "a payment was taken back whose credit is used or expired; that part stays with the account",
				slog.String("account", account.ID), slog.String("paid", p.Key), slog.Int64("nano_usd", used))
		}
		return tx.SetClawed(ctx, after)
	case p.Waiting > 0: // it was reversed and came back while calls held it
		p.Waiting = 0
		if err := tx.SetClawed(ctx, p); err != nil {
			return err
		}
	}
	if target == p.Clawed || reversal == "" {
		return nil
	}
	if err := l.restore(ctx, tx, account, p, reversal, p.Clawed-target, now); err != nil {
		return err
	}
	p.Clawed = target
	return tx.SetClawed(ctx, p)
}

// restore returns what a reversal had taken. The credit ends when it would have ended: if its time is over, only holds from before can still use it.
func (l *Ledger) restore(ctx context.Context, tx Tx, account *Account, p Purchase, reversal string, amount int64, now time.Time) error {
	bought, err := tx.GrantBySource(ctx, account.ID, p.Source)
	if err != nil {
		return err
	}
	g := Grant{Source: p.returned(reversal), Amount: amount, ExpireTime: bought.ExpireTime}
	for n := 2; ; n++ { // a dispute may be won more than once
		if _, err := tx.GrantBySource(ctx, account.ID, g.Source); errors.Is(err, ErrNotFound) {
			break
		} else if err != nil {
			return err
		}
		g.Source = again(p.returned(reversal), n)
	}
	if g.ExpireTime.After(now) {
		_, err = l.give(ctx, tx, account, g, now)
		return err
	}
	if _, err := l.insertGrant(ctx, tx, account, g, 0, now); err != nil {
		return err
	}
	return l.expire(ctx, tx, account, now)
}

// again is the source of the grant that returns credit for the nth time. The auditor knows its form.
func again(source string, n int) string { return fmt.Sprintf("%s#%d", source, n) }

// returned is the source of the grant that gives credit back. That of a subscription's credit ends with the subscription.
func (p Purchase) returned(reversal string) string {
	if strings.HasPrefix(p.Source, subscriptions.SourcePrefix) {
		return p.Source + ":" + sourceReturn + reversal
	}
	return sourceReturn + reversal
}

// takeBack takes credit from the purchase's grant, and then from those that returned its credit after a dispute was won or a refund failed. It returns the
// purchase as it is then.
func (l *Ledger) takeBack(ctx context.Context, tx Tx, account *Account, p Purchase, amount int64, reversed []subscriptions.Reversal, now time.Time) (Purchase, error) {
	short, held := amount, int64(0)
	grants, err := l.bought(ctx, tx, p, reversed)
	if err != nil {
		return p, err
	}
	for _, g := range grants {
		take := min(short, g.Remaining, max(0, account.Available()))
		if err := l.expireTo(ctx, tx, account, g, g.Remaining-take, now); err != nil {
			return p, err
		}
		short -= take
		held += g.Remaining - take
	}
	p.Clawed, p.Waiting = p.Clawed+amount-short, min(short, held)
	if p.Waiting > 0 {
		account.Due = dueAtOnce
	}
	return p, nil
}

// bought is the purchase's grant, and those that returned its credit; for a change, those of all changes of its month.
func (l *Ledger) bought(ctx context.Context, tx Tx, p Purchase, reversed []subscriptions.Reversal) (all []Grant, err error) {
	if p.Changes != "" {
		return tx.GrantsOf(ctx, p.AccountID, p.Changes)
	}
	g, err := tx.GrantBySource(ctx, p.AccountID, p.Source)
	if err != nil {
		return nil, err
	}
	all = append(all, g)
	sources := []string{p.returned(p.Key)} // earlier versions returned credit without news, by the key
	for _, r := range reversed {
		sources = append(sources, p.returned(r.ID))
	}
	for _, first := range sources {
		for source, n := first, 2; ; source, n = again(first, n), n+1 {
			g, err := tx.GrantBySource(ctx, p.AccountID, source)
			if errors.Is(err, ErrNotFound) {
				break
			}
			if err != nil {
				return nil, err
			}
			all = append(all, g)
		}
	}
	return all, nil
}

// dueAtOnce is the due time of an account whose held credit is to be taken back: whoever touches it next takes what calls have released.
var dueAtOnce = time.UnixMicro(0).UTC() //nolint:gochecknoglobals // a constant time

// clawReleased takes back what calls have released of credit that waits for it.
func (l *Ledger) clawReleased(ctx context.Context, tx Tx, account *Account, now time.Time) error {
	account.Due = account.PeriodEnd
	waiting, err := tx.WaitingPurchases(ctx, account.ID)
	if err != nil {
		return err
	}
	return l.clawAll(ctx, tx, account, waiting, now)
}

// clawCorrected takes back what the correction of a call's charge has returned to grants whose payment was taken back.
func (l *Ledger) clawCorrected(ctx context.Context, tx Tx, account *Account, now time.Time) error {
	reversed, err := tx.ReversedPurchases(ctx, account.ID)
	if err != nil {
		return err
	}
	return l.clawAll(ctx, tx, account, reversed, now)
}

// clawAll claws purchases without news.
func (l *Ledger) clawAll(ctx context.Context, tx Tx, account *Account, purchases []Purchase, now time.Time) error {
	for _, p := range purchases {
		if err := l.claw(ctx, tx, account, p, "", now); err != nil {
			return err
		}
	}
	return nil
}
