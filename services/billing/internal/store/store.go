// Package store keeps billing's rows, on SQLite or PostgreSQL, by one set of SQL.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations are the store's, for database.Migrate.
func Migrations() database.Migrations {
	return database.Embedded("billing", files)
}

// Store keeps billing's rows. It implements ledger.Store and customers.Store.
type Store struct {
	db    *database.DB
	read  *db.Queries
	sql   *statements
	queue *queue
	cache *cache
	// open counts the holds that this process has opened and not closed; see Recount.
	open atomic.Int64
	// limitedPage is how many holds limitPage looks at.
	limitedPage int64
	// scratches has the memory of batches that have ended.
	scratches sync.Pool
	// deliver is nil while notices go nowhere; see Deliver.
	deliver func(ctx context.Context, t database.Tx, n notices.Notice) error
}

// New makes a store on an open, migrated database.
func New(open *database.DB) *Store {
	return &Store{
		db: open, read: db.New(open.Reader()), sql: newStatements(open.Dialect()), queue: newQueue(),
		cache: newCache(open.Dialect()), limitedPage: limitedPage, scratches: sync.Pool{New: func() any { return &scratch{} }},
	}
}

// Shared tells whether replicas may share the database.
func (s *Store) Shared() bool { return s.db.Dialect() == database.Postgres }

// translate makes the driver's errors the ledger's sentinels.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ledger.ErrNotFound
	case database.IsUnavailable(err) && !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ledger.ErrUnavailable, err)
	default:
		return err
	}
}

// Account reads an account, or ErrNotFound.
func (s *Store) Account(ctx context.Context, id string) (ledger.Account, error) {
	row, err := s.read.GetAccount(ctx, id)
	return toAccount(row), translate(err)
}

// Hold reads a hold, or ErrNotFound.
func (s *Store) Hold(ctx context.Context, id string) (ledger.Hold, error) {
	row, err := s.read.GetHold(ctx, id)
	if err != nil {
		return ledger.Hold{}, translate(err)
	}
	return toHold(row)
}

// AnyHold tells whether there is a hold at all.
func (s *Store) AnyHold(ctx context.Context) (bool, error) {
	ids, err := s.read.AnyHold(ctx)
	return len(ids) > 0, translate(err)
}

// ExpiredHolds reads open holds whose lease is over, after one.
func (s *Store) ExpiredHolds(ctx context.Context, at time.Time, after ledger.Hold, limit int) ([]ledger.Hold, error) {
	cursor := db.ListExpiredHoldsParams{AtTime: at.UnixMicro(), AfterLeaseTime: math.MinInt64, AfterID: after.ID, Most: int64(limit)}
	if after.ID != "" {
		cursor.AfterLeaseTime = after.LeaseTime.UnixMicro()
	}
	rows, err := s.read.ListExpiredHolds(ctx, cursor)
	if err != nil {
		return nil, translate(err)
	}
	holds := make([]ledger.Hold, 0, len(rows))
	for _, row := range rows {
		h, err := toHold(row)
		if err != nil {
			return nil, err
		}
		holds = append(holds, h)
	}
	return holds, nil
}

// Grants reads all grants of an account.
func (s *Store) Grants(ctx context.Context, accountID string) ([]ledger.Grant, error) {
	rows, err := s.read.ListGrants(ctx, accountID)
	return toGrants(rows), translate(err)
}

// lastID is above every id.
const lastID = "~"

// Entries reads entries, newest first.
func (s *Store) Entries(ctx context.Context, accountID, before string, limit int) ([]ledger.Entry, error) {
	if before == "" {
		before = lastID
	}
	rows, err := s.read.ListEntriesBefore(ctx, db.ListEntriesBeforeParams{AccountID: accountID, Before: before, Most: int64(limit)})
	entries := make([]ledger.Entry, 0, len(rows))
	for _, r := range rows {
		e := toEntry(r.Entry)
		e.GrantSource = r.GrantSource
		entries = append(entries, e)
	}
	return entries, translate(err)
}

// Violations looks for rows that break the ledger's rules.
func (s *Store) Violations(ctx context.Context, limit int) ([]ledger.Violation, error) {
	rows, err := s.read.Audit(ctx, int64(limit))
	found := make([]ledger.Violation, 0, len(rows))
	for _, r := range rows {
		found = append(found, ledger.Violation{Rule: r.Rule, Subject: r.Subject, Want: joined(r.WantHigh, r.WantLow), Got: r.Got})
	}
	if err != nil || len(found) >= limit {
		return found, translate(err)
	}
	unpaid, err := s.unpaid(ctx, limit-len(found))
	if found = append(found, unpaid...); err != nil || len(found) >= limit {
		return found, translate(err)
	}
	stale, err := s.stale(ctx, limit-len(found))
	return append(found, stale...), translate(err)
}

// one tells whether a statement found its row.
func one(err error) (bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
