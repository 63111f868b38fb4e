// Package store keeps auth's data in SQLite or PostgreSQL.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

//go:embed migrations
var files embed.FS

// Migrations are auth's tables.
func Migrations() database.Migrations { return database.Embedded("auth", files) }

// Store implements the stores of auth's domain packages.
type Store struct {
	database *database.DB
	read     *db.Queries
	now      func() time.Time
	revoked  func()
	forgot   func()
}

var (
	_ directory.Store  = (*Store)(nil)
	_ revocation.Store = (*Store)(nil)
)

// New uses an open, migrated database. After each revocation that this process commits, revoked is called; it may be nil.
func New(database *database.DB, now func() time.Time, revoked func()) *Store {
	if revoked == nil {
		revoked = func() {}
	}
	return &Store{database: database, read: db.New(database.Reader()), now: now, revoked: revoked, forgot: func() {}}
}

// NotifyForgotten has fn called after each commit that deleted personal data; fn must not wait. It must be set before the
// first write.
func (s *Store) NotifyForgotten(fn func()) { s.forgot = fn }

// write runs fn in a transaction; key names what it contends for.
func (s *Store) write(ctx context.Context, key string, fn func(ctx context.Context, q *db.Queries) error) error {
	return s.database.Write(ctx, key, func(ctx context.Context, tx database.Tx) error {
		return fn(ctx, db.New(tx))
	})
}

var (
	emptyList   = []byte("[]")
	emptyObject = []byte("{}")
)

func encode(list []string) ([]byte, error) {
	if len(list) == 0 {
		return emptyList, nil
	}
	return json.Marshal(list)
}

func decode(raw []byte) ([]string, error) {
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("store: read a list: %w", err)
	}
	return list, nil
}

// object returns a JSON object as it is, and the empty object for anything else, such as null.
func object(raw json.RawMessage) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		return emptyObject
	}
	return raw
}

// notFound turns "no rows" into the domain's own error.
func notFound(err, domain error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return domain
	}
	return err
}
