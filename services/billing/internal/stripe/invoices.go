package stripe

import (
	"context"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/invoice"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
)

// Invoices reads a page of a customer's invoices with a status, newest first, after one. "" means all statuses.
func (c *Client) Invoices(ctx context.Context, customer, status, after string, limit int) (page []checkout.Invoice, more bool, err error) {
	params := &sdk.InvoiceListParams{Customer: sdk.String(customer)}
	params.Single, params.Limit = true, sdk.Int64(int64(limit))
	if status != "" {
		params.Status = sdk.String(status)
	}
	if after != "" {
		params.StartingAfter = sdk.String(after)
	}
	list, err := call(ctx, c, &params.Context, func() (*sdk.InvoiceList, error) {
		found := invoice.Client{B: c.backend, Key: c.key}.List(params)
		return found.InvoiceList(), found.Err()
	})
	if err != nil {
		return nil, false, err
	}
	for _, inv := range list.Data {
		page = append(page, toInvoice(inv))
	}
	return page, list.HasMore, nil
}

// Invoice reads an invoice of any customer.
func (c *Client) Invoice(ctx context.Context, id string) (checkout.Invoice, error) {
	params := &sdk.InvoiceParams{}
	inv, err := call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().Get(id, params) })
	if err != nil {
		return checkout.Invoice{}, err
	}
	return toInvoice(inv), nil
}

func toInvoice(inv *sdk.Invoice) checkout.Invoice {
	out := checkout.Invoice{
		ID: inv.ID, Status: string(inv.Status), Currency: string(inv.Currency), URL: inv.HostedInvoiceURL, Total: inv.Total, Created: inv.Created,
	}
	if inv.Customer != nil {
		out.Customer = inv.Customer.ID
	}
	return out
}
