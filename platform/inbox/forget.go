package inbox

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
)

// forgotten is what remains of a payload that was erased.
const forgotten = "{}"

const (
	forgetSubject = `UPDATE inbox_payload SET payload = $1 WHERE seq IN (
		SELECT seq FROM inbox_event WHERE source = $2 AND subject = $3 AND state IN ('done', 'dead', 'ignored'))`
	forgetEvent = `UPDATE inbox_payload SET payload = $1 WHERE seq IN (SELECT seq FROM inbox_event WHERE source = $2 AND id = $3)`
)

// ForgetSubject replaces the payloads of a subject's events by {}, as when a person is erased. Events that wait for their
// handler keep their payloads: when the handler has refused them, it calls ForgetEvent.
func ForgetSubject(ctx context.Context, tx database.Tx, source, subject string) error {
	_, err := tx.ExecContext(ctx, forgetSubject, []byte(forgotten), source, subject)
	return err
}

// ForgetEvent replaces the payload of one event by {}, whatever its state. An event that is not there needs none.
func ForgetEvent(ctx context.Context, tx database.Tx, source, id string) error {
	_, err := tx.ExecContext(ctx, forgetEvent, []byte(forgotten), source, id)
	return err
}
