package checkout_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

// invoices is a customer with many open invoices, the newest first.
type invoices struct {
	checkout.Store
	checkout.Provider
	open  []checkout.Invoice
	lists int
}

func (i *invoices) Customer(context.Context, string) (string, error) { return "cus_1", nil }

func (i *invoices) Invoices(_ context.Context, customer, status, after string, limit int) (page []checkout.Invoice, more bool, err error) {
	i.lists++
	if customer != "cus_1" || status != "open" {
		return nil, false, fmt.Errorf("listed %s invoices of %s", status, customer)
	}
	begun := after == ""
	for _, inv := range i.open {
		if begun && len(page) == limit {
			return page, true, nil
		}
		if begun {
			page = append(page, inv)
		}
		begun = begun || inv.ID == after
	}
	return page, false, nil
}

func (i *invoices) Invoice(_ context.Context, id string) (checkout.Invoice, error) {
	for _, inv := range i.open {
		if inv.ID == id {
			return inv, nil
		}
	}
	return checkout.Invoice{}, &outcome.RefusedError{Code: "resource_missing"}
}

func manyInvoices(n int) *invoices {
	i := &invoices{}
	for k := range n {
		id := fmt.Sprintf("in_%d", k)
		i.open = append(i.open, checkout.Invoice{ID: id, Customer: "cus_1", Status: "open", URL: "https://pay.example.test/" + id})
	}
	return i
}

// The links of open invoices are found behind newer ones, until all are found, among the newest 1,000.
func TestPayURLs(t *testing.T) {
	for name, c := range map[string]struct {
		open    int
		id, url string
		lists   int
	}{
		"the newest":                 {250, "in_0", "https://pay.example.test/in_0", 1},
		"the last of a page":         {250, "in_99", "https://pay.example.test/in_99", 1},
		"the first of the next":      {250, "in_100", "https://pay.example.test/in_100", 2},
		"the oldest":                 {250, "in_249", "https://pay.example.test/in_249", 3},
		"a paid one":                 {250, "in_paid", "", 3},
		"of a customer without":      {0, "in_0", "", 1},
		"the last that is read":      {2000, "in_999", "https://pay.example.test/in_999", 10},
		"beyond the newest thousand": {2000, "in_1000", "", 10},
	} {
		t.Run(name, func(t *testing.T) {
			i := manyInvoices(c.open)
			s := checkout.New(checkout.Options{Store: i, Provider: i})
			urls, err := s.PayURLs(t.Context(), "org_1", map[string]bool{c.id: true})
			require.NoError(t, err)
			require.Equal(t, c.url, urls[c.id])
			require.Equal(t, c.lists, i.lists)
		})
	}
}

// An invoice is read however old it is, and only for its own customer.
func TestInvoice(t *testing.T) {
	i := manyInvoices(250)
	i.open[7].Customer = "cus_other"
	s := checkout.New(checkout.Options{Store: i, Provider: i})
	for id, want := range map[string]checkout.Invoice{"in_249": i.open[249], "in_7": {}, "in_gone": {}} {
		got, err := s.Invoice(t.Context(), "org_1", id)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
