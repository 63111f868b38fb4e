package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

const (
	// childURL makes the test's program a process that makes calls, folds, sweeps and erases in that database until it is killed.
	childURL = "LEDGER_TEST_CHILD_URL"
	// childRound is part of its requests' ids.
	childRound   = "LEDGER_TEST_CHILD_ROUND"
	childCallers = 16
	childLease   = 50 * time.Millisecond
)

// child writes a line for each answer that a caller has seen: "held REQUEST HOLD", "settled HOLD COST" or "erased USER".
func child(ctx context.Context, seen io.Writer) int {
	err := func() error {
		db, err := database.Open(ctx, database.Config{URL: settings.NewSecret(os.Getenv(childURL)), Schema: "billing", Beside: true})
		if err != nil {
			return err
		}
		rows := newDying(store.New(db))
		book, err := childLedger(rows)
		if err != nil {
			return err
		}
		var all sync.WaitGroup
		for i := range childCallers {
			all.Go(func() { childCalls(ctx, book, i, seen) })
		}
		defer all.Wait()
		for n := 0; ; n++ {
			user := fmt.Sprintf("user_%s_%d", os.Getenv(childRound), n)
			_, folded := book.Fold(ctx, always)
			_, swept := book.Sweep(ctx)
			if err := errors.Join(folded, swept, rows.EraseUser(ctx, user)); err != nil {
				return err
			}
			fmt.Fprintln(seen, "erased", user)
		}
	}()
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func childLedger(rows ledger.Store) (*ledger.Ledger, error) {
	list, err := models.Parse([]byte(priceFile))
	if err != nil {
		return nil, err
	}
	parsed, err := plans.Parse([]byte(planFile), nil)
	if err != nil {
		return nil, err
	}
	catalog := &fixedPlans{all: map[string]plans.Plan{}, fallback: "empty"}
	for _, plan := range parsed.Plans {
		catalog.all[plan.ID] = plan
	}
	return ledger.New(ledger.Options{
		Store: rows, Prices: list, Plans: catalog, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Lease: childLease,
	}), nil
}

// childCalls makes calls one after another. One of eight is left to the sweeper.
func childCalls(ctx context.Context, book *ledger.Ledger, caller int, seen io.Writer) {
	for n := 0; ; n++ {
		request := fmt.Sprintf("%s.%d.%d", os.Getenv(childRound), caller, n)
		h, err := book.Reserve(context.WithValue(ctx, opKey{}, "hold"), ledger.Reservation{
			RequestID: request, AccountID: fmt.Sprintf("org_%d", caller%4), UserID: fmt.Sprintf("user_%s_%d", os.Getenv(childRound), n%50),
			APIKeyID: "key_1", KeyLimit: ledger.KeyLimit{Amount: int64(caller % 2 * ledger.MaxAmount), Period: time.Hour}, Model: "embed", InputTokens: 100,
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Fprintln(seen, "held", request, h.ID) // one write: lines do not mix
		if n%8 == 7 {
			continue
		}
		if n%3 == 0 {
			_, err = book.Checkpoint(context.WithValue(ctx, opKey{}, "checkpoint"), h.ID, ledger.Usage{Input: 50}, 0)
		}
		var end ledger.Closing
		if err == nil || errors.As(err, new(*ledger.HoldClosedError)) {
			end, err = book.Settle(context.WithValue(ctx, opKey{}, "settle"), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: int64(n%100 + 1)}, Outcome: ledger.OutcomeCompleted})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Fprintln(seen, "settled", h.ID, end.Cost)
	}
}

// TestKilledLedger kills processes while they reserve, checkpoint, settle, sweep, fold and erase: three at a time on PostgreSQL. What a caller has
// seen is there, once, and the ledger is sound. LEDGER_TEST_KILLS says how often (default 3 times for each database).
func TestKilledLedger(t *testing.T) {
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("LEDGER_TEST_KILLS")); err == nil {
		kills = n
	}
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.fund()
		var lines []string
		for round := range kills {
			var group sync.WaitGroup
			var mu sync.Mutex
			for replica := range map[database.Dialect]int{database.SQLite: 1, database.Postgres: 3}[b.db.Dialect()] {
				group.Go(func() {
					seen := b.killedAfter(fmt.Sprintf("%d-%d", round, replica), 50+rand.IntN(400))
					mu.Lock()
					defer mu.Unlock()
					lines = append(lines, seen...)
				})
			}
			group.Wait()
			b.sound()
		}
		b.checkSeen(lines)
	})
}

