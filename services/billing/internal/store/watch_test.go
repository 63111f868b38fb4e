package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// A batch waits for more decisions while many holds are open. Of two replicas, one opens holds that the other closes: without another count, a lone caller of
// the first would wait for the rest of its life. The correction of a swept hold closes none.
func TestReplicasCountOpenHolds(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		first, second := store.New(db), store.New(db)
		hold := func(id string) ledger.Hold {
			return ledger.Hold{ID: id, AccountID: "acc", Model: "m", State: ledger.StateOpen, CreateTime: cacheTime, LeaseTime: cacheTime}
		}
		closeHold := func(s *store.Store, h ledger.Hold, state, was ledger.State) {
			t.Helper()
			h.State, h.SettleTime, h.UsageTime = state, cacheTime, cacheTime
			decide(t, s, func(ctx context.Context, tx ledger.Tx) error {
				if was == ledger.StateSwept {
					if _, _, err := tx.Unfold(ctx, h.ID); err != nil {
						return err
					}
				}
				if _, err := tx.Hold(ctx, h.ID); err != nil {
					return err
				}
				return tx.CloseHold(ctx, h, was)
			})
		}
		for i := range 20 {
			decide(t, first, func(ctx context.Context, tx ledger.Tx) error {
				_, err := tx.InsertHold(ctx, hold(fmt.Sprint("h", i)))
				return err
			})
		}
		closeHold(first, hold("h0"), ledger.StateSwept, ledger.StateOpen)
		require.EqualValues(t, 19, first.Open())
		closeHold(first, hold("h0"), ledger.StateSettled, ledger.StateSwept)
		require.EqualValues(t, 19, first.Open(), "it was closed before")
		for i := 1; i < 18; i++ {
			closeHold(second, hold(fmt.Sprint("h", i)), ledger.StateSettled, ledger.StateOpen)
		}
		require.EqualValues(t, 19, first.Open())
		require.Zero(t, second.Open())
		for _, s := range []*store.Store{first, second} {
			require.NoError(t, s.Recount(t.Context()))
			require.EqualValues(t, 2, s.Open())
		}
		ended, end := context.WithCancel(t.Context())
		end()
		require.Error(t, first.Recount(ended))
		require.EqualValues(t, 2, first.Open(), "a count that fails changes nothing")
	})
}
