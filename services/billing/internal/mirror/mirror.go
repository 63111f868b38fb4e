// Package mirror stores Stripe's objects as they were last fetched. An event is only a hint that an object changed, so the mirror fetches
// the object. It numbers each fetch before it asks Stripe and stores the answer only if no later fetch was stored: the latest fetch wins,
// whatever the order of the events and of the answers.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
)

// Stripe is the source of Stripe's webhooks in the inbox.
const Stripe = intake.Source

var (
	// ErrGone says that Stripe does not have the object.
	ErrGone = errors.New("mirror: Stripe has no such object")
	// ErrRefused says that Stripe rejects the key, or does not permit it the call.
	ErrRefused = errors.New("mirror: Stripe rejected STRIPE_SECRET_KEY")
	// ErrNotFound says that the store has neither the object nor its tombstone.
	ErrNotFound = errors.New("mirror: the object is not stored")
)

// LaterError says that Stripe must not be called again before After has passed: it is rate limiting, or down.
type LaterError struct {
	Err   error
	After time.Duration
}

// Error returns Stripe's error and the delay.
func (e *LaterError) Error() string { return fmt.Sprintf("%v; retry in %v", e.Err, e.After) }

// Unwrap returns Stripe's error.
func (e *LaterError) Unwrap() error { return e.Err }

// SilentError says that Stripe did not answer a read, or failed. The object may be readable later.
type SilentError struct{ Err error }

// Error returns the cause.
func (e *SilentError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SilentError) Unwrap() error { return e.Err }

// Source fetches objects.
type Source interface {
	// Get fetches an object at the pinned API version, with all rows of the lists in it. Errors: ErrGone, *LaterError,
	// *SilentError, and others that a retry may resolve.
	Get(ctx context.Context, kind Kind, id string) (body []byte, err error)
	Lister
}

// Store stores the objects.
type Store interface {
	// TakeSequence returns the next sequence number of an object, after a durable commit.
	TakeSequence(ctx context.Context, kind Kind, id string) (int64, error)
	// PutObject writes the result of a fetch, unless a later fetch was written.
	PutObject(ctx context.Context, tx database.Tx, o Object) (written bool, err error)
	// WriteObject is PutObject in its own transaction, in which then runs if the object was written.
	WriteObject(ctx context.Context, o Object, then Then) (written bool, err error)
	// AdoptObject writes an object that was never fetched, under the first number. then runs in its transaction if it was written.
	AdoptObject(ctx context.Context, o Object, then Then) (written bool, err error)
	// Object reads an object or its tombstone. Errors: ErrNotFound.
	Object(ctx context.Context, kind Kind, id string) (Object, error)
	// CustomerObjects reads a customer's objects of a kind in the order of their ids, after one id and without tombstones.
	CustomerObjects(ctx context.Context, customer string, kind Kind, after string, limit int) ([]Object, error)
}

// Then runs in the transaction that has written an object. It may run more than once.
type Then func(ctx context.Context, tx database.Tx, o Object) error

// Options holds the dependencies of a Mirror.
type Options struct {
	Inbox *inbox.Inbox
	Store Store
	// Source is nil without a Stripe key. Then events wait.
	Source Source
	// Applied counts events by type and outcome: "changed", "removed", "late" (a later fetch was written) or "none" (the kind
	// is not stored).
	Applied func(ctx context.Context, kind, outcome string)
	Now     func() time.Time
	// Written does what follows from a written object, in the same transaction; nil for nothing.
	Written Then
}

// Mirror applies events.
type Mirror struct{ Options }

// New makes a Mirror.
func New(o Options) *Mirror {
	if o.Written == nil {
		o.Written = func(context.Context, database.Tx, Object) error { return nil }
	}
	return &Mirror{Options: o}
}

const (
	// workers leaves some of the inbox's workers to other sources.
	workers = 8
	// attempt leaves time for a few reads.
	attempt = 50 * time.Second
)

// Handle handles Stripe's events: one fetch serves all events that wait for an object.
func (m *Mirror) Handle() error {
	if m.Source == nil {
		return nil
	}
	return m.Inbox.Handle(Stripe, inbox.Handler{Handle: m.apply, Coalesce: true, Workers: workers, Timeout: attempt})
}
