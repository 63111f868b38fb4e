// Package erasure removes a user from all services. An erasure is stored before it begins, and retried until each service has
// confirmed it.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/paging"
)

// ErrNotFound says that the erasure of this user was never requested.
var ErrNotFound = errors.New("erasure: not found")

// Erasure is the record of one person's erasure. It outlives the data, and holds no more than the id.
type Erasure struct {
	UserID      string
	RequestTime time.Time
	// ConfirmedBy are the names of the services that have confirmed.
	ConfirmedBy []string
	// CompleteTime is the zero time until every service has confirmed.
	CompleteTime time.Time
}

// Step is one service's part.
type Step struct {
	// Service is its name, such as "billing".
	Service string
	// Erase removes the user; it must be idempotent.
	Erase func(ctx context.Context, userID string) error
}

// Store keeps the records and begins erasures.
type Store interface {
	// Erasure returns ErrNotFound for a person whose erasure was never asked for.
	Erasure(ctx context.Context, userID string) (Erasure, error)
	// Erasures pages, newest first.
	Erasures(ctx context.Context, after paging.Cursor, limit int) ([]Erasure, error)
	// OpenErasures are those that are not complete, oldest first.
	OpenErasures(ctx context.Context, limit int) ([]Erasure, error)
	// ConfirmErasure notes that a service is done.
	ConfirmErasure(ctx context.Context, userID, service string, at time.Time) error
	// BeginErasure leaves a tombstone of the user, revokes all credentials, writes the record and calls put, in one transaction.
	// It does not change an erasure that is in progress. A complete one begins again if again is true.
	BeginErasure(ctx context.Context, userID string, again bool, put Put) error
}

// Put queues the work of an erasure in the transaction that begins it.
type Put func(ctx context.Context, tx database.Tx, userID string, at time.Time) error

// Eraser erases users.
type Eraser struct {
	store  Store
	put    Put
	steps  []Step
	now    func() time.Time
	logger *slog.Logger
}

// stepTimeout bounds one service's part.
const stepTimeout = 30 * time.Second

// New makes an Eraser whose work put queues.
func New(store Store, put Put, steps []Step, now func() time.Time, logger *slog.Logger) *Eraser {
	return &Eraser{store: store, put: put, steps: steps, now: now, logger: logger}
}

// Request begins the erasure of a user and returns its record. An erasure that is in progress continues. A complete one begins
// again, for data that arrived since.
func (e *Eraser) Request(ctx context.Context, userID string) (Erasure, error) {
	if err := e.store.BeginErasure(ctx, userID, true, e.put); err != nil {
		return Erasure{}, err
	}
	return e.store.Erasure(ctx, userID)
}

// Removed begins the erasure of a user that Clerk no longer has, unless it has begun before.
func (e *Eraser) Removed(ctx context.Context, userID string) error {
	return e.store.BeginErasure(ctx, userID, false, e.put)
}

// Put queues the work of an erasure in a transaction.
func (e *Eraser) Put(ctx context.Context, tx database.Tx, userID string, at time.Time) error {
	return e.put(ctx, tx, userID, at)
}

// Carry asks every service that has not confirmed, also when one of them fails. The error names those that failed; the inbox
// then tries again.
func (e *Eraser) Carry(ctx context.Context, userID string) error {
	record, err := e.store.Erasure(ctx, userID)
	if err != nil {
		return err
	}
	var failed []error
	for _, step := range e.steps {
		if slices.Contains(record.ConfirmedBy, step.Service) {
			continue
		}
		if err := e.carry(ctx, step, userID); err != nil {
			failed = append(failed, fmt.Errorf("%s has not erased the user: %w", step.Service, err))
		}
	}
	return errors.Join(failed...)
}

// Repeat asks all services once more, for what calls have written that were in progress when the erasure began.
func (e *Eraser) Repeat(ctx context.Context, userID string) error {
	var failed []error
	for _, step := range e.steps {
		if err := e.erase(ctx, step, userID); err != nil {
			failed = append(failed, fmt.Errorf("%s has not erased the user again: %w", step.Service, err))
		}
	}
	return errors.Join(failed...)
}

func (e *Eraser) erase(ctx context.Context, step Step, userID string) error {
	bounded, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return step.Erase(bounded, userID)
}

func (e *Eraser) carry(ctx context.Context, step Step, userID string) error {
	if err := e.erase(ctx, step, userID); err != nil {
		return err
	}
	e.logger.InfoContext(ctx, "service erased a user", slog.String("user", userID), slog.String("by", step.Service))
	return e.store.ConfirmErasure(ctx, userID, step.Service, e.now())
}