// fund gives the accounts of the children what is never spent.
func (b *fixture) fund() {
	b.t.Helper()
	for i := range 4 {
		_, err := b.Grant(b.t.Context(), ledger.NewGrant{AccountID: fmt.Sprintf("org_%d", i), Create: true, Source: "all", Amount: ledger.MaxAmount})
		require.NoError(b.t, err)
	}
}

// checkSeen compares what callers have seen with the ledger, when all holds of dead processes are swept.
func (b *fixture) checkSeen(lines []string) {
	b.t.Helper()
	b.clock.Set(time.Now().Add(time.Hour))
	_, err := b.Sweep(b.t.Context())
	require.NoError(b.t, err)
	calls := 0
	for _, line := range lines {
		switch f := strings.Fields(line); f[0] {
		case "held":
			h, err := b.store.Hold(b.t.Context(), f[2])
			require.NoError(b.t, err, line)
			require.Equal(b.t, f[1], h.RequestID)
			require.NotEqual(b.t, ledger.StateOpen, h.State)
			calls++
		case "settled":
			h, err := b.store.Hold(b.t.Context(), f[1])
			require.NoError(b.t, err, line)
			require.Equal(b.t, ledger.StateSettled, h.State)
			require.Equal(b.t, f[2], strconv.FormatInt(h.Cost, 10))
		case "erased":
			require.Zero(b.t, b.count("SELECT COUNT(*) FROM hold WHERE user_id = $1", f[1]), line)
			records, err := b.UsageOfUser(b.t.Context(), f[1], "", "", 1)
			require.NoError(b.t, err)
			require.Empty(b.t, records, line)
		}
	}
	cost := int64(0)
	for i := range 4 {
		a, err := b.Account(b.t.Context(), fmt.Sprintf("org_%d", i), "")
		require.NoError(b.t, err)
		require.Zero(b.t, a.Held)
		require.Equal(b.t, ledger.MaxAmount-a.Balance, a.Period.Cost)
		_, total, err := b.Usage(b.t.Context(), ledger.UsageQuery{AccountID: a.ID, From: a.PeriodStart, To: a.PeriodEnd})
		require.NoError(b.t, err)
		require.Equal(b.t, a.Period, total)
		cost += total.Cost
	}
	require.Equal(b.t, b.count("SELECT SUM(cost) FROM hold"), cost)
	b.t.Logf("%d lines, %d calls", len(lines), calls)
}

// killedAfter runs a process until its callers have seen some answers, kills it, and returns what they saw.
func (b *fixture) killedAfter(round string, answers int) (seen []string) {
	process := exec.CommandContext(b.t.Context(), os.Args[0])
	process.Env = append(os.Environ(), childURL+"="+b.place.URL.Reveal(), childRound+"="+round)
	var trouble strings.Builder
	process.Stderr = &trouble
	out, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		b.t.Error(err)
		return nil
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if seen = append(seen, lines.Text()); len(seen) == answers {
			_ = process.Process.Kill()
		}
	}
	if err := process.Wait(); err == nil || len(seen) < answers {
		b.t.Errorf("the process ended by itself: %v: %s", err, trouble.String())
	}
	return seen
}

// TestAFullDiskRefuses: a write that fails is refused and leaves nothing, and the ledger works on when there is room again.
func TestAFullDiskRefuses(t *testing.T) {
	db := databasetest.SQLite(t, store.Migrations())
	b := newFixture(t, db, "monthly")
	first := b.hold("r1", 10)
	b.exec("PRAGMA max_page_count = 1") // as many as there are
	refused, before := false, b.account()
	for i := 0; i < 400 && !refused; i++ {
		_, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: fmt.Sprint("big", i), AccountID: alice, Model: "embed", InputTokens: 1, UserID: strings.Repeat("u", 100)})
		if err == nil {
			before = b.account()
			continue
		}
		refused = true
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.Equal(t, before, b.account())
	}
	require.True(t, refused)
	b.exec("PRAGMA max_page_count = 1000000")
	b.settle(first, 7)
	b.hold("r2", 10)
	b.sound()
}
