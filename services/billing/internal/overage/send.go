package overage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

const (
	// findMargin allows for clocks that differ from Stripe's.
	findMargin = time.Hour
	// lookAfter is how long after a renewal it is looked whether its invoice has the charge, and lookInterval is how often after that.
	lookAfter    = 2 * time.Hour
	lookInterval = 24 * time.Hour
	// patience is how long a charge waits for the renewal's invoice. After that it gets an invoice of its own.
	patience = 3 * 24 * time.Hour
)

// calling is one attempt to advance a charge.
type calling struct {
	*Biller
	c Charge
	// again is true when an earlier attempt may have done something.
	again bool
}

// advance does what is left to do. It notes each result in c, where the next attempt finds it.
func (c *calling) advance(ctx context.Context) error {
	if c.c.State == StateSent {
		return c.look(ctx)
	}
	if c.c.CustomerID == "" {
		customer, err := c.Store.Customer(ctx, c.c.AccountID)
		if err != nil {
			return err
		}
		if customer == "" {
			return &outcome.RefusedError{Status: http.StatusNotFound, Message: "the account has no customer at Stripe any more"}
		}
		c.c.CustomerID = customer
	}
	if c.c.RenewTime.IsZero() {
		return c.invoice(ctx)
	}
	return c.attach(ctx)
}

// attach makes an item that waits for the subscription's next invoice. Once the renewal is over, the charge gets an invoice of its own.
func (c *calling) attach(ctx context.Context) error {
	item, err := c.find(ctx)
	if err != nil {
		return err
	}
	if item.ID == "" && !c.Now().Before(c.c.RenewTime) {
		c.c.RenewTime = time.Time{}
		return c.invoice(ctx)
	}
	if item.ID == "" {
		n := c.item()
		n.Subscription = c.c.SubscriptionID
		item, err = c.Provider.NewOverageItem(ctx, n)
		if _, refused := errors.AsType[*outcome.RefusedError](err); refused { // the subscription may have ended
			c.c.RenewTime = time.Time{}
			c.c.SpentKeys++
			return c.invoice(ctx)
		}
		if err != nil {
			return err
		}
	}
	c.c.ItemID, c.c.State, c.c.NextTime = item.ID, StateSent, c.c.RenewTime.Add(lookAfter)
	return nil
}

// look finds out whether an item that waits is on an invoice. One that waits for too long, because the subscription did not renew, is replaced
// by an invoice.
func (c *calling) look(ctx context.Context) error {
	item, err := c.Provider.OverageItem(ctx, c.c.ItemID)
	switch {
	case outcome.Missing(err) && c.c.RenewTime.IsZero(): // an earlier attempt has deleted it
		c.replace()
		return nil
	case err != nil:
		return err
	case item.InvoiceID != "":
		c.c.InvoiceID, c.c.State = item.InvoiceID, StateInvoiced
		return nil
	case !c.c.RenewTime.IsZero() && c.Now().Before(c.c.RenewTime.Add(patience)):
		c.c.NextTime = c.Now().Add(lookInterval)
		return nil
	}
	c.c.RenewTime = time.Time{} // noted before the item is deleted: one that an operator has deleted is not replaced
	if err := c.Store.SaveCharge(ctx, c.c); err != nil {
		return err
	}
	if err := c.Provider.DeleteOverageItem(ctx, item.ID); err != nil && !outcome.Missing(err) {
		return err
	}
	c.replace()
	return nil
}

// replace sends a charge again, on an invoice of its own.
func (c *calling) replace() {
	c.c.ItemID, c.c.State, c.c.NextTime = "", StateNew, c.Now()
	c.c.SpentKeys++
}

// invoice makes an invoice of the charge alone: a draft, its item, and then it is final.
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
		item, err := c.find(ctx)
		if err == nil && item.ID == "" {
			n := c.item()
			n.Invoice = c.c.InvoiceID
			item, err = c.Provider.NewOverageItem(ctx, n)
		}
		if err != nil {
			return err
		}
		c.c.ItemID = item.ID
	}
	if err := c.Provider.FinalizeInvoice(ctx, c.c.InvoiceID); err != nil {
		return err
	}
	c.c.State = StateInvoiced
	return nil
}

func (c *calling) draft(ctx context.Context) (string, error) {
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

// find looks for the item of an earlier attempt.
func (c *calling) find(ctx context.Context) (Item, error) {
	if !c.again {
		return Item{}, nil
	}
	return c.Provider.FindOverageItem(ctx, c.c.CustomerID, c.c.ID, c.c.CreateTime.Add(-findMargin))
}

func (c *calling) item() NewItem {
	n := NewItem{ChargeID: c.c.ID, Customer: c.c.CustomerID, Cents: c.c.Cents, Description: "Usage beyond the included credit", Key: c.key("item")}
	if plan, ok := c.Plans.Get(c.c.Plan); ok {
		n.Description = fmt.Sprintf("%s: usage beyond the included credit", plan.Name)
		n.TaxBehavior, n.TaxCode = plan.TaxBehavior, plan.TaxCode
	}
	return n
}

func (c *calling) key(kind string) string {
	return fmt.Sprintf("trivet/%s/%s/%d", c.c.ID, kind, c.c.SpentKeys)
}
