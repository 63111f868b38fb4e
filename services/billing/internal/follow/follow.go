// Package follow brings accounts up to what was mirrored of Stripe, in the transaction that writes the mirrored object.
package follow

import (
	"context"
	"errors"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Store finds accounts, and decides about them within a transaction.
type Store interface {
	// AccountOf finds the account of a customer at Stripe. An unknown customer gives ledger.ErrNotFound.
	AccountOf(ctx context.Context, t database.Tx, customer string) (accountID string, err error)
	// DropCustomer notes that Stripe has deleted a customer.
	DropCustomer(ctx context.Context, t database.Tx, customer string) error
	// SaveReversal notes what a refund, a dispute or a credit note took back, and finds the account that paid for credit; ledger.ErrNotFound for none.
	SaveReversal(ctx context.Context, t database.Tx, r subscriptions.Reversal) (accountID string, err error)
	// Within runs a decision about an account in an open transaction.
	Within(ctx context.Context, t database.Tx, accountID string, fn func(ctx context.Context, tx ledger.Tx) error) error
}

// Ledger decides about an account.
type Ledger interface {
	// Follow follows the account's subscription.
	Follow(ctx context.Context, tx ledger.Tx, accountID string) error
	// FollowCheckout gives the credit that a checkout session paid for.
	FollowCheckout(ctx context.Context, tx ledger.Tx, accountID string, body []byte) error
	// FollowTopUp gives the credit that the invoice of an automatic top-up paid for.
	FollowTopUp(ctx context.Context, tx ledger.Tx, accountID string, body []byte) error
	// FollowReversal takes credit back, or gives it back.
	FollowReversal(ctx context.Context, tx ledger.Tx, accountID string, r subscriptions.Reversal) error
}

// Follower follows objects.
type Follower struct {
	Store  Store
	Ledger Ledger
}

// Written does what follows from an object that was written; see mirror.Then.
func (f *Follower) Written(ctx context.Context, t database.Tx, o mirror.Object) error {
	decide := func(ctx context.Context, tx ledger.Tx, accountID string) error {
		return f.Ledger.Follow(ctx, tx, accountID)
	}
	customer := o.Customer
	switch o.Kind {
	case mirror.Subscription, mirror.Schedule:
		if o.Deleted {
			return nil
		}
	case mirror.Invoice:
		if o.Deleted {
			return nil // a draft; Stripe deletes nothing that was paid
		}
		decide = func(ctx context.Context, tx ledger.Tx, accountID string) error {
			return errors.Join(f.Ledger.Follow(ctx, tx, accountID), f.Ledger.FollowTopUp(ctx, tx, accountID, o.Body))
		}
	case mirror.CheckoutSession:
		if o.Deleted {
			return nil
		}
		decide = func(ctx context.Context, tx ledger.Tx, accountID string) error {
			return f.Ledger.FollowCheckout(ctx, tx, accountID, o.Body)
		}
	case mirror.Refund, mirror.Dispute, mirror.CreditNote:
		if o.Deleted {
			return nil
		}
		return f.reversed(ctx, t, o)
	case mirror.Customer:
		if !o.Deleted {
			return nil
		}
		customer = o.ID
		if err := f.Store.DropCustomer(ctx, t, customer); err != nil {
			return err
		}
	default:
		return nil
	}
	if customer == "" {
		return nil
	}
	accountID, err := f.Store.AccountOf(ctx, t, customer)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil // a customer of another app at the same Stripe account
	}
	if err != nil {
		return err
	}
	return f.within(ctx, t, accountID, decide)
}

// reversed follows a refund, a dispute or a credit note.
func (f *Follower) reversed(ctx context.Context, t database.Tx, o mirror.Object) error {
	r, err := subscriptions.ParseReversal(o.Body)
	if err != nil || r.Paid == "" {
		return err
	}
	accountID, err := f.Store.SaveReversal(ctx, t, r)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil // not for credit, or the purchase is not known yet
	}
	if err != nil {
		return err
	}
	return f.within(ctx, t, accountID, func(ctx context.Context, tx ledger.Tx, accountID string) error {
		return f.Ledger.FollowReversal(ctx, tx, accountID, r)
	})
}

func (f *Follower) within(ctx context.Context, t database.Tx, accountID string, decide func(context.Context, ledger.Tx, string) error) error {
	err := f.Store.Within(ctx, t, accountID, func(ctx context.Context, tx ledger.Tx) error { return decide(ctx, tx, accountID) })
	if _, erased := errors.AsType[*ledger.ErasedError](err); erased {
		return nil
	}
	return err
}
