// Package stored knows who owns what providers keep: the responses of the Responses API and the items of their output.
package stored

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is returned for an id that is unknown or belongs to another account; nobody can tell the two apart.
var ErrNotFound = errors.New("stored: not found")

// ErrTaken is returned for a response whose id belongs to another account: the provider gave one id to two responses.
var ErrTaken = errors.New("stored: the id belongs to another account")

// Response is a response that a provider keeps.
type Response struct {
	// ID is the provider's id.
	ID string
	// Account is who owns the response, and User who made it.
	Account, User string
	// Model made the response, and Target keeps it.
	Model, Target string
	// Tokens is how many tokens the response has with everything before it; 0 when that is not known.
	Tokens int64
}

// Store keeps responses and the ids of their items.
type Store interface {
	// Put writes a response with items of its output, also one that is known: its items are added. It is found until
	// deletion, and due for deletion from then on; the response of a user who was erased is due at once. Error: ErrTaken.
	Put(ctx context.Context, r Response, items []string, now, deletion time.Time) error
	// PutRunning is Put for a response that its provider makes in the background. Both are written or none. Error: ErrTaken.
	PutRunning(ctx context.Context, r Response, running Running, deletion time.Time) error
	// Response returns a response of an account. Error: ErrNotFound.
	Response(ctx context.Context, account, id string, now time.Time) (Response, error)
	// OfItem returns the response of an account that has an item. Error: ErrNotFound.
	OfItem(ctx context.Context, account, item string, now time.Time) (Response, error)
	// Remove removes a response and its items. Unknown ones are not an error.
	Remove(ctx context.Context, id string) error
	// Mark makes all responses of a user not found, and due for deletion, also those that are written later.
	Mark(ctx context.Context, user string, now time.Time) error
	// OfUser returns up to limit responses of a user, those with the lowest ids above after.
	OfUser(ctx context.Context, user, after string, limit int) ([]Response, error)
	// Due returns up to limit responses that are due for deletion, and leaves them to the caller until retry.
	Due(ctx context.Context, now, retry time.Time, limit int) ([]Response, error)
}
