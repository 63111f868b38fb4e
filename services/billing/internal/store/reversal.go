package store

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// SaveReversal writes, within a transaction, what a refund or a dispute took back of a payment. It returns the account that paid for credit with
// it; ledger.ErrNotFound for none.
func (s *Store) SaveReversal(ctx context.Context, t database.Tx, r subscriptions.Reversal) (accountID string, err error) {
	q := db.New(t)
	if err := lockPayment(ctx, q, r.PaymentIntent); err != nil {
		return "", err
	}
	if err := q.PutReversal(ctx, db.PutReversalParams{ID: r.ID, PaymentIntent: r.PaymentIntent, Amount: r.Amount}); err != nil {
		return "", err
	}
	row, err := q.GetPurchase(ctx, r.PaymentIntent)
	return row.AccountID, translate(err)
}

// lockPayment has a purchase and the reversals of its payment written one after the other, so that the later one sees the earlier. Its row is a
// reversal of nothing.
func lockPayment(ctx context.Context, q *db.Queries, paymentIntent string) error {
	if paymentIntent == "" {
		return nil
	}
	return q.PutReversal(ctx, db.PutReversalParams{ID: "payment:" + paymentIntent, PaymentIntent: paymentIntent})
}

func (u *unit) InsertPurchase(ctx context.Context, p ledger.Purchase) error {
	if err := lockPayment(ctx, u.q, p.PaymentIntent); err != nil {
		return err
	}
	return u.q.InsertPurchase(ctx, db.InsertPurchaseParams{PaymentIntent: p.PaymentIntent, AccountID: p.AccountID, Source: p.Source, Credit: p.Credit, Total: p.Total})
}

func (u *unit) Purchase(ctx context.Context, paymentIntent string) (ledger.Purchase, error) {
	r, err := u.q.GetPurchase(ctx, paymentIntent)
	return ledger.Purchase{PaymentIntent: r.PaymentIntent, AccountID: r.AccountID, Source: r.Source, Credit: r.Credit, Total: r.Total, Clawed: r.Clawed}, translate(err)
}

func (u *unit) Reversed(ctx context.Context, paymentIntent string) (all []subscriptions.Reversal, err error) {
	rows, err := u.q.ListReversals(ctx, paymentIntent)
	for _, row := range rows {
		all = append(all, subscriptions.Reversal{ID: row.ID, PaymentIntent: paymentIntent, Amount: row.Amount})
	}
	return all, err
}

func (u *unit) SetClawed(ctx context.Context, paymentIntent string, clawed int64) error {
	return u.q.SetClawed(ctx, db.SetClawedParams{Clawed: clawed, PaymentIntent: paymentIntent})
}
