package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

var _ erasure.Store = (*Store)(nil)

// BeginErasure runs Writing.BeginErasure in a transaction of its own.
func (s *Store) BeginErasure(ctx context.Context, userID string, again bool, put erasure.Put) error {
	return s.database.Write(ctx, userID, func(ctx context.Context, tx database.Tx) error {
		return s.Within(tx).BeginErasure(ctx, userID, again, put)
	})
}

// BeginErasure leaves a tombstone of the user, whether or not the user was known, revokes the user's API keys and writes the
// record. It calls put, which queues the rest of the work, unless an erasure is in progress, or is complete and again is false.
func (w *Writing) BeginErasure(ctx context.Context, userID string, again bool, put erasure.Put) error {
	at := w.store.now().UTC().Truncate(time.Microsecond)
	rows, err := w.q.BeginErasure(ctx, db.BeginErasureParams{UserID: userID, RequestTime: micros(at)})
	if err == nil && rows == 0 && again {
		if rows, err = w.q.RestartErasure(ctx, db.RestartErasureParams{UserID: userID, At: micros(at)}); err == nil && rows > 0 {
			err = w.q.ForgetConfirmations(ctx, userID)
		}
	}
	if err == nil && rows > 0 {
		err = put(ctx, w.tx, userID, at)
	}
	if err != nil {
		return err
	}
	// The rows of the keys are locked before the row that numbers revocations, as when a key is revoked: in different orders
	// the two transactions could wait for each other.
	keys, err := w.revokeKeys(ctx, userID, at)
	if err != nil {
		return err
	}
	if _, err := w.DeleteUser(ctx, userID, at); err != nil {
		return err
	}
	return w.tellRevoked(ctx, keys)
}

// ForgetKeys does with the keys of an erased user what BeginErasure does, for those that calls made which were in progress then.
func (s *Store) ForgetKeys(ctx context.Context, userID string) error {
	return s.database.Write(ctx, userID, func(ctx context.Context, tx database.Tx) error {
		w := s.Within(tx)
		keys, err := w.revokeKeys(ctx, userID, s.now())
		if err != nil {
			return err
		}
		return w.tellRevoked(ctx, keys)
	})
}

// tellRevoked tells every replica of revoked keys.
func (w *Writing) tellRevoked(ctx context.Context, keys []string) error {
	for _, id := range keys {
		if err := w.revoke(ctx, revocation.Revocation{APIKeyID: id}); err != nil {
			return err
		}
	}
	return nil
}

// revokeKeys revokes the user's personal keys and clears the names of all keys that the user made, because the user wrote them.
// Keys of an organization are refused because of the tombstone. It returns the ids of the keys that it revoked.
func (w *Writing) revokeKeys(ctx context.Context, userID string, at time.Time) ([]string, error) {
	revoked, err := w.q.RevokePersonalAPIKeys(ctx, db.RevokePersonalAPIKeysParams{UserID: userID, At: nullMicros(at)})
	if err != nil {
		return nil, err
	}
	return revoked, w.q.ForgetAPIKeysOfUser(ctx, userID)
}

// CompleteErasure notes that every service has confirmed.
func (w *Writing) CompleteErasure(ctx context.Context, userID string, at time.Time) error {
	return w.q.CompleteErasure(ctx, db.CompleteErasureParams{UserID: userID, At: nullMicros(at)})
}

// ConfirmErasure notes that a service is done.
func (s *Store) ConfirmErasure(ctx context.Context, userID, service string, at time.Time) error {
	return s.write(ctx, userID, func(ctx context.Context, q *db.Queries) error {
		return q.ConfirmErasure(ctx, db.ConfirmErasureParams{UserID: userID, Service: service, ConfirmTime: micros(at)})
	})
}

// Erasure returns one record.
func (s *Store) Erasure(ctx context.Context, userID string) (erasure.Erasure, error) {
	row, err := s.read.GetErasure(ctx, userID)
	if errors.Is(err, sql.ErrNoRows) {
		return erasure.Erasure{}, erasure.ErrNotFound
	}
	if err != nil {
		return erasure.Erasure{}, err
	}
	confirmations, err := s.read.ListConfirmations(ctx, userID)
	e := erasure.Erasure{UserID: row.UserID, RequestTime: toTime(row.RequestTime), CompleteTime: toTimeOrZero(row.CompleteTime)}
	for _, c := range confirmations {
		e.ConfirmedBy = append(e.ConfirmedBy, c.Service)
	}
	return e, err
}

// Erasures pages through the records, newest first.
func (s *Store) Erasures(ctx context.Context, after paging.Cursor, limit int) ([]erasure.Erasure, error) {
	at, id := newest(after)
	rows, err := s.read.ListErasures(ctx, db.ListErasuresParams{BeforeTime: micros(at), BeforeID: id, PageSize: int64(limit)})
	if err != nil {
		return nil, err
	}
	var out []erasure.Erasure
	for _, row := range rows { // one for each confirmation
		if len(out) == 0 || out[len(out)-1].UserID != row.UserID {
			out = append(out, erasure.Erasure{UserID: row.UserID, RequestTime: toTime(row.RequestTime), CompleteTime: toTimeOrZero(row.CompleteTime)})
		}
		if row.Service.Valid {
			last := &out[len(out)-1]
			last.ConfirmedBy = append(last.ConfirmedBy, row.Service.String)
		}
	}
	return out, nil
}

// OpenErasures returns the erasures that are not complete, oldest first.
func (s *Store) OpenErasures(ctx context.Context, limit int) ([]erasure.Erasure, error) {
	rows, err := s.read.ListOpenErasures(ctx, int64(limit))
	if err != nil {
		return nil, err
	}
	return each(rows, func(row db.ListOpenErasuresRow) (erasure.Erasure, error) {
		return erasure.Erasure{UserID: row.UserID, RequestTime: toTime(row.RequestTime)}, nil
	})
}

// KeysOfUser returns all keys that a user made, in any account.
func (s *Store) KeysOfUser(ctx context.Context, userID string) ([]apikey.Key, error) {
	rows, err := s.read.ListAPIKeysOfUser(ctx, userID)
	if err != nil {
		return nil, err
	}
	return each(rows, apiKey)
}
