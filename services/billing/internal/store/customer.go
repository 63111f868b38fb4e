package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// MissingCustomers reads accounts without a customer whose turn it is.
func (s *Store) MissingCustomers(ctx context.Context, at time.Time, limit int) ([]customers.Missing, error) {
	rows, err := s.read.ListMissingCustomers(ctx, db.ListMissingCustomersParams{AtTime: at.UnixMicro(), Most: int64(limit)})
	missing := make([]customers.Missing, 0, len(rows))
	for _, r := range rows {
		missing = append(missing, customers.Missing{
			AccountID: r.AccountID, Attempts: r.Attempts, SpentKeys: r.SpentKeys, FirstTime: toTimeOrZero(r.FirstTime),
		})
	}
	return missing, translate(err)
}

// LeaseCustomer counts an attempt and puts the next one off; false when another replica was faster.
func (s *Store) LeaseCustomer(ctx context.Context, m customers.Missing, at, next time.Time) (bool, error) {
	var n int64
	err := s.write(ctx, m.AccountID, func(ctx context.Context, q *db.Queries) (err error) {
		n, err = q.LeaseCustomer(ctx, db.LeaseCustomerParams{
			AccountID: m.AccountID, Attempts: m.Attempts, AtTime: at.UnixMicro(), NextTime: next.UnixMicro(),
		})
		return err
	})
	return n > 0, err
}

// SpendCustomerKey counts a spent key.
func (s *Store) SpendCustomerKey(ctx context.Context, accountID string) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error { return q.SpendCustomerKey(ctx, accountID) })
}

// SaveCustomer writes the customer's id; the first one stays.
func (s *Store) SaveCustomer(ctx context.Context, accountID, id string) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		if err := q.SaveCustomer(ctx, db.SaveCustomerParams{AccountID: accountID, StripeID: id}); err != nil {
			return err
		}
		return q.InsertErasedCustomerOf(ctx, db.InsertErasedCustomerOfParams{StripeID: id, AccountHash: hash(accountID)})
	})
}

// Customer reads an account's customer id; "" while it has none.
func (s *Store) Customer(ctx context.Context, accountID string) (string, error) {
	id, err := s.read.GetCustomer(ctx, accountID)
	return id, translate(err)
}

func (s *Store) write(ctx context.Context, key string, fn func(context.Context, *db.Queries) error) error {
	return translate(s.db.Write(ctx, key, func(ctx context.Context, t database.Tx) error { return fn(ctx, db.New(t)) }))
}
