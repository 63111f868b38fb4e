package checkout

import (
	"context"

	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

// Invoice is an invoice at Stripe.
type Invoice struct {
	ID, Customer, Status, Currency, URL string
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
	page, more, err = s.Provider.Invoices(ctx, customer, "", after, limit)
	if err != nil {
		return nil, false, s.gone(ctx, customer, err)
	}
	return page, more && len(page) > 0, nil
}

// Bounds of PayURLs: Stripe returns at most 100 invoices at once.
const (
	openInvoices = 100
	openPages    = 10
)

// PayURLs reads the payment links of the open invoices with these ids, among the account's newest 1,000 open ones. Errors: those of Invoices.
func (s *Service) PayURLs(ctx context.Context, accountID string, ids map[string]bool) (map[string]string, error) {
	customer, err := s.Store.Customer(ctx, accountID)
	if err != nil || customer == "" {
		return nil, err
	}
	urls := map[string]string{}
	after := ""
	for range openPages {
		page, more, err := s.Provider.Invoices(ctx, customer, "open", after, openInvoices)
		if err != nil {
			return nil, s.gone(ctx, customer, err)
		}
		for _, inv := range page {
			if ids[inv.ID] {
				urls[inv.ID] = inv.URL
			}
			after = inv.ID
		}
		if !more || len(page) == 0 || len(urls) == len(ids) {
			break
		}
	}
	return urls, nil
}

// Invoice reads one of the account's invoices, however old; a zero Invoice for one that Stripe does not have, and for one of another customer. Errors: those
// of Invoices.
func (s *Service) Invoice(ctx context.Context, accountID, id string) (Invoice, error) {
	customer, err := s.Store.Customer(ctx, accountID)
	if err != nil || customer == "" {
		return Invoice{}, err
	}
	inv, err := s.Provider.Invoice(ctx, id)
	if outcome.Missing(err) || err == nil && inv.Customer != customer {
		return Invoice{}, nil
	}
	return inv, err
}
