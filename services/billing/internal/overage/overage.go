// Package overage has Stripe invoice what accounts use beyond their credit: each charge once, whatever fails.
//
// The ledger makes the charges, in whole cents, and commits them. This package sends each as an invoice of its own. The invoice and its item carry the
// charge's id, so that a call whose outcome is unknown is looked up before it is made again.
package overage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// State is how far a charge is.
type State string

// The states of a charge.
const (
	// StateNew is to be sent.
	StateNew State = "new"
	// StateInvoiced is on an invoice.
	StateInvoiced State = "invoiced"
	// StateRefused was refused by Stripe. It is sent again after a day.
	StateRefused State = "refused"
)

// Charge is a charge and how far it is.
type Charge struct {
	ledger.OverageCharge
	State State
	// NextTime is when it is sent next.
	NextTime time.Time
	// Attempts counts the earlier attempts, and SpentKeys the idempotency keys that cannot be used again.
	Attempts, SpentKeys int64
	// CustomerID, ItemID and InvoiceID are Stripe's; "" for none.
	CustomerID, ItemID, InvoiceID string
	// Problem is why Stripe refused it.
	Problem string
}

// Period is the overage of a period, in nano-dollars.
type Period struct {
	Start, End time.Time
	Amount     int64
}

// NewItem is an invoice item to make.
type NewItem struct {
	// ChargeID is stored with the item.
	ChargeID, Customer string
	// Invoice is the draft that it is for.
	Invoice     string
	Cents       int64
	Description string
	// TaxBehavior and TaxCode are the plan's.
	TaxBehavior, TaxCode string
	// Key is the idempotency key.
	Key string
}

// NewInvoice is a draft to make.
type NewInvoice struct {
	// ChargeID is stored with the invoice.
	ChargeID, Customer string
	// Subscription is whose payment method pays.
	Subscription string
	AutomaticTax bool
	// Key is the idempotency key.
	Key string
}

// Provider calls Stripe. Errors are those of package outcome.
type Provider interface {
	// FindOverageItem searches an invoice for the item of a charge. It returns "" if there is none.
	FindOverageItem(ctx context.Context, invoiceID, chargeID string) (id string, err error)
	// NewOverageItem makes an item that no discount counts for. It is idempotent by key.
	NewOverageItem(ctx context.Context, n NewItem) (id string, err error)
	// FindOverageInvoice searches the customer's invoices since a time for that of a charge. It returns "" if there is none.
	FindOverageInvoice(ctx context.Context, customer, chargeID string, since time.Time) (id string, err error)
	// NewOverageInvoice makes a draft that has no items and does not advance. It is idempotent by key.
	NewOverageInvoice(ctx context.Context, n NewInvoice) (id string, err error)
	// FinalizeInvoice makes a draft final and has Stripe collect it. An invoice that is final stays as it is.
	FinalizeInvoice(ctx context.Context, id string) error
}

// Store keeps the charges.
type Store interface {
	// DueOverage lists at most limit accounts whose charge is due.
	DueOverage(ctx context.Context, at time.Time, limit int) (accountIDs []string, err error)
	// PostponeOverage has a charge that is still due at now wait until next. The others behind it must have their turn.
	PostponeOverage(ctx context.Context, accountID string, now, next time.Time) error
	// OpenCharges lists at most limit charges that are to be sent by now.
	OpenCharges(ctx context.Context, at time.Time, limit int) ([]Charge, error)
	// SaveCharge writes how far a charge is.
	SaveCharge(ctx context.Context, c Charge) error
	// Customer reads the account's customer; "" for none.
	Customer(ctx context.Context, accountID string) (string, error)
}

// Ledger makes charges.
type Ledger interface {
	ChargeOverage(ctx context.Context, accountID string) (charged bool, err error)
	// FollowOverage closes the overage of an account that has a refused charge, and opens it again.
	FollowOverage(ctx context.Context, accountID string) error
}

// Plans knows the versions of plans.
type Plans interface {
	Get(ref string) (plans.Plan, bool)
}

// Options holds the dependencies of a Biller. All are required, except AutomaticTax.
type Options struct {
	Store    Store
	Ledger   Ledger
	Provider Provider
	Plans    Plans
	Now      func() time.Time
	Logger   *slog.Logger
	// AutomaticTax lets Stripe work out the tax.
	AutomaticTax bool
}

// Biller makes charges and sends them.
type Biller struct{ Options }

// New makes a Biller.
func New(o Options) *Biller { return &Biller{o} }

// batch is how many accounts, and how many charges, are read at once.
const batch = 100

// chargeRetry is after how long a charge is made again that could not be made.
const chargeRetry = time.Hour

// Run makes the charges that are due, and sends what is open. One process at a time may run it. It calls keep before each charge that it makes and
// before each call at Stripe, and ends with its error. An account or a charge that fails does not keep others from their turn.
func (b *Biller) Run(ctx context.Context, keep func(context.Context) error) error {
	err := b.make(ctx, keep)
	if err != nil && ctx.Err() != nil {
		return err
	}
	return errors.Join(err, b.sendAll(ctx, keep))
}

