// Package customers creates one Stripe customer for each account, in the background.
package customers

import (
	"context"
	"errors"
	"time"
)

// ErrKeySpent says that the provider answered an idempotency key with a server error, which it will repeat for that key.
// Whether the customer was created is unknown, and the next attempt needs another key.
var ErrKeySpent = errors.New("the provider failed and will repeat it for this idempotency key")

// Provider creates and finds customers.
type Provider interface {
	// Create creates the account's customer and returns its id. It is idempotent by key. Errors may wrap ErrKeySpent.
	Create(ctx context.Context, accountID, key string) (id string, err error)
	// Find searches for the account's customer among those created since a time. It returns "" if there is none.
	Find(ctx context.Context, accountID string, since time.Time) (id string, err error)
}

// Missing is an account without a customer.
type Missing struct {
	AccountID string
	// Attempts counts the attempts.
	Attempts int64
	// SpentKeys counts the idempotency keys that cannot be used again.
	SpentKeys int64
	// FirstTime is the time of the first attempt; zero before it.
	FirstTime time.Time
}

// Store records which accounts have a customer.
type Store interface {
	// MissingCustomers reads at most limit accounts without a customer that are due at a time.
	MissingCustomers(ctx context.Context, at time.Time, limit int) ([]Missing, error)
	// LeaseCustomer counts an attempt and postpones the next one. It returns false when another replica was faster.
	LeaseCustomer(ctx context.Context, m Missing, at, next time.Time) (bool, error)
	// SpendCustomerKey counts a spent key.
	SpendCustomerKey(ctx context.Context, accountID string) error
	// SaveCustomer writes the customer's id.
	SaveCustomer(ctx context.Context, accountID, id string) error
}
