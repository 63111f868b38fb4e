package stripe

import (
	"context"
	"time"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/customer"
	"github.com/stripe/stripe-go/v76/paymentmethod"

	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

var _ topup.Provider = (*Client)(nil)

// PaymentMethod chooses the payment method: the subscription's, else the customer's default, else the customer's newest card; "" for none.
func (c *Client) PaymentMethod(ctx context.Context, customerID, subscriptionID string) (string, error) {
	if subscriptionID != "" {
		if method, err := c.methodOf(ctx, subscriptionID, customerID); err != nil || method != "" {
			return method, err
		}
	}
	params := &sdk.CustomerParams{}
	cus, err := call(ctx, c, &params.Context, func() (*sdk.Customer, error) {
		return customer.Client{B: c.backend, Key: c.key}.Get(customerID, params)
	})
	if err != nil {
		return "", err
	}
	if s := cus.InvoiceSettings; s != nil && s.DefaultPaymentMethod != nil && s.DefaultPaymentMethod.ID != "" {
		return s.DefaultPaymentMethod.ID, nil
	}
	list := &sdk.PaymentMethodListParams{Customer: sdk.String(customerID)}
	list.Type = sdk.String(string(sdk.PaymentMethodTypeCard)) // others take days, or ask the payer
	list.Single, list.Limit = true, sdk.Int64(1)
	page, err := call(ctx, c, &list.Context, func() (*sdk.PaymentMethodList, error) {
		iter := paymentmethod.Client{B: c.backend, Key: c.key}.List(list)
		return iter.PaymentMethodList(), iter.Err()
	})
	if err != nil || len(page.Data) == 0 {
		return "", err
	}
	return page.Data[0].ID, nil
}

// FindTopUpInvoice searches for the invoice of a purchase.
func (c *Client) FindTopUpInvoice(ctx context.Context, customerID, chargeID string, since time.Time) (string, error) {
	return c.findInvoice(ctx, customerID, subscriptions.MetadataTopUp, chargeID, since)
}

// NewTopUpInvoice makes a draft that Stripe leaves alone.
func (c *Client) NewTopUpInvoice(ctx context.Context, n topup.NewInvoice) (string, error) {
	params := &sdk.InvoiceParams{
		Customer: sdk.String(n.Customer), Currency: sdk.String(string(sdk.CurrencyUSD)), AutoAdvance: sdk.Bool(false),
		CollectionMethod:            sdk.String(string(sdk.InvoiceCollectionMethodChargeAutomatically)),
		PendingInvoiceItemsBehavior: sdk.String("exclude"), Description: sdk.String("Automatic top-up"),
	}
	if n.AutomaticTax {
		params.AutomaticTax = &sdk.InvoiceAutomaticTaxParams{Enabled: sdk.Bool(true)}
	}
	params.AddMetadata(subscriptions.MetadataTopUp, n.ChargeID)
	params.SetIdempotencyKey(n.Key)
	made, err := call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().New(params) })
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

// FindTopUpItem searches an invoice for the item of a purchase.
func (c *Client) FindTopUpItem(ctx context.Context, invoiceID, chargeID string) (string, error) {
	return c.findItem(ctx, invoiceID, subscriptions.MetadataTopUp, chargeID)
}

// NewTopUpItem adds a pack to a draft. No discount counts for it: a coupon is for what a person buys.
func (c *Client) NewTopUpItem(ctx context.Context, n topup.NewItem) (string, error) {
	params := &sdk.InvoiceItemParams{
		Customer: sdk.String(n.Customer), Invoice: sdk.String(n.Invoice), Price: sdk.String(n.Price), Quantity: sdk.Int64(1), Discountable: sdk.Bool(false),
	}
	params.AddMetadata(subscriptions.MetadataTopUp, n.ChargeID)
	params.SetIdempotencyKey(n.Key)
	made, err := call(ctx, c, &params.Context, func() (*sdk.InvoiceItem, error) { return c.items().New(params) })
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

// InvoiceStatus reads an invoice's status.
func (c *Client) InvoiceStatus(ctx context.Context, id string) (string, error) {
	read := &sdk.InvoiceParams{}
	inv, err := call(ctx, c, &read.Context, func() (*sdk.Invoice, error) { return c.invoices().Get(id, read) })
	if err != nil {
		return "", err
	}
	return string(inv.Status), nil
}

// FinalizeForPayment makes a draft final. Stripe does not collect it by itself, because a declined card is not to be tried again.
func (c *Client) FinalizeForPayment(ctx context.Context, id string) error {
	params := &sdk.InvoiceFinalizeInvoiceParams{AutoAdvance: sdk.Bool(false)}
	_, err := call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().FinalizeInvoice(id, params) })
	return err
}

// PayInvoice charges an open invoice once, without the payer, and returns its status.
func (c *Client) PayInvoice(ctx context.Context, id, method, key string) (string, error) {
	params := &sdk.InvoicePayParams{PaymentMethod: sdk.String(method), OffSession: sdk.Bool(true)}
	params.SetIdempotencyKey(key)
	inv, err := call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().Pay(id, params) })
	if err != nil {
		return "", err
	}
	return string(inv.Status), nil
}

// CloseInvoice voids an open invoice and deletes a draft.
func (c *Client) CloseInvoice(ctx context.Context, id string) error {
	status, err := c.InvoiceStatus(ctx, id)
	switch {
	case outcome.Missing(err):
		return nil
	case err != nil:
		return err
	}
	switch sdk.InvoiceStatus(status) { //nolint:exhaustive // of others nothing is left to do
	case sdk.InvoiceStatusDraft:
		params := &sdk.InvoiceParams{}
		_, err = call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().Del(id, params) })
	case sdk.InvoiceStatusOpen, sdk.InvoiceStatusUncollectible:
		params := &sdk.InvoiceVoidInvoiceParams{}
		_, err = call(ctx, c, &params.Context, func() (*sdk.Invoice, error) { return c.invoices().VoidInvoice(id, params) })
	}
	if outcome.Missing(err) { // an earlier try has deleted it
		return nil
	}
	return err
}
