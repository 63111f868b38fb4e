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
	c Charge
	// again is true when an earlier attempt may have done something.
	again bool
}

// advance makes an invoice of the charge alone: a draft, its item, and then it is final. It notes each result in c, where the next attempt finds it.
func (c *calling) advance(ctx context.Context) (err error) {
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
	if err := c.Provider.FinalizeInvoice(ctx, c.c.InvoiceID); err != nil {
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
		id, err := c.Provider.FindOverageInvoice(ctx, c.c.CustomerID, c.c.ID, c.c.CreateTime.Add(-findMargin))
		if err != nil || id != "" {
			return id, err
		}
	}
	return c.Provider.NewOverageInvoice(ctx, NewInvoice{
		ChargeID: c.c.ID, Customer: c.c.CustomerID, Subscription: c.c.SubscriptionID, AutomaticTax: c.AutomaticTax, Key: c.key("invoice"),
	})
}

func (c *calling) item(ctx context.Context) (string, error) {
	if c.again {
		id, err := c.Provider.FindOverageItem(ctx, c.c.InvoiceID, c.c.ID)
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
	return c.Provider.NewOverageItem(ctx, n)
}

func (c *calling) key(kind string) string {
	return fmt.Sprintf("trivet/%s/%s/%d", c.c.ID, kind, c.c.SpentKeys)
}
