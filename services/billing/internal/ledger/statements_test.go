package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// calls is how many calls share a batch in the tests that count statements.
const calls = 16

// counting is a ledger whose statements are counted.
type counting struct {
	*fixture
	mu      sync.Mutex
	batches []int // the statements of each
}

// eachCounting runs a test on both databases. On SQLite, which has one queue, the calls are spread over 1, 4 and 16 accounts.
func eachCounting(t *testing.T, test func(t *testing.T, c *counting, accounts int)) {
	t.Helper()
	run := func(name, url string, accounts int) {
		t.Run(fmt.Sprintf("%s, %d accounts", name, accounts), func(t *testing.T) {
			c := &counting{}
			db := databasetest.Open(t, database.Config{
				URL: settings.NewSecret(url), Schema: "billing", Synchronous: "NORMAL", Observe: c.observe,
			}, store.Migrations())
			c.fixture = newFixture(t, db, "monthly")
			test(t, c, accounts)
			c.sound()
		})
	}
	for _, accounts := range []int{1, 4, 16} {
		run("sqlite", "sqlite://"+t.TempDir()+"/billing.db", accounts)
	}
	run("postgres", databasetest.PostgresURL(t), 1)
}

func (c *counting) observe(b database.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches = append(c.batches, b.Statements)
}

func (c *counting) counted() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.batches
}

// together runs calls in one batch and counts its statements: they queue up behind a decision about the account that waits for them.
func (c *counting) together(account string, fn func(i int) error) (ran int) {
	c.t.Helper()
	begun, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	proceed := sync.OnceFunc(func() { close(release) })
	defer proceed() // also when a requirement fails, so that the wait above ends
	start := func(fn func() error) {
		group.Go(func() {
			if err := fn(); err != nil {
				c.t.Error(err)
			}
		})
	}
	start(func() error {
		return c.store.Write(c.t.Context(), account, func(context.Context, ledger.Tx) error {
			close(begun)
			<-release
			return nil
		})
	})
	<-begun
	for i := range calls {
		start(func() error { return fn(i) })
	}
	const patience = 30 * time.Second
	require.Eventually(c.t, func() bool { return c.store.Queued() == calls }, patience, time.Millisecond)
	before := len(c.counted()) + 1 // with the one that has waited
	proceed()
	group.Wait()
	// Callers are answered before their batch is counted.
	require.Eventually(c.t, func() bool { return len(c.counted()) > before }, patience, time.Millisecond)
	batches := c.counted()
	require.Len(c.t, batches, before+1, "one batch")
	return batches[before]
}

// request is the id of a call, as the service makes it.
func (c *counting) request(account string, i int) string {
	return callid.Make(account, c.clock.Now(), uint64(i))
}

// TestStatementsPerCall counts the statements of one batch of many calls. On SQLite, where known accounts are not read, a call costs less than
// a third of a statement.
func TestStatementsPerCall(t *testing.T) {
	eachCounting(t, func(t *testing.T, c *counting, accounts int) {
		mostReserving, mostSettling, mostFolding := calls, calls, calls
		if c.db.Dialect() == database.SQLite {
			mostReserving = 4                // the version, who was erased, the holds and the accounts
			mostSettling = 6                 // these, the grants and the calls to fold
			mostFolding = 4 + 5*accounts + 1 // the accounts to fold, the version and who was erased; what waits, a day, a segment and what is folded; their entries
		}
		account := func(i int) string { return fmt.Sprintf("org_%d", i%accounts) }
		for i := range accounts {
			_, err := c.Account(t.Context(), account(i), "")
			require.NoError(t, err)
		}
		var holds [calls]ledger.Hold
		ran := c.together(account(0), func(i int) (err error) {
			holds[i], err = c.Reserve(t.Context(), ledger.Reservation{RequestID: c.request(account(i), i), AccountID: account(i), UserID: "user_1", Model: "embed", InputTokens: 10})
			return err
		})
		t.Logf("reserve: %.2f statements per call", float64(ran)/calls)
		require.LessOrEqual(t, ran, mostReserving)
		ran = c.together(account(0), func(i int) error {
			_, err := c.Settle(t.Context(), ledger.Settlement{HoldID: holds[i].ID, Usage: ledger.Usage{Input: 7}, Outcome: ledger.OutcomeCompleted})
			return err
		})
		t.Logf("settle: %.2f statements per call", float64(ran)/calls)
		require.LessOrEqual(t, ran, mostSettling)
		before := len(c.counted())
		_, err := c.Fold(t.Context(), always)
		require.NoError(t, err)
		const patience = 30 * time.Second
		require.Eventually(t, func() bool { return len(c.counted()) > before }, patience, time.Millisecond)
		ran = 0
		for _, statements := range c.counted()[before:] {
			ran += statements
		}
		t.Logf("fold: %.2f statements per call", float64(ran)/calls)
		require.LessOrEqual(t, ran, mostFolding)
	})
}

// TestFirstCallsShareStatements: a batch opens its accounts together, with their credit, and holds their calls.
func TestFirstCallsShareStatements(t *testing.T) {
	eachCounting(t, func(t *testing.T, c *counting, accounts int) {
		most := calls
		if c.db.Dialect() == database.SQLite { // the version, the accounts and what they have is not there; accounts, customers, grants, entries, holds
			most = 8
		}
		account := func(i int) string { return fmt.Sprintf("org_%d", i%accounts) }
		ran := c.together(account(0), func(i int) error {
			_, err := c.Reserve(t.Context(), ledger.Reservation{RequestID: c.request(account(i), i), AccountID: account(i), Model: "embed", InputTokens: 10})
			return err
		})
		t.Logf("%.2f statements per call", float64(ran)/calls)
		require.LessOrEqual(t, ran, most)
		for i := range accounts {
			a, err := c.Account(t.Context(), account(i), "")
			require.NoError(t, err)
			require.EqualValues(t, 1000, a.Balance)
			require.EqualValues(t, 10*calls/accounts, a.Held)
			customer, err := c.store.Customer(t.Context(), a.ID)
			require.NoError(t, err)
			require.Empty(t, customer, "it waits for its turn")
		}
	})
}
