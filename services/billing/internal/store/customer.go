package store

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

var _ customers.Store = (*Store)(nil)

// BeginCustomer reads an account's customer, and counts an attempt to make one; see customers.Store.
func (s *Store) BeginCustomer(ctx context.Context, b customers.Begin) (c customers.Customer, err error) {
	err = s.write(ctx, b.AccountID, func(ctx context.Context, q *db.Queries) error {
		erased, err := q.IsErasedUser(ctx, hash(b.AccountID))
		if err != nil {
			return err
		}
		if erased > 0 {
			return &ledger.ErasedError{AccountID: b.AccountID}
		}
		if err := q.InsertCustomer(ctx, b.AccountID); err != nil {
			return err
		}
		row, err := q.GetCustomerRow(ctx, b.AccountID)
		if err != nil {
			return err
		}
		c = customers.Customer{
			AccountID: b.AccountID, ID: row.StripeID, Attempts: row.Attempts, SpentKeys: row.SpentKeys, FirstTime: toTimeOrZero(row.FirstTime),
		}
		if row.StripeID != "" {
			return nil
		}
		return q.BeginCustomer(ctx, db.BeginCustomerParams{AtTime: b.Time.UnixMicro(), AccountID: b.AccountID})
	})
	return c, err
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
		if err := q.InsertStripeCustomer(ctx, db.InsertStripeCustomerParams{StripeID: id, AccountID: accountID}); err != nil {
			return err
		}
		return q.InsertErasedCustomerOf(ctx, db.InsertErasedCustomerOfParams{StripeID: id, AccountHash: hash(accountID)})
	})
}

// Customer reads an account's customer id; "" while it has none.
func (s *Store) Customer(ctx context.Context, accountID string) (string, error) {
	id, err := s.read.GetCustomer(ctx, accountID)
	if _, err = one(err); err != nil {
		return "", translate(err)
	}
	return id, nil
}

// CustomersOf lists all customers that an account ever had.
func (s *Store) CustomersOf(ctx context.Context, accountID string) ([]string, error) {
	ids, err := s.read.ListCustomersOfAccount(ctx, accountID)
	return ids, translate(err)
}

func (s *Store) write(ctx context.Context, key string, fn func(context.Context, *db.Queries) error) error {
	return translate(s.db.Write(ctx, key, func(ctx context.Context, t database.Tx) error { return fn(ctx, db.New(t)) }))
}
