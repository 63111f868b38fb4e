package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

func (b *fixture) sweep(want int) {
	b.t.Helper()
	n, err := b.Sweep(b.t.Context())
	require.NoError(b.t, err)
	require.Equal(b.t, want, n)
}

func (b *fixture) usage() ledger.UsageTotal {
	b.t.Helper()
	_, total, err := b.Usage(b.t.Context(), ledger.UsageQuery{AccountID: alice, From: time.Unix(0, 0), To: b.clock.Now().AddDate(1, 0, 0)})
	require.NoError(b.t, err)
	return total
}

func TestSweepSettlesAtTheLastCheckpoint(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 100)
		other := b.hold("r2", 50)
		b.clock.Add(lease - time.Microsecond)
		b.sweep(0)
		_, err := b.Checkpoint(t.Context(), other.ID, ledger.Usage{Input: 60}, 0)
		require.NoError(t, err)
		b.clock.Add(time.Microsecond)
		b.sweep(1)
		a := b.account()
		require.EqualValues(t, 900, a.Balance, "the input, never nothing")
		require.EqualValues(t, 50, a.Held, "the other has shown that it lives")
		b.sweep(0)
		swept, err := b.store.Hold(t.Context(), h.ID)
		require.NoError(t, err)
		require.Equal(t, ledger.StateSwept, swept.State)

		b.clock.Add(lease)
		b.sweep(1)
		a = b.account()
		require.EqualValues(t, 840, a.Balance, "the checkpoint, beyond the hold")
		require.Zero(t, a.Held)
		require.EqualValues(t, 2, b.usage().Requests)
	})
}

// The bound of the input is too high by design: what a dead process leaves is charged at what its input most likely was.
func TestSweepChargesTheExpectedInput(t *testing.T) {
	for name, tc := range map[string]struct{ expected, charged int64 }{
		"below the bound":    {25, 25},
		"not told":           {0, 100},
		"the bound":          {100, 100},
		"absurdly beyond it": {101, 100},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, "monthly", func(t *testing.T, b *fixture) {
				h, err := b.Reserve(t.Context(), ledger.Reservation{
					RequestID: "r1", AccountID: alice, UserID: "user_1", Model: "embed", InputTokens: 100, ExpectedInputTokens: tc.expected,
				})
				require.NoError(t, err)
				require.EqualValues(t, 100, h.Amount, "the hold is for the bound")
				b.clock.Add(lease)
				b.sweep(1)
				require.Equal(t, 1000-tc.charged, b.account().Balance)
			})
		})
	}
}

// A late Settle adjusts what the sweeper charged, in both directions, once.
func TestSettleAfterSweep(t *testing.T) {
	cases := []struct {
		name            string
		held, true      int64
		entries         int
		balance, record int64
	}{
		{"more", 100, 140, 3, 860, 1},
		{"less", 100, 40, 3, 960, 1},
		{"one nano more", 100, 101, 3, 899, 1},
		{"one nano less", 100, 99, 3, 901, 1},
		{"the same", 100, 100, 2, 900, 1},
		{"nothing", 100, 0, 3, 1000, 0},
		{"from nothing", 0, 40, 2, 960, 1},
		{"nothing from nothing", 0, 0, 1, 1000, 0},
		{"more than there is", 1000, 1200, 3, -200, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			each(t, "monthly", func(t *testing.T, b *fixture) {
				h := b.hold("r1", c.held)
				b.clock.Add(lease)
				b.sweep(1)
				require.Equal(t, 1000-c.held, b.account().Balance)
				b.clock.Add(time.Hour)
				first := b.settle(h, c.true)
				require.Equal(t, c.true, first.Cost)
				require.Equal(t, c.balance, first.BalanceAfter)
				b.sound()
				require.Equal(t, c.balance, b.account().Balance)
				again := b.settle(h, 7)
				require.Equal(t, first.Cost, again.Cost)
				require.Equal(t, first.BalanceAfter, again.BalanceAfter)
				require.Len(t, b.entries(), c.entries)
				require.Equal(t, c.record, b.usage().Requests)
				require.Equal(t, c.true, b.usage().Cost)
				require.Equal(t, c.true, b.account().Period.Cost)
				if last := b.entries()[0]; c.entries == 3 {
					require.Equal(t, "adjustment", last.Kind)
					require.Equal(t, h.ID, last.Reference)
				}
			})
		})
	}
}

