package store

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
)

// forgetPayloads reaches into the inbox's tables, which sqlc does not know. What is still to be handled stays: it is
// refused by the tombstone, and its payload goes when its time is over.
const forgetPayloads = `UPDATE inbox_payload SET payload = $1 WHERE seq IN (
	SELECT seq FROM inbox_event WHERE source = $2 AND subject = $3 AND state IN ('done', 'dead', 'ignored'))`

// ForgetEvents empties the payloads of what was said about a subject.
func (s *Store) ForgetEvents(ctx context.Context, source, subject string) error {
	return s.database.Write(ctx, subject, func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, forgetPayloads, emptyObject, source, subject)
		return err
	})
}
