package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// PutUser stores a user, unless the store has a newer state or a tombstone. A user who is now banned or deprovisioned loses all
// credentials in the same transaction; a locked user keeps them.
func (w *Writing) PutUser(ctx context.Context, u directory.User) (bool, error) {
	return w.writeUser(ctx, u, func(emails []byte) (int64, error) {
		return w.q.PutUser(ctx, db.PutUserParams{
			ID: u.ID, PrimaryEmail: u.PrimaryEmail, Emails: emails, FirstName: u.FirstName, LastName: u.LastName,
			ImageURL: u.ImageURL, ExternalID: u.ExternalID, PublicMetadata: object(u.PublicMetadata),
			Banned: u.Banned, Deprovisioned: u.Deprovisioned, Locked: u.Locked, LockExpireTime: nullMicros(u.LockExpireTime),
			CreateTime: micros(u.CreateTime), UpdateTime: micros(u.UpdateTime), EventTime: eventMicros(u.EventTime),
			Verified: u.Verified,
		})
	})
}

// ReplaceUser stores u, however old its time, if the row is still as it was read. A tombstone stays.
func (w *Writing) ReplaceUser(ctx context.Context, u, was directory.User) (bool, error) {
	return w.writeUser(ctx, u, func(emails []byte) (int64, error) {
		return w.q.ReplaceUser(ctx, db.ReplaceUserParams{
			ID: u.ID, PrimaryEmail: u.PrimaryEmail, Emails: emails, FirstName: u.FirstName, LastName: u.LastName,
			ImageURL: u.ImageURL, ExternalID: u.ExternalID, PublicMetadata: object(u.PublicMetadata),
			Banned: u.Banned, Deprovisioned: u.Deprovisioned, Locked: u.Locked, LockExpireTime: nullMicros(u.LockExpireTime),
			CreateTime: micros(u.CreateTime), UpdateTime: micros(u.UpdateTime), EventTime: eventMicros(u.EventTime), Was: micros(was.UpdateTime),
			Verified: u.Verified,
		})
	})
}

func (w *Writing) writeUser(ctx context.Context, u directory.User, write func(emails []byte) (int64, error)) (bool, error) {
	emails, err := encode(u.Emails)
	if err != nil {
		return false, err
	}
	before, err := w.q.GetUserState(ctx, u.ID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	rows, err := write(emails)
	if err != nil || rows == 0 {
		return false, err
	}
	if err := replaceEmails(ctx, w.q, u.ID, u.Emails); err != nil {
		return false, err
	}
	if (u.Banned || u.Deprovisioned) && !before.Banned && !before.Deprovisioned {
		return true, w.revoke(ctx, revocation.Revocation{UserID: u.ID})
	}
	return true, nil
}

// replaceEmails makes a user findable by exactly these addresses. Most events change something else, such as the last sign-in;
// then it writes nothing. The transaction must hold the user's row, so that the addresses it reads cannot change.
func replaceEmails(ctx context.Context, q *db.Queries, userID string, emails []string) error {
	want := make([]string, 0, len(emails))
	for _, address := range emails {
		want = append(want, fold(address))
	}
	slices.Sort(want)
	want = slices.Compact(want)
	have, err := q.ListEmails(ctx, userID)
	if err != nil {
		return err
	}
	slices.Sort(have)
	if slices.Equal(have, want) {
		return nil
	}
	if err := q.ClearEmails(ctx, userID); err != nil {
		return err
	}
	for _, address := range want {
		if err := q.AddEmail(ctx, db.AddEmailParams{Address: address, UserID: userID}); err != nil {
			return err
		}
	}
	return nil
}

// DeleteUser leaves a tombstone, whether or not the user was known.
func (w *Writing) DeleteUser(ctx context.Context, id string, at time.Time) (bool, error) {
	if err := w.takeUser(ctx, id); err != nil {
		return false, err
	}
	rows, err := w.q.TombstoneUser(ctx, db.TombstoneUserParams{
		ID: id, EmptyList: emptyList, EmptyObject: emptyObject, At: micros(at),
	})
	if err != nil || rows == 0 {
		return false, err
	}
	if err := w.q.ClearEmails(ctx, id); err != nil {
		return false, err
	}
	err = w.q.TombstoneMembershipsOfUser(ctx, db.TombstoneMembershipsOfUserParams{
		UserID: id, EmptyList: emptyList, At: micros(at),
	})
	if err != nil {
		return false, err
	}
	return true, w.revoke(ctx, revocation.Revocation{UserID: id})
}

// User returns one user.
func (s *Store) User(ctx context.Context, id string) (directory.User, error) {
	row, err := s.read.GetUser(ctx, id)
	if err != nil {
		return directory.User{}, notFound(err, directory.ErrNotFound)
	}
	return s.user(row)
}

// Users pages through the users, newest first.
func (s *Store) Users(ctx context.Context, email string, after paging.Cursor, limit int) ([]directory.User, error) {
	at, id := newest(after)
	var rows []db.AppUser
	var err error
	if email == "" {
		rows, err = s.read.ListUsers(ctx, db.ListUsersParams{BeforeTime: micros(at), BeforeID: id, PageSize: int64(limit)})
	} else {
		rows, err = s.read.ListUsersByEmail(ctx, db.ListUsersByEmailParams{
			Address: fold(email), BeforeTime: micros(at), BeforeID: id, PageSize: int64(limit),
		})
	}
	if err != nil {
		return nil, err
	}
	return each(rows, s.user)
}

// newest returns the position from which a list, newest first, continues.
func newest(after paging.Cursor) (time.Time, string) {
	if after == (paging.Cursor{}) {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), ""
	}
	return after.Time, after.ID
}

func (s *Store) user(row db.AppUser) (directory.User, error) {
	emails, err := decode(row.Emails)
	return directory.User{
		ID: row.ID, Synced: row.Synced, PrimaryEmail: row.PrimaryEmail, Emails: emails,
		FirstName: row.FirstName, LastName: row.LastName, ImageURL: row.ImageURL, ExternalID: row.ExternalID,
		PublicMetadata: row.PublicMetadata, Banned: row.Banned, Deprovisioned: row.Deprovisioned, Verified: row.Verified, Locked: s.locked(row.Locked, row.LockExpireTime),
		LockExpireTime: toTimeOrZero(row.LockExpireTime), CreateTime: toTime(row.CreateTime), UpdateTime: toTime(row.UpdateTime), EventTime: toEventTime(row.EventTime),
	}, err
}

// each converts rows.
func each[R, T any](rows []R, convert func(R) (T, error)) ([]T, error) {
	out := make([]T, len(rows))
	for i, row := range rows {
		var err error
		if out[i], err = convert(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}