// Credit goes back to the grants that paid; the one that burned last is filled first.
func TestAnAdjustmentFillsTheGrantsThatPaid(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("first", 30, b.clock.Now().Add(24*time.Hour))
		b.give("second", 30)
		h := b.hold("r1", 50)
		b.clock.Add(lease)
		b.sweep(1)
		require.Equal(t, map[string]int64{"first": 0, "second": 10}, b.remaining())
		b.settle(h, 25)
		require.Equal(t, map[string]int64{"first": 5, "second": 30}, b.remaining())
	})
}

func TestAnAdjustmentOfExpiredCreditExpires(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("short", 100, b.clock.Now().Add(2*lease))
		h := b.hold("r1", 80)
		b.clock.Add(lease)
		b.sweep(1)
		b.clock.Add(lease)
		require.Zero(t, b.account().Balance)
		require.EqualValues(t, 50, b.settle(h, 30).BalanceAfter)
		require.Zero(t, b.account().Balance)
		require.Equal(t, map[string]int64{"short": 0}, b.remaining())
	})
}

// The debt that a charge made may be paid already: then its correction goes back to the grant that paid it.
func TestAnAdjustmentOfPaidDebt(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("small", 40)
		h := b.hold("r1", 40)
		_, err := b.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 100}, 0)
		require.NoError(t, err)
		b.clock.Add(lease)
		b.sweep(1)
		require.EqualValues(t, 60, b.account().Debt)
		b.give("pays", 55)
		require.EqualValues(t, 5, b.account().Debt)
		require.EqualValues(t, 85, b.settle(h, 10).BalanceAfter)
		require.Equal(t, map[string]int64{"small": 30, "pays": 55}, b.remaining())
		require.Zero(t, b.account().Debt)
	})
}

// What comes back pays the debt of other calls.
func TestAnAdjustmentPaysDebt(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("all", 100)
		first := b.hold("r1", 90)
		second := b.hold("r2", 10)
		_, err := b.Checkpoint(t.Context(), second.ID, ledger.Usage{}, 0)
		require.NoError(t, err)
		b.settle(second, 30)
		require.EqualValues(t, 70, b.account().Balance)
		b.clock.Add(lease)
		b.sweep(1)
		require.EqualValues(t, 20, b.account().Debt)
		require.EqualValues(t, 20, b.settle(first, 50).BalanceAfter)
		require.Zero(t, b.account().Debt)
		require.Equal(t, map[string]int64{"all": 20}, b.remaining())
	})
}

// The correction of usage of a past period leaves the present one alone.
func TestAnAdjustmentInTheNextPeriod(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 100)
		b.clock.Add(lease)
		b.sweep(1)
		day := b.clock.Now()
		b.clock.Set(b.account().PeriodEnd)
		b.settle(h, 150)
		a := b.account()
		require.EqualValues(t, 950, a.Balance)
		require.Equal(t, ledger.UsageTotal{}, a.Period)
		rows, _, err := b.Usage(t.Context(), ledger.UsageQuery{AccountID: alice, From: day.Truncate(24 * time.Hour), To: day.AddDate(0, 0, 1)})
		require.NoError(t, err)
		require.EqualValues(t, 150, rows[0].Cost, "it stays on its day")
	})
}

// Any number of replicas sweep and settle at once: each hold is charged once.
func TestSweepersAndSettlersRace(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		const calls = 40
		for i := range calls {
			b.hold(fmt.Sprintf("r%d", i), 10)
		}
		holds, err := b.store.ExpiredHolds(t.Context(), b.clock.Now().Add(lease), ledger.Hold{}, 1000)
		require.NoError(t, err)
		require.Len(t, holds, calls)
		b.clock.Add(lease)
		var group sync.WaitGroup
		for range 3 {
			replica := b.replica()
			group.Go(func() {
				_, err := replica.Sweep(t.Context())
				if err != nil {
					t.Error(err)
				}
			})
			group.Go(func() {
				for _, h := range holds {
					end, err := replica.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 7}, Outcome: ledger.OutcomeCompleted})
					if err != nil || end.Cost != 7 {
						t.Errorf("settle: %v, cost %d", err, end.Cost)
					}
				}
			})
		}
		group.Wait()
		a := b.account()
		require.EqualValues(t, 1000-7*calls, a.Balance)
		require.Zero(t, a.Held)
		require.EqualValues(t, calls, b.usage().Requests)
	})
}

