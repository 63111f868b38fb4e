package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// TestStatementsPerCall counts the statements of one batch of many calls. On SQLite, where known accounts are not read, a call of one account
// costs less than a third of a statement.
func TestStatementsPerCall(t *testing.T) {
	const calls = 16
	for name, place := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite://" + t.TempDir() + "/billing.db" },
		"postgres": func(t *testing.T) string { return databasetest.PostgresURL(t) },
	} {
		for _, accounts := range []int{1, 4, 16} {
			t.Run(fmt.Sprintf("%s, %d accounts", name, accounts), func(t *testing.T) {
				var mu sync.Mutex
				var batches []int // the statements of each
				db := databasetest.Open(t, database.Config{
					URL: settings.NewSecret(place(t)), Schema: "billing", Synchronous: "NORMAL",
					Observe: func(b database.Batch) {
						mu.Lock()
						defer mu.Unlock()
						batches = append(batches, b.Statements)
					},
				}, store.Migrations())
				b := newFixture(t, db, "monthly")
				most := 2 * calls
				if db.Dialect() == database.SQLite { // the version, the holds, the accounts and the grants
					most = 4
				}
				account := func(i int) string { return fmt.Sprintf("org_%d", i%accounts) }
				for i := range accounts {
					_, err := b.Account(t.Context(), account(i))
					require.NoError(t, err)
				}
				var holds [calls]ledger.Hold
				// All of one batch: they queue up behind a decision that waits for them.
				together := func(fn func(i int) error) (ran int) {
					t.Helper()
					release := make(chan struct{})
					var group sync.WaitGroup
					for i := range accounts { // each account's queue has one to wait for
						group.Go(func() {
							err := b.store.Write(t.Context(), account(i), func(context.Context, ledger.Tx) error {
								<-release
								return nil
							})
							if err != nil {
								t.Error(err)
							}
						})
					}
					time.Sleep(20 * time.Millisecond)
					for i := range calls {
						group.Go(func() {
							if err := fn(i); err != nil {
								t.Error(err)
							}
						})
					}
					require.Eventually(t, func() bool { return b.store.Queued() >= calls }, 10*time.Second, time.Millisecond)
					mu.Lock()
					before := len(batches) + 1 // with the one that has waited
					mu.Unlock()
					close(release)
					group.Wait()
					mu.Lock()
					defer mu.Unlock()
					require.LessOrEqual(t, len(batches)-before, 8, "few batches")
					for _, n := range batches[before:] {
						ran += n
					}
					return ran
				}
				ran := together(func(i int) (err error) {
					holds[i], err = b.Reserve(t.Context(), ledger.Reservation{RequestID: fmt.Sprint(i), AccountID: account(i), Model: "embed", InputTokens: 10})
					return err
				})
				t.Logf("reserve: %.2f statements per call", float64(ran)/calls)
				require.LessOrEqual(t, ran, most)
				ran = together(func(i int) error {
					_, err := b.Settle(t.Context(), ledger.Settlement{HoldID: holds[i].ID, Usage: ledger.Usage{Input: 7}, Outcome: ledger.OutcomeCompleted})
					return err
				})
				t.Logf("settle: %.2f statements per call", float64(ran)/calls)
				require.LessOrEqual(t, ran, most)
				b.sound()
			})
		}
	}
}
