package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// While the database hangs, more callers come than may wait, and all of them leave. When it is back, the next caller is served: those who have left run no
// batch, but their decisions fill the queue.
func TestAQueueOfCallersWhoHaveLeft(t *testing.T) {
	const rounds, patience = 6, 20 * time.Second
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		s := store.New(db)
		nothing := func(context.Context, ledger.Tx) error { return nil }
		for range rounds { // who runs the last batch may run another one, by chance
			ctx, leave := context.WithCancel(t.Context())
			hangs, back := make(chan struct{}), make(chan struct{})
			var callers sync.WaitGroup
			callers.Go(func() {
				_ = s.Write(ctx, "acc", func(context.Context, ledger.Tx) error {
					close(hangs)
					<-back
					return nil
				})
			})
			<-hangs
			var left sync.WaitGroup
			for range store.MaxQueued {
				left.Go(func() { _ = s.Write(ctx, "acc", nothing) })
			}
			require.Eventually(t, func() bool { return s.Queued() == store.MaxQueued }, patience, time.Millisecond)
			for range 8 { // they find no room
				left.Go(func() { _ = s.Write(ctx, "acc", nothing) })
			}
			leave()
			left.Wait()
			require.Equal(t, store.MaxQueued, s.Queued())
			close(back)
			callers.Wait()
			next, cancel := context.WithTimeout(t.Context(), patience)
			require.NoError(t, s.Write(next, "acc", nothing))
			cancel()
		}
	})
}
