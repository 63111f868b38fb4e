package inbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// Put stores an event and returns after the durable commit, which it shares with others that are put at the same time. An
// event whose source and id are there already is a duplicate, and changes nothing; except one that is dead or ignored and
// comes again as one to be handled: it is made pending with what has come now, as when a provider is asked to resend it.
//
// Errors: ErrInvalid, or the store's (see database.IsUnavailable): then the event must be put again.
func (in *Inbox) Put(ctx context.Context, e Event) (duplicate bool, err error) {
	e.trace = tracing.Traceparent(ctx)
	// Events of one subject take the same lane, so that they arrive in the order of their puts.
	err = in.db.Write(ctx, e.Subject, func(ctx context.Context, tx database.Tx) error {
		duplicate, err = in.PutTx(ctx, tx, e)
		return err
	})
	return duplicate && err == nil, err
}

// PutTx stores an event within the caller's write: it is there if, and only if, that is committed. The workers are woken
// after the commit. Where order within a subject matters, call it after the write has taken the rows that give the order.
func (in *Inbox) PutTx(ctx context.Context, tx database.Tx, e Event) (duplicate bool, err error) {
	if e, err = e.clean(in.options.MaxPayload); err != nil {
		return false, err
	}
	if e.trace == "" {
		e.trace = tracing.Traceparent(ctx)
	}
	outcome, err := in.insert(ctx, tx, e)
	if err == nil && outcome == duplicated && e.State == Pending {
		outcome, err = in.revive(ctx, tx, e)
	}
	if err != nil {
		return false, err
	}
	tx.AfterCommit(func() { in.stored(ctx, e, outcome) })
	return outcome != inserted, nil
}

// arrival is what a put came to, also in metrics.
type arrival string

const (
	inserted   arrival = ""
	duplicated arrival = "duplicate"
	revived    arrival = "revived" // a duplicate of one that was dead or ignored
)

func (in *Inbox) insert(ctx context.Context, tx database.Tx, e Event) (arrival, error) {
	now := in.now()
	var due int64
	var end, expire, remove *int64
	h, _ := in.handler(e.Source)
	switch e.State {
	case Pending:
		due = now.UnixMicro()
	case Ignored:
		payload, row := h.expiry(now)
		expire, remove = &payload, &row
		fallthrough
	default:
		t := now.UnixMicro()
		end = &t
	}
	args := []any{
		e.Source, e.ID, e.Type, e.Subject, string(e.State), e.State == Pending, e.LastError, now.UnixMicro(), due, end, expire, remove,
	}
	if in.sql.putPayload == "" {
		args = append(args, e.payload(), e.traceparent())
	}
	var seq int64
	err := tx.QueryRowContext(ctx, in.sql.put, args...).Scan(&seq)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return duplicated, nil
	case err == nil && in.sql.putPayload != "":
		_, err = tx.ExecContext(ctx, in.sql.putPayload, seq, e.payload(), e.traceparent())
	}
	return inserted, err
}

// payload is never nil, which would be NULL.
func (e Event) payload() []byte {
	if e.Payload == nil {
		return []byte{}
	}
	return e.Payload
}

// traceparent is NULL when the event was not traced.
func (e Event) traceparent() any {
	if e.trace == "" {
		return nil
	}
	return e.trace
}

// revive makes an event that is dead or ignored pending again, as it has come now.
func (in *Inbox) revive(ctx context.Context, tx database.Tx, e Event) (arrival, error) {
	var seq int64
	err := tx.QueryRowContext(ctx, in.sql.revive, e.Source, e.ID, e.Type, e.Subject, in.now().UnixMicro()).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return duplicated, nil
	}
	if err != nil {
		return duplicated, err
	}
	_, err = tx.ExecContext(ctx, in.sql.replacePayload, seq, e.payload(), e.traceparent())
	return revived, err
}

// stored counts a committed put and wakes the workers.
func (in *Inbox) stored(ctx context.Context, e Event, outcome arrival) {
	in.metrics.put(ctx, e.Source, cmp.Or(string(outcome), string(e.State)))
	if outcome == duplicated {
		return
	}
	switch e.State {
	case Pending:
		in.wakeFor(e.Source)
	case Dead:
		in.metrics.died(ctx, e.Source, 1)
		in.log.ErrorContext(ctx, "event stored as dead: it cannot be handled", slog.String("source", e.Source),
			slog.String("event_id", e.ID), slog.String("type", e.Type), slog.String("error", e.LastError))
	default:
	}
}

// fromMicros is its inverse.
func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// scanRecord reads columns.
func scanRecord(scan func(dest ...any) error) (r Record, err error) {
	var state string
	var put, due int64
	var end sql.NullInt64
	err = scan(&r.Sequence, &r.Source, &r.ID, &r.Type, &r.Subject, &state, &r.Attempts, &r.LastError, &put, &due, &end)
	r.State, r.PutTime, r.DueTime, r.EndTime = State(state), fromMicros(put), fromMicros(due), fromMicros(end.Int64)
	return r, err
}

// scanRecords reads all rows of columns, and closes them.
func scanRecords(rows *sql.Rows) (records []Record, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r, err := scanRecord(rows.Scan)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, rows.Err()
}
