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

// payableInvoices is how many of the account's newest invoices PayURLs and Invoice look at.
const payableInvoices = 100

// PayURLs reads the payment links of the open invoices with these ids, among the account's newest 100. Errors: those of Invoices.
func (s *Service) PayURLs(ctx context.Context, accountID string, ids map[string]bool) (map[string]string, error) {
	found, _, err := s.Invoices(ctx, accountID, "", payableInvoices)
	if err != nil {
		return nil, err
	}
	urls := map[string]string{}
	for _, inv := range found {
		if ids[inv.ID] && inv.Status == "open" {
			urls[inv.ID] = inv.URL
		}
	}
	return urls, nil
}

// Invoice reads one of the account's newest 100 invoices; a zero Invoice for another. Errors: those of Invoices.
func (s *Service) Invoice(ctx context.Context, accountID, id string) (Invoice, error) {
	found, _, err := s.Invoices(ctx, accountID, "", payableInvoices)
	if err != nil {
		return Invoice{}, err
	}
	for _, inv := range found {
		if inv.ID == id {
			return inv, nil
		}
	}
	return Invoice{}, nil
}
