// Package customers creates one Stripe customer for each account, in the background.
package customers

import (
	"context"
	"errors"
	"time"
)

// ErrKeySpent says that the provider answered an idempotency key with a failure of its own, which it will repeat for that key:
// whether the customer was made is unknown, and the next attempt needs another key.
var ErrKeySpent = errors.New("the provider failed and will repeat it for this idempotency key")

// Provider is where the customers are.
type Provider interface {
	// Create makes the account's customer and returns its id; the same key makes it once. Errors may wrap ErrKeySpent.
	Create(ctx context.Context, accountID, key string) (id string, err error)
	// Find searches the customers created since then for the account's; "" if it finds none.
	Find(ctx context.Context, accountID string, since time.Time) (id string, err error)
}

// Missing is an account without a customer.
type Missing struct {
	// AccountID is the account.
	AccountID string
	// Attempts is how often it was tried.
	Attempts int64
	// SpentKeys is how many idempotency keys are of no more use.
	SpentKeys int64
	// FirstTime is when it was first tried; zero before.
	FirstTime time.Time
}

// Store keeps which accounts have a customer.
type Store interface {
	// MissingCustomers reads at most limit accounts without a customer whose turn it is at that time.
	MissingCustomers(ctx context.Context, at time.Time, limit int) ([]Missing, error)
	// LeaseCustomer counts an attempt at that time and puts the next one off; false when another replica was faster.
	LeaseCustomer(ctx context.Context, m Missing, at, next time.Time) (bool, error)
	// SpendCustomerKey counts a spent key.
	SpendCustomerKey(ctx context.Context, accountID string) error
	// SaveCustomer writes the customer's id.
	SaveCustomer(ctx context.Context, accountID, id string) error
}
