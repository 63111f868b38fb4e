package store

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
)

// ForgetEvents clears the payloads of a subject's events. Events that are still pending are refused because of the tombstone,
// and cleared then.
func (s *Store) ForgetEvents(ctx context.Context, source, subject string) error {
	return s.database.Write(ctx, subject, func(ctx context.Context, tx database.Tx) error {
		return inbox.ForgetSubject(ctx, tx, source, subject)
	})
}

// Scrub removes the bytes of deleted data from the log of the database, too.
func (s *Store) Scrub(ctx context.Context) error { return s.database.Checkpoint(ctx) }

// ForgetEvent runs Writing.ForgetEvent in a transaction of its own.
func (s *Store) ForgetEvent(ctx context.Context, userID, source, eventID string) error {
	return s.database.Write(ctx, userID, func(ctx context.Context, tx database.Tx) error {
		return s.Within(tx).ForgetEvent(ctx, userID, source, eventID)
	})
}

// ForgetEvent clears the payload of an event about a user who was deleted.
func (w *Writing) ForgetEvent(ctx context.Context, userID, source, eventID string) error {
	gone, err := w.q.IsUserDeleted(ctx, userID)
	if err != nil || !gone {
		return err
	}
	w.tx.AfterCommit(w.store.forgot)
	return inbox.ForgetEvent(ctx, w.tx, source, eventID)
}
