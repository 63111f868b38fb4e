package stripe

import (
	"context"
	"errors"
	"time"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/invoice"
	"github.com/stripe/stripe-go/v76/invoiceitem"
	"github.com/stripe/stripe-go/v76/subscription"

	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

var _ overage.Provider = (*Client)(nil)

func (c *Client) items() invoiceitem.Client { return invoiceitem.Client{B: c.backend, Key: c.key} }
func (c *Client) invoices() invoice.Client  { return invoice.Client{B: c.backend, Key: c.key} }

// NewOverageItem makes an invoice item. No discount counts for it: a coupon is for the plan's price.
func (c *Client) NewOverageItem(ctx context.Context, n overage.NewItem) (string, error) {
	params := &sdk.InvoiceItemParams{
		Customer: sdk.String(n.Customer), Amount: sdk.Int64(n.Cents), Currency: sdk.String(string(sdk.CurrencyUSD)), Description: sdk.String(n.Description),
		Invoice: sdk.String(n.Invoice), TaxBehavior: optional(n.TaxBehavior), TaxCode: optional(n.TaxCode), Discountable: sdk.Bool(false),
	}
	params.AddMetadata(subscriptions.MetadataOverage, n.ChargeID)
	params.SetIdempotencyKey(n.Key)
	made, err := call(ctx, c, &params.Context, func() (*sdk.InvoiceItem, error) { return c.items().New(params) })
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

// optional leaves an empty parameter out.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// FindOverageItem searches for the item of a charge on its invoice, which has no other unless an operator has added some.
func (c *Client) FindOverageItem(ctx context.Context, invoiceID, chargeID string) (string, error) {
	return c.findItem(ctx, invoiceID, subscriptions.MetadataOverage, chargeID)
}

// findItem searches an invoice for the item that has a charge's id as metadata.
func (c *Client) findItem(ctx context.Context, invoiceID, metadata, chargeID string) (string, error) {
	params := &sdk.InvoiceItemListParams{Invoice: sdk.String(invoiceID)}
	params.Limit = sdk.Int64(100)
	params.Single = true
	page, err := call(ctx, c, &params.Context, func() (*sdk.InvoiceItemList, error) {
		iter := c.items().List(params)
		return iter.InvoiceItemList(), iter.Err()
	})
	if err != nil {
		return "", err
	}
	for _, item := range page.Data {
		if item.Metadata[metadata] == chargeID {
			return item.ID, nil
		}
	}
	if page.HasMore {
		return "", errTooMany
	}
	return "", nil
}

// errTooMany says that a search did not reach its end.
var errTooMany = &outcome.UnknownError{Err: errors.New("stripe: a customer has too many invoices or invoice items to look one up")}

// NewOverageInvoice makes a draft, to be paid by the payment method of the subscription if it has one.
func (c *Client) NewOverageInvoice(ctx context.Context, n overage.NewInvoice) (string, error) {
	method, err := c.methodOf(ctx, n.Subscription, n.Customer)
	if err != nil {
		return "", err
	}
	id, err := c.newOverageInvoice(ctx, n, method)
	if refused, ok := errors.AsType[*outcome.RefusedError](err); ok && method != "" && refused.Param == "default_payment_method" {
		n.Key += "/default" // the method was detached since: the customer's default pays
		return c.newOverageInvoice(ctx, n, "")
	}
	return id, err
}

func (c *Client) newOverageInvoice(ctx context.Context, n overage.NewInvoice, method string) (string, error) {
	params := &sdk.InvoiceParams{
		Customer: sdk.String(n.Customer), Currency: sdk.String(string(sdk.CurrencyUSD)), AutoAdvance: sdk.Bool(false),
		CollectionMethod:            sdk.String(string(sdk.InvoiceCollectionMethodChargeAutomatically)),
		PendingInvoiceItemsBehavior: sdk.String("exclude"), DefaultPaymentMethod: optional(method),
	}
	if n.AutomaticTax {
		params.AutomaticTax = &sdk.InvoiceAutomaticTaxParams{Enabled: sdk.Bool(true)}
	}
	params.AddMetadata(subscriptions.MetadataOverage, n.ChargeID)
	params.SetIdempotencyKey(n.Key)
	made, err := call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().New(params) })
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

// methodOf returns the payment method of a subscription, or "" if the subscription has none or belongs to another customer.
func (c *Client) methodOf(ctx context.Context, id, customer string) (string, error) {
	params := &sdk.SubscriptionParams{}
	s, err := call(ctx, c, &params.Context, func() (*sdk.Subscription, error) {
		return subscription.Client{B: c.backend, Key: c.key}.Get(id, params)
	})
	switch {
	case outcome.Missing(err):
		return "", nil
	case err != nil:
		return "", err
	case s.DefaultPaymentMethod == nil || s.Customer == nil || s.Customer.ID != customer:
		return "", nil
	}
	return s.DefaultPaymentMethod.ID, nil
}

// FindOverageInvoice searches for the invoice of a charge.
func (c *Client) FindOverageInvoice(ctx context.Context, customer, chargeID string, since time.Time) (string, error) {
	return c.findInvoice(ctx, customer, subscriptions.MetadataOverage, chargeID, since)
}

// findInvoice searches the customer's invoices for the one that has a charge's id as metadata.
func (c *Client) findInvoice(ctx context.Context, customer, metadata, chargeID string, since time.Time) (string, error) {
	params := &sdk.InvoiceListParams{Customer: sdk.String(customer), CreatedRange: &sdk.RangeQueryParams{GreaterThanOrEqual: since.Unix()}}
	params.Limit = sdk.Int64(100)
	params.Single = true
	for range findPages {
		page, err := call(ctx, c, &params.Context, func() (*sdk.InvoiceList, error) {
			iter := c.invoices().List(params)
			return iter.InvoiceList(), iter.Err()
		})
		if err != nil {
			return "", err
		}
		for _, inv := range page.Data {
			if inv.Metadata[metadata] == chargeID {
				return inv.ID, nil
			}
		}
		if !page.HasMore || len(page.Data) == 0 {
			return "", nil
		}
		params.StartingAfter = sdk.String(page.Data[len(page.Data)-1].ID)
	}
	return "", errTooMany
}

// FinalizeInvoice makes a draft final, and has Stripe collect it.
func (c *Client) FinalizeInvoice(ctx context.Context, id string) error {
	read := &sdk.InvoiceParams{}
	inv, err := call(ctx, c, &read.Context, func() (*sdk.Invoice, error) { return c.invoices().Get(id, read) })
	if err != nil || inv.Status != sdk.InvoiceStatusDraft {
		return err
	}
	params := &sdk.InvoiceFinalizeInvoiceParams{AutoAdvance: sdk.Bool(true)}
	_, err = call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().FinalizeInvoice(id, params) })
	return err
}
