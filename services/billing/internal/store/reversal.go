package store

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// SaveReversal writes, within a transaction, what a refund, a dispute or a credit note took back of a payment. It returns the account that paid for
// credit with it; ledger.ErrNotFound for none.
func (s *Store) SaveReversal(ctx context.Context, t database.Tx, r subscriptions.Reversal) (accountID string, err error) {
	q := db.New(t)
	if err := lockPayment(ctx, q, r.Paid); err != nil {
		return "", err
	}
	if err := q.PutReversal(ctx, db.PutReversalParams{ID: r.ID, PaymentIntent: r.Paid, Amount: r.Amount, Refund: r.Refund}); err != nil {
		return "", err
	}
	rows, err := q.ListPurchases(ctx, r.Paid)
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

func (u *unit) InsertPurchase(ctx context.Context, p ledger.Purchase) (bool, error) {
	for _, paid := range []string{p.Invoice, p.Payment} {
		if err := lockPayment(ctx, u.q, paid); err != nil {
			return false, err
		}
	}
	n, err := u.q.InsertPurchase(ctx, db.InsertPurchaseParams{
		PaymentIntent: p.Key, AccountID: p.AccountID, Source: p.Source, Credit: p.Credit, Total: p.Total, Payment: p.Payment, Invoice: p.Invoice,
	})
	return n > 0, err
}

func (u *unit) Purchases(ctx context.Context, paid string) ([]ledger.Purchase, error) {
	rows, err := u.q.ListPurchases(ctx, paid)
	return toPurchases(rows), err
}

func (u *unit) WaitingPurchases(ctx context.Context, accountID string) ([]ledger.Purchase, error) {
	rows, err := u.q.ListWaitingPurchases(ctx, accountID)
	return toPurchases(rows), err
}

func toPurchases(rows []db.Purchase) (all []ledger.Purchase) {
	for _, r := range rows {
		p := ledger.Purchase{
			Key: r.PaymentIntent, AccountID: r.AccountID, Source: r.Source, Payment: r.Payment, Invoice: r.Invoice, Credit: r.Credit, Total: r.Total,
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
		all = append(all, subscriptions.Reversal{ID: row.ID, Amount: row.Amount})
	}
	return all, err
}

func (u *unit) SetClawed(ctx context.Context, p ledger.Purchase) error {
	return u.q.SetClawed(ctx, db.SetClawedParams{Clawed: p.Clawed, Waiting: p.Waiting, PaymentIntent: p.Key})
}
