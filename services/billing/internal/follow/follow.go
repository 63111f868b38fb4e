// Package follow brings accounts up to what was mirrored of Stripe, in the transaction that writes the mirrored object.
package follow

import (
	"context"
	"errors"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// Store finds accounts, and decides about them within a transaction.
type Store interface {
	// AccountOf finds the account of a customer at Stripe; ledger.ErrNotFound if there is none.
	AccountOf(ctx context.Context, t database.Tx, customer string) (accountID string, err error)
	// DropCustomer notes that Stripe has deleted a customer.
	DropCustomer(ctx context.Context, t database.Tx, customer string) error
	// Within runs a decision about an account in an open transaction.
	Within(ctx context.Context, t database.Tx, accountID string, fn func(ctx context.Context, tx ledger.Tx) error) error
}

// Ledger decides about an account.
type Ledger interface {
	// Follow follows the account's subscription.
	Follow(ctx context.Context, tx ledger.Tx, accountID string) error
	// FollowCheckout gives the credit that a checkout session paid for.
	FollowCheckout(ctx context.Context, tx ledger.Tx, accountID string, body []byte) error
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
	case mirror.Subscription, mirror.Invoice:
		if o.Deleted {
			return nil // a draft invoice; Stripe deletes nothing that was paid
		}
	case mirror.CheckoutSession:
		if o.Deleted {
			return nil
		}
		decide = func(ctx context.Context, tx ledger.Tx, accountID string) error {
			return f.Ledger.FollowCheckout(ctx, tx, accountID, o.Body)
		}
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
	err = f.Store.Within(ctx, t, accountID, func(ctx context.Context, tx ledger.Tx) error { return decide(ctx, tx, accountID) })
	if _, erased := errors.AsType[*ledger.ErasedError](err); erased {
		return nil
	}
	return err
}