func TestSweepTakesManyBatches(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		for i := range 450 {
			b.hold(fmt.Sprintf("r%d", i), 1)
		}
		b.clock.Add(lease)
		b.sweep(450)
		require.Zero(t, b.account().Held)
	})
}

// A checkpoint that no price fits closes the hold at what was held.
func TestSweepOfAnAbsurdCheckpoint(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("all", ledger.MaxAmount)
		h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: "r1", AccountID: alice, Model: "gold", InputTokens: 1})
		require.NoError(t, err)
		_, err = b.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: ledger.MaxTokens}, 0)
		require.NoError(t, err)
		b.clock.Add(lease)
		b.sweep(1)
		require.Equal(t, ledger.MaxAmount-h.Amount, b.account().Balance)
	})
}

func TestRunSweepsUntilItsContextEnds(t *testing.T) {
	db := databasetest.SQLite(t, store.Migrations())
	b := newFixture(t, db, "monthly")
	b.hold("r1", 100)
	b.clock.Add(lease)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx, time.Millisecond)
	}()
	require.Eventually(t, func() bool { return b.account().Held == 0 }, 10*time.Second, time.Millisecond)
	cancel()
	<-done
}

// TestAuditOfACorrectedCall: a call that was settled after it was swept has entries of its own, and the audit compares its cost with them also
// while it waits to be folded.
func TestAuditOfACorrectedCall(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 10)
		b.clock.Add(lease)
		n, err := b.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		b.settle(h, 4)
		require.EqualValues(t, 1, b.count("SELECT COUNT(*) FROM unfolded_call WHERE fold = 3"))
		b.sound()
		broken := func(statement, undo string) {
			t.Helper()
			b.exec(statement, h.ID)
			found, err := b.Audit(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, found, statement)
			require.Contains(t, found, ledger.Violation{Rule: "the cost of a hold that has entries of its own is their sum", Subject: h.ID, Want: 4, Got: 5})
			b.exec(undo, h.ID)
			b.sound()
		}
		broken("UPDATE hold SET cost = cost + 1 WHERE id = $1", "UPDATE hold SET cost = cost - 1 WHERE id = $1")

		b.exec("UPDATE unfolded_call SET close_time = close_time + 1 WHERE hold_id = $1", h.ID)
		found, err := b.Audit(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, found, "it is not the call of its hold")
		b.exec("UPDATE unfolded_call SET close_time = close_time - 1 WHERE hold_id = $1", h.ID)
		_, err = b.Fold(t.Context(), always)
		require.NoError(t, err)
	})
}

// A sweep deletes all old idempotency keys, also when many calls were made under one.
func TestASweepDeletesManyKeys(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.exec(`INSERT INTO call_key (id, request_digest, request_id, create_time)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT 'key_' || i, '', '', 0 FROM n`)
		b.sweep(0)
		require.Zero(t, b.count("SELECT COUNT(*) FROM call_key"))
	})
}

// fullStore has always more to delete.
type fullStore struct {
	ledger.Store
	windows, keys int
}

func (s *fullStore) PruneWindows(_ context.Context, _ time.Time, limit int) (int, error) {
	s.windows += limit
	return limit, nil
}

func (s *fullStore) PruneCallKeys(_ context.Context, _ time.Time, limit int) (int, error) {
	s.keys += limit
	return limit, nil
}

// A sweep deletes many rows, but it ends.
func TestASweepDeletesABoundedNumber(t *testing.T) {
	full := &fullStore{Store: store.New(databasetest.SQLite(t, store.Migrations()))}
	_, err := ledger.New(ledger.Options{Store: full, Now: newClock().Now}).Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{50_000, 50_000}, []int{full.windows, full.keys})
}
