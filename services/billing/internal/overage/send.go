package overage

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

const (
	// findMargin allows for clocks that differ from Stripe's.
	findMargin = time.Hour
	// refusedRetry is after how long a charge that Stripe refused is sent again.
	refusedRetry = 24 * time.Hour
)

// calling is one attempt to advance a charge.
type calling struct {
	*Biller
	provider Provider
	c        Charge
	// again is true when an earlier attempt may have done something.
	again bool
}

// advance makes an invoice of the charge alone. A draft that is gone, because an operator deleted it, says nothing against the charge: another one is made.
func (c *calling) advance(ctx context.Context) error {
	err := c.invoice(ctx)
	if c.c.InvoiceID == "" || !outcome.Missing(err) {
		return err
	}
	c.c.InvoiceID, c.c.ItemID, c.again = "", "", true
	c.c.SpentKeys++ // the keys repeat the draft that is gone
	return c.invoice(ctx)
}

// invoice makes a draft, its item, and then it is final. It notes each result in c, where the next attempt finds it.
func (c *calling) invoice(ctx context.Context) (err error) {
	if c.c.InvoiceID == "" {
		if c.c.InvoiceID, err = c.draft(ctx); err != nil {
			return err
		}
		if err := c.Store.SaveCharge(ctx, c.c); err != nil {
			return err
		}
	}
	if c.c.ItemID == "" {
		if c.c.ItemID, err = c.item(ctx); err != nil {
			return err
		}
	}
	if err := c.provider.FinalizeInvoice(ctx, c.c.InvoiceID); err != nil {
		return err
	}
	c.c.State, c.c.Problem = StateInvoiced, ""
	return nil
}

// customer is the account's customer at Stripe.
func (c *calling) customer(ctx context.Context) error {
	if c.c.CustomerID != "" {
		return nil
	}
	customer, err := c.Store.Customer(ctx, c.c.AccountID)
	if err == nil && customer == "" {
		err = &outcome.RefusedError{Status: http.StatusNotFound, Message: "the account has no customer at Stripe any more"}
	}
	c.c.CustomerID = customer
	return err
}

func (c *calling) draft(ctx context.Context) (string, error) {
	if err := c.customer(ctx); err != nil {
		return "", err
	}
	if c.again {
		id, err := c.provider.FindOverageInvoice(ctx, c.c.CustomerID, c.c.ID, c.c.CreateTime.Add(-findMargin))
		if err != nil || id != "" {
			return id, err
		}
	}
	return c.provider.NewOverageInvoice(ctx, NewInvoice{
		ChargeID: c.c.ID, Customer: c.c.CustomerID, Subscription: c.c.SubscriptionID, AutomaticTax: c.AutomaticTax, Key: c.key("invoice"),
	})
}

func (c *calling) item(ctx context.Context) (string, error) {
	if c.again {
		id, err := c.provider.FindOverageItem(ctx, c.c.InvoiceID, c.c.ID)
		if err != nil || id != "" {
			return id, err
		}
	}
	n := NewItem{
		ChargeID: c.c.ID, Customer: c.c.CustomerID, Invoice: c.c.InvoiceID, Cents: c.c.Cents, Description: "Usage beyond the included credit", Key: c.key("item"),
	}
	if plan, ok := c.Plans.Get(c.c.Plan); ok {
		n.Description = fmt.Sprintf("%s: usage beyond the included credit", plan.Name)
		n.TaxBehavior, n.TaxCode = plan.TaxBehavior, plan.TaxCode
	}
	return c.provider.NewOverageItem(ctx, n)
}

func (c *calling) key(kind string) string {
	return fmt.Sprintf("trivet/%s/%s/%d", c.c.ID, kind, c.c.SpentKeys)
}

// leased is a provider that keeps the lease before each call, so that a slow Stripe never lets two processes send one charge.
type leased struct {
	provider Provider
	keep     func(context.Context) error
}

func (l leased) FindOverageItem(ctx context.Context, invoiceID, chargeID string) (string, error) {
	if err := l.keep(ctx); err != nil {
		return "", err
	}
	return l.provider.FindOverageItem(ctx, invoiceID, chargeID)
}

func (l leased) NewOverageItem(ctx context.Context, n NewItem) (string, error) {
	if err := l.keep(ctx); err != nil {
		return "", err
	}
	return l.provider.NewOverageItem(ctx, n)
}

func (l leased) FindOverageInvoice(ctx context.Context, customer, chargeID string, since time.Time) (string, error) {
	if err := l.keep(ctx); err != nil {
		return "", err
	}
	return l.provider.FindOverageInvoice(ctx, customer, chargeID, since)
}

func (l leased) NewOverageInvoice(ctx context.Context, n NewInvoice) (string, error) {
	if err := l.keep(ctx); err != nil {
		return "", err
	}
	return l.provider.NewOverageInvoice(ctx, n)
}

func (l leased) FinalizeInvoice(ctx context.Context, id string) error {
	if err := l.keep(ctx); err != nil {
		return err
	}
	return l.provider.FinalizeInvoice(ctx, id)
}
