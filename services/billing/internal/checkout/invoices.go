package checkout

import "context"

// Invoice is an invoice at Stripe.
type Invoice struct {
	ID, Status, Currency, URL string
	// Total is in the currency's smallest unit.
	Total int64
	// Created is in seconds since 1970.
	Created int64
}

// Invoices reads a page of the account's invoices, newest first, after one. more tells whether there is another page. Errors: those of
// package outcome and of the store.
func (s *Service) Invoices(ctx context.Context, accountID, after string, limit int) (page []Invoice, more bool, err error) {
	customer, err := s.Store.Customer(ctx, accountID)
	if err != nil || customer == "" {
		return nil, false, err
	}
	page, more, err = s.Provider.Invoices(ctx, customer, after, limit)
	if err != nil {
		return nil, false, s.gone(ctx, customer, err)
	}
	return page, more && len(page) > 0, nil
}
