package store

import (
	"context"
	"errors"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// SaveReversal writes, within a transaction, what a refund, a dispute or a credit note took back of a payment. It returns the account that paid for
// credit with it; ledger.ErrNotFound for none. The account of a known purchase is locked first, because decisions lock their account before a payment.
func (s *Store) SaveReversal(ctx context.Context, t database.Tx, r subscriptions.Reversal) (accountID string, err error) {
	q := db.New(t)
	switch accountID, err = purchaser(ctx, q, r.Paid); {
	case err == nil:
		err = s.sql.accounts.each(ctx, t, []string{accountID}, func(database.Scanner) error { return nil })
	case errors.Is(err, ledger.ErrNotFound): // or its transaction has not committed, so ask again behind the lock
		err = nil
	}
	if err != nil {
		return "", err
	}
	if err := lockPayment(ctx, q, r.Paid); err != nil {
		return "", err
	}
	if err := q.PutReversal(ctx, db.PutReversalParams{ID: r.ID, PaymentIntent: r.Paid, Amount: r.Amount, Refund: r.Refund}); err != nil {
		return "", err
	}
	return purchaser(ctx, q, r.Paid)
}

// purchaser finds the account that paid for credit; ledger.ErrNotFound for none.
func purchaser(ctx context.Context, q *db.Queries, paid string) (accountID string, err error) {
	rows, err := q.ListPurchases(ctx, paid)
	if err != nil {
		return "", translate(err)
	}
	if len(rows) == 0 {
		return "", ledger.ErrNotFound
	}
	return rows[0].AccountID, nil
}

// lockPayment has a purchase and the reversals of its payment written one after the other, so that the later one sees the earlier. Its row is a
// reversal of nothing.
func lockPayment(ctx context.Context, q *db.Queries, paid string) error {
	if paid == "" {
		return nil
	}
	return q.PutReversal(ctx, db.PutReversalParams{ID: "payment:" + paid, PaymentIntent: paid})
}

// InsertPurchase locks the payment only for a purchase that is new: an account that is followed again meets all its purchases again.
func (u *unit) InsertPurchase(ctx context.Context, p ledger.Purchase) (bool, error) {
	if known, err := u.q.HasPurchase(ctx, p.Key); err != nil || known {
		return false, err
	}
	for _, paid := range []string{p.Invoice, p.Payment} {
		if err := lockPayment(ctx, u.q, paid); err != nil {
			return false, err
		}
	}
	n, err := u.q.InsertPurchase(ctx, db.InsertPurchaseParams{
		PaymentIntent: p.Key, AccountID: p.AccountID, Source: p.Source, Changes: p.Changes, Credit: p.Credit, Total: p.Total, Payment: p.Payment, Invoice: p.Invoice,
	})
	return n > 0, err
}

func (u *unit) Purchases(ctx context.Context, paid string) ([]ledger.Purchase, error) {
	rows, err := u.q.ListPurchases(ctx, paid)
	return toPurchases(rows), err
}

func (u *unit) PurchasesOf(ctx context.Context, accountID, source string) ([]ledger.Purchase, error) {
	rows, err := u.q.ListPurchasesOf(ctx, db.ListPurchasesOfParams{AccountID: accountID, Source: source})
	return toPurchases(rows), err
}

func (u *unit) DeletePurchase(ctx context.Context, p ledger.Purchase) error {
	return u.q.DeletePurchase(ctx, p.Key)
}

func (u *unit) WaitingPurchases(ctx context.Context, accountID string) ([]ledger.Purchase, error) {
	rows, err := u.q.ListWaitingPurchases(ctx, accountID)
	return toPurchases(rows), err
}

func (u *unit) ReversedPurchases(ctx context.Context, accountID string) ([]ledger.Purchase, error) {
	rows, err := u.q.ListReversedPurchases(ctx, accountID)
	return toPurchases(rows), err
}

func toPurchases(rows []db.Purchase) (all []ledger.Purchase) {
	for _, r := range rows {
		p := ledger.Purchase{
			Key: r.PaymentIntent, AccountID: r.AccountID, Source: r.Source, Changes: r.Changes, Payment: r.Payment, Invoice: r.Invoice, Credit: r.Credit, Total: r.Total,
			Clawed: r.Clawed, Waiting: r.Waiting,
		}
		if p.Payment == "" && p.Invoice == "" {
			p.Payment = p.Key
		}
		all = append(all, p)
	}
	return all
}

func (u *unit) Reversed(ctx context.Context, p ledger.Purchase) (all []subscriptions.Reversal, err error) {
	rows, err := u.q.ListReversals(ctx, db.ListReversalsParams{Payment: p.Payment, Invoice: p.Invoice})
	for _, row := range rows {
		all = append(all, subscriptions.Reversal{ID: row.ID, Amount: row.Amount, Refund: row.Refund, Created: toTimeOrZero(row.CreateTime)})
	}
	return all, err
}

func (u *unit) SetClawed(ctx context.Context, p ledger.Purchase) error {
	return u.q.SetClawed(ctx, db.SetClawedParams{Clawed: p.Clawed, Waiting: p.Waiting, PaymentIntent: p.Key})
}
