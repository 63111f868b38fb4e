package store

import (
	"context"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// MaxQueued is how many decisions may wait for a batch.
const MaxQueued = maxQueued

// SetLimitedPage changes how many holds one transaction marks.
func (s *Store) SetLimitedPage(holds int64) { s.limitedPage = holds }

// Open is how many holds the store takes for open when a batch waits for more decisions.
func (s *Store) Open() int64 { return s.open.Load() }

// LimitPage marks the next page of an account's holds.
func LimitPage(ctx context.Context, tx ledger.Tx, accountID string) (last bool, err error) {
	return tx.(*unit).limitPage(ctx, accountID) //nolint:forcetypeassert // this store's own
}