func (b *Biller) make(ctx context.Context, keep func(context.Context) error) error {
	for {
		due, err := b.Store.DueOverage(ctx, b.Now(), batch)
		if err != nil || len(due) == 0 {
			return err
		}
		var failed []error
		for _, accountID := range due {
			if err := keep(ctx); err != nil {
				return err
			}
			if _, err := b.Ledger.ChargeOverage(ctx, accountID); err != nil {
				failed = append(failed, fmt.Errorf("charge the overage of %s: %w", accountID, err))
				if err := b.Store.PostponeOverage(ctx, accountID, b.Now(), b.Now().Add(chargeRetry)); err != nil {
					return errors.Join(append(failed, err)...)
				}
			}
		}
		if len(failed) > 0 || len(due) < batch {
			return errors.Join(failed...)
		}
	}
}

func (b *Biller) sendAll(ctx context.Context, keep func(context.Context) error) error {
	for {
		open, err := b.Store.OpenCharges(ctx, b.Now(), batch)
		if err != nil || len(open) == 0 {
			return err
		}
		for _, c := range open {
			switch err := b.step(ctx, c, keep); {
			case errors.Is(err, errStopped):
				return nil
			case err != nil:
				return err
			}
		}
	}
}

// retryAfter is the pause after an attempt that did not succeed: from 15 seconds, doubled each time, to an hour.
func retryAfter(attempts int64) time.Duration {
	return min(15*time.Second<<min(max(attempts-1, 0), 10), time.Hour)
}

// errStopped says that Stripe does not serve now: the others wait for the next run.
var errStopped = errors.New("overage: Stripe does not serve now")

// step sends a charge and writes how far it is. It keeps the lease before each call at Stripe. Its errors are errStopped and those of keep and of the store.
func (b *Biller) step(ctx context.Context, c Charge, keep func(context.Context) error) error {
	if err := keep(ctx); err != nil {
		return err
	}
	call := &calling{Biller: b, provider: leased{b.Provider, keep}, c: c, again: c.Attempts > 0}
	call.c.Attempts++
	call.c.NextTime = b.Now().Add(retryAfter(call.c.Attempts))
	// The attempt is stored before the call, so that after a crash the next one looks first.
	if err := b.Store.SaveCharge(ctx, call.c); err != nil {
		return err
	}
	err := call.judge(ctx, call.advance(ctx))
	if err != nil && !errors.Is(err, errStopped) {
		return err
	}
	err = errors.Join(err, b.Store.SaveCharge(ctx, call.c))
	if call.c.State == StateRefused || c.State == StateRefused { // also when it was refused before: a process may have died between the two writes
		err = errors.Join(err, b.Ledger.FollowOverage(ctx, c.AccountID))
	}
	return err
}

// judge notes what a call's error means. It returns errStopped and errors of the store.
func (c *calling) judge(ctx context.Context, err error) error {
	attributes := []any{slog.String("account", c.c.AccountID), slog.String("charge", c.c.ID), slog.Any("error", err)}
	if unknown, ok := errors.AsType[*outcome.UnknownError](err); ok {
		if unknown.Spent {
			c.c.SpentKeys++
		}
		c.Logger.WarnContext(ctx, "it is unknown whether a charge of overage reached Stripe; looking it up later", attributes...)
		return errStopped
	}
	if busy, ok := errors.AsType[*outcome.BusyError](err); ok {
		if later := c.Now().Add(busy.After); later.After(c.c.NextTime) {
			c.c.NextTime = later
		}
		return errStopped
	}
	refused, ok := errors.AsType[*outcome.RefusedError](err)
	switch {
	case !ok:
		return err
	case refused.Type == "idempotency_error": // the call's parameters have changed; what the earlier one did is looked up
		c.c.SpentKeys++
		return nil
	case refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden: // another key may be allowed
		c.Logger.ErrorContext(ctx, "Stripe refused a charge of overage; check the permissions of STRIPE_SECRET_KEY for invoices", attributes...)
		return errStopped
	case refused.Status < http.StatusBadRequest || refused.Status == http.StatusTooManyRequests: // it says nothing about the charge
		c.Logger.WarnContext(ctx, "Stripe did not take a charge of overage; sending it again later", attributes...)
		return errStopped
	}
	if err := c.refuse(ctx, refused); err != nil {
		return err
	}
	c.Logger.ErrorContext(ctx, "Stripe refused a charge of overage; correct the cause: the charge is sent again each day, and until it is taken the account gets no more overage", attributes...)
	return nil
}

// refuse notes that Stripe refused a charge. The next attempt begins anew when the draft is gone, or belongs to a customer that the account does
// not have any more: Stripe never collects a draft that is not finalized.
func (c *calling) refuse(ctx context.Context, why error) error {
	c.c.State, c.c.Problem, c.c.NextTime = StateRefused, why.Error(), c.Now().Add(refusedRetry)
	c.c.SpentKeys++
	present, err := c.Store.Customer(ctx, c.c.AccountID)
	if err != nil {
		return err
	}
	if c.c.InvoiceID == "" || outcome.Missing(why) || present != c.c.CustomerID {
		c.c.InvoiceID, c.c.ItemID, c.c.CustomerID = "", "", ""
	}
	return nil
}
