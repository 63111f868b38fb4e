package store

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
)

// forgetPayloads reaches into the inbox's tables, which sqlc does not know. What is still to be handled stays: it is
// refused by the tombstone, and forgotten then.
const forgetPayloads = `UPDATE inbox_payload SET payload = $1 WHERE seq IN (
	SELECT seq FROM inbox_event WHERE source = $2 AND subject = $3 AND state IN ('done', 'dead', 'ignored'))`

const forgetPayload = `UPDATE inbox_payload SET payload = $1 WHERE seq IN (
	SELECT seq FROM inbox_event WHERE source = $2 AND id = $3)`

// ForgetEvents empties the payloads of what was said about a subject.
func (s *Store) ForgetEvents(ctx context.Context, source, subject string) error {
	return s.database.Write(ctx, subject, func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, forgetPayloads, emptyObject, source, subject)
		return err
	})
}

// ForgetEvent is Writing's.
func (s *Store) ForgetEvent(ctx context.Context, userID, source, eventID string) error {
	return s.database.Write(ctx, userID, func(ctx context.Context, tx database.Tx) error {
		return s.Within(tx).ForgetEvent(ctx, userID, source, eventID)
	})
}

// ForgetEvent empties the payload of one event if it is about a person who is gone, and so must not be known.
func (w *Writing) ForgetEvent(ctx context.Context, userID, source, eventID string) error {
	gone, err := w.q.IsUserDeleted(ctx, userID)
	if err != nil || !gone {
		return err
	}
	_, err = w.tx.ExecContext(ctx, forgetPayload, emptyObject, source, eventID)
	return err
}
