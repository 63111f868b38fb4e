// Package customers makes an account's customer at Stripe, at its first purchase: one for each account, whatever fails.
package customers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

// Provider creates, finds and deletes customers. Errors are those of package outcome.
type Provider interface {
	// Create creates the account's customer and returns its id. It is idempotent by key.
	Create(ctx context.Context, accountID, key string) (id string, err error)
	// Find searches for the account's customer among those created since a time. It returns "" if the search finds no customer.
	Find(ctx context.Context, accountID string, since time.Time) (id string, err error)
	// Delete deletes a customer and cancels its subscriptions. A customer that Stripe does not have is deleted.
	Delete(ctx context.Context, id string) error
}

// Customer is an account's customer, or how far the attempts to make it are.
type Customer struct {
	AccountID string
	// ID is Stripe's; "" before the customer is created.
	ID string
	// Attempts counts the earlier attempts.
	Attempts int64
	// SpentKeys counts the idempotency keys that cannot be used again.
	SpentKeys int64
	// FirstTime is the time of the first attempt; zero before it.
	FirstTime time.Time
}

// Begin is an attempt.
type Begin struct {
	AccountID string
	Time      time.Time
}

// Store records which accounts have a customer.
type Store interface {
	// BeginCustomer reads the account's customer. For an account without a customer, it counts an attempt. An erased person gets no customer:
	// *ledger.ErasedError.
	BeginCustomer(ctx context.Context, b Begin) (Customer, error)
	// SpendCustomerKey counts a spent key.
	SpendCustomerKey(ctx context.Context, accountID string) error
	// SaveCustomer writes the customer's id.
	SaveCustomer(ctx context.Context, accountID, id string) error
	// CustomersOf lists all customers that an account ever had.
	CustomersOf(ctx context.Context, accountID string) ([]string, error)
}

const (
	// keyLife is how long a key is relied on. Stripe forgets keys after a day.
	keyLife = 20 * time.Hour
	// findMargin allows for clocks that differ from the provider's clock.
	findMargin = time.Hour
)

// Options holds the dependencies of Customers. All are required.
type Options struct {
	Store    Store
	Provider Provider
	Now      func() time.Time
}

// Customers makes customers.
type Customers struct{ Options }

// New makes Customers.
func New(o Options) *Customers { return &Customers{o} }

// Ensure returns the id of the account's customer, and creates the customer if necessary. Only one call for an account may run at a time, in all
// processes. Errors: *ledger.ErasedError, those of package outcome and of the store.
func (c *Customers) Ensure(ctx context.Context, accountID string) (string, error) {
	now := c.Now()
	have, err := c.Store.BeginCustomer(ctx, Begin{AccountID: accountID, Time: now})
	if err != nil || have.ID != "" {
		return have.ID, err
	}
	id, err := c.findOrCreate(ctx, have, now)
	if unknown, ok := errors.AsType[*outcome.UnknownError](err); ok && unknown.Spent {
		err = errors.Join(err, c.Store.SpendCustomerKey(ctx, accountID))
	}
	if err != nil {
		return "", err
	}
	return id, c.Store.SaveCustomer(ctx, accountID, id)
}

// findOrCreate searches first when an earlier attempt may have succeeded and its key is no longer usable.
func (c *Customers) findOrCreate(ctx context.Context, have Customer, now time.Time) (string, error) {
	if have.Attempts > 0 && (have.SpentKeys > 0 || now.Sub(have.FirstTime) > keyLife) {
		id, err := c.Provider.Find(ctx, have.AccountID, have.FirstTime.Add(-findMargin))
		if err != nil || id != "" {
			return id, err
		}
	}
	id, err := c.Provider.Create(ctx, have.AccountID, key(have))
	if err == nil && id == "" {
		return "", fmt.Errorf("the provider made a customer without an id for %s", have.AccountID)
	}
	return id, err
}

// key returns the idempotency key: the account's id, with a number after keys were spent.
func key(c Customer) string {
	if c.SpentKeys == 0 {
		return c.AccountID
	}
	return c.AccountID + "/" + strconv.FormatInt(c.SpentKeys, 10)
}

// Forget deletes all customers that an account ever had at Stripe, which cancels their subscriptions.
func (c *Customers) Forget(ctx context.Context, accountID string) error {
	ids, err := c.Store.CustomersOf(ctx, accountID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.Provider.Delete(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
