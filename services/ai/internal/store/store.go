// Package store keeps ai's data in SQLite or PostgreSQL.
package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/ai/internal/store/db"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

//go:embed migrations
var files embed.FS

// Migrations are ai's tables.
func Migrations() database.Migrations { return database.Embedded("ai", files) }

// Store implements stored.Store.
type Store struct {
	database *database.DB
	read     *db.Queries
}

var (
	_ stored.Store      = (*Store)(nil)
	_ stored.Background = (*Store)(nil)
)

// New uses an open, migrated database.
func New(database *database.DB) *Store {
	return &Store{database: database, read: db.New(database.Reader())}
}

// write runs fn in a transaction; key names what it contends for.
func (s *Store) write(ctx context.Context, key string, fn func(ctx context.Context, q *db.Queries) error) error {
	return s.database.Write(ctx, key, func(ctx context.Context, tx database.Tx) error { return fn(ctx, db.New(tx)) })
}

// Put implements stored.Store.
func (s *Store) Put(ctx context.Context, r stored.Response, items []string, now, deletion time.Time) error {
	return s.write(ctx, r.ID, func(ctx context.Context, q *db.Queries) error { return s.put(ctx, q, r, items, now, deletion) })
}

func (s *Store) put(ctx context.Context, q *db.Queries, r stored.Response, items []string, now, deletion time.Time) error {
	erased, err := s.erased(ctx, q, r.User)
	if err != nil {
		return err
	}
	if erased {
		deletion = time.UnixMicro(0)
	}
	rows, err := q.PutResponse(ctx, db.PutResponseParams{
		ID: r.ID, AccountID: r.Account, UserID: r.User, Model: r.Model, Target: r.Target, Tokens: r.Tokens,
		CreateTime: now.UnixMicro(), DeleteTime: deletion.UnixMicro(),
	})
	if err != nil {
		return err
	}
	if rows == 0 {
		return stored.ErrTaken
	}
	for _, item := range items {
		if err := q.PutItem(ctx, db.PutItemParams{ID: item, ResponseID: r.ID}); err != nil {
			return err
		}
	}
	return nil
}

// Response implements stored.Store.
func (s *Store) Response(ctx context.Context, account, id string, now time.Time) (stored.Response, error) {
	row, err := s.read.GetResponse(ctx, db.GetResponseParams{ID: id, AccountID: account, Now: now.UnixMicro()})
	return response(row), notFound(err)
}

// OfItem implements stored.Store.
func (s *Store) OfItem(ctx context.Context, account, item string, now time.Time) (stored.Response, error) {
	row, err := s.read.GetItem(ctx, db.GetItemParams{ID: item, AccountID: account, Now: now.UnixMicro()})
	return response(row), notFound(err)
}

// Remove implements stored.Store.
func (s *Store) Remove(ctx context.Context, id string) error {
	return s.write(ctx, id, func(ctx context.Context, q *db.Queries) error {
		if err := q.DeleteItems(ctx, id); err != nil {
			return err
		}
		return q.DeleteResponse(ctx, id)
	})
}

// Mark implements stored.Store.
func (s *Store) Mark(ctx context.Context, user string, now time.Time) error {
	return s.write(ctx, user, func(ctx context.Context, q *db.Queries) error {
		d := digest(user)
		if s.postgres() {
			if err := q.LockErasure(ctx, d); err != nil {
				return err
			}
		}
		if err := q.DeleteErasedUsers(ctx, now.Add(-erasedKept).UnixMicro()); err != nil {
			return err
		}
		if err := q.PutErasedUser(ctx, db.PutErasedUserParams{Digest: d, EraseTime: now.UnixMicro()}); err != nil {
			return err
		}
		return q.MarkResponsesOfUser(ctx, user)
	})
}

// erasedKept is how long an erasure is remembered: far longer than a call lasts that began before it.
const erasedKept = 7 * 24 * time.Hour

// erased reports whether a user was erased, and keeps an erasure waiting until the transaction ends.
func (s *Store) erased(ctx context.Context, q *db.Queries, user string) (bool, error) {
	d := digest(user)
	if s.postgres() {
		if err := q.LockErasureShared(ctx, d); err != nil {
			return false, err
		}
	}
	return q.IsErasedUser(ctx, d)
}

func (s *Store) postgres() bool { return s.database.Dialect() == database.Postgres }

// digest stands for a person's id where the id itself must not be kept.
func digest(user string) string {
	sum := sha256.Sum256([]byte(user))
	return hex.EncodeToString(sum[:])
}

// OfUser implements stored.Store.
func (s *Store) OfUser(ctx context.Context, user, after string, limit int) ([]stored.Response, error) {
	rows, err := s.read.ListResponsesOfUser(ctx, db.ListResponsesOfUserParams{UserID: user, AfterID: after, PageSize: int64(limit)})
	return responses(rows), err
}

// Due implements stored.Store.
func (s *Store) Due(ctx context.Context, now, retry time.Time, limit int) (due []stored.Response, err error) {
	err = s.write(ctx, "due", func(ctx context.Context, q *db.Queries) error {
		rows, err := q.ClaimDueResponses(ctx, db.ClaimDueResponsesParams{Now: now.UnixMicro(), RetryTime: retry.UnixMicro(), PageSize: int64(limit)})
		due = responses(rows)
		return err
	})
	return due, err
}

func responses(rows []db.StoredResponse) []stored.Response {
	out := make([]stored.Response, 0, len(rows))
	for _, row := range rows {
		out = append(out, response(row))
	}
	return out
}

func response(row db.StoredResponse) stored.Response {
	return stored.Response{ID: row.ID, Account: row.AccountID, User: row.UserID, Model: row.Model, Target: row.Target, Tokens: row.Tokens}
}

// notFound turns "no rows" into the domain's own error.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return stored.ErrNotFound
	}
	return err
}
