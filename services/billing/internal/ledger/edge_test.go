package ledger_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// TestAKeysWindowAtItsEdges counts a hold in the window that begins at its moment, and not in the one that ends then.
func TestAKeysWindowAtItsEdges(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		start := b.clock.Now().Truncate(time.Minute)
		take := func(request string, at time.Time, amount int64) error {
			b.clock.Set(at)
			_, err := b.byKey(b.Ledger, request, amount, 100, time.Minute)
			return err
		}
		refused := func(err error) {
			t.Helper()
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		}
		require.NoError(t, take("r1", start, 60))
		refused(take("r2", start.Add(time.Minute-time.Microsecond), 41))
		require.NoError(t, take("r3", start.Add(time.Minute), 60), "a new window begins")
		refused(take("r4", start.Add(time.Minute), 41))
		require.NoError(t, take("r5", start.Add(time.Minute-time.Microsecond), 40), "a clock that is behind finds the old window")
		refused(take("r6", start.Add(time.Minute-time.Microsecond), 1))
		require.NoError(t, take("r7", start.Add(time.Minute), 40))
	})
}

// TestAWindowThatIsSummedUpLater has the same edges: the holds were made while the key had no limit.
func TestAWindowThatIsSummedUpLater(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		start := b.clock.Now().Truncate(time.Minute).Add(time.Minute)
		for request, at := range map[string]time.Time{
			"before": start.Add(-time.Microsecond), "first": start, "last": start.Add(time.Minute - time.Microsecond), "after": start.Add(time.Minute),
		} {
			b.clock.Set(at)
			_, err := b.byKey(b.Ledger, request, 30, 0, 0)
			require.NoError(t, err)
		}
		b.clock.Set(start.Add(time.Second))
		_, err := b.byKey(b.Ledger, "r1", 41, 100, time.Minute)
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Equal(t, "40", e.Metadata["available_nano_usd"])
		_, err = b.byKey(b.Ledger, "r2", 40, 100, time.Minute)
		require.NoError(t, err)
	})
}

// TestAKeyOfTwoAccounts keeps what each account's key spends apart, though the keys are named alike.
func TestAKeyOfTwoAccounts(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		take := func(account, request string, amount int64) (ledger.Hold, error) {
			return b.Reserve(t.Context(), ledger.Reservation{
				RequestID: request, AccountID: account, APIKeyID: "key_1", Model: "embed", InputTokens: amount,
				KeyLimit: ledger.KeyLimit{Amount: 100, Period: time.Hour},
			})
		}
		accounts := []string{"user_aaa", alice, "user_zzz"}
		holds := map[string]ledger.Hold{}
		for _, account := range accounts {
			h, err := take(account, "r1", 70)
			require.NoError(t, err, account)
			holds[account] = h
		}
		b.settle(holds[alice], 20)
		for _, account := range accounts {
			amount := int64(30)
			if account == alice {
				amount = 80
			}
			_, err := take(account, "r2", amount+1)
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
			_, err = take(account, "r3", amount)
			require.NoError(t, err, account)
		}
	})
}

// TestTheBalanceIsNamedWhenAKeysLimitLeavesAsMuch: raising the key's limit would not help.
func TestTheBalanceIsNamedWhenAKeysLimitLeavesAsMuch(t *testing.T) {
	for left, want := range map[int64]string{999: "api_key", 1000: "balance", 1001: "balance"} {
		each(t, "monthly", func(t *testing.T, b *fixture) {
			_, err := b.byKey(b.Ledger, "r1", 1001, left, time.Hour)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
			require.Equal(t, want, e.Metadata["limit"], left)
		})
	}
}

// TestAClockBehindThePeriod makes holds and charges by a replica whose clock has not reached the period that another has
// begun: everything belongs to the new period.
func TestAClockBehindThePeriod(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		end := b.account().PeriodEnd
		b.clock.Set(end)
		require.Equal(t, end, b.account().PeriodStart)
		b.clock.Set(end.Add(-time.Second))
		h := b.hold("r1", 400)
		require.Equal(t, end, h.CreateTime)
		b.settle(h, 300)
		swept := b.hold("r2", 100)
		b.clock.Add(lease) // of a hold that was made at the period's start by the clock that is behind
		b.clock.Set(end.Add(lease))
		b.sweep(1)
		a := b.account()
		require.EqualValues(t, 400, a.Period.Cost)
		require.EqualValues(t, 2, a.Period.Requests)
		require.EqualValues(t, 600, a.Balance)
		require.Equal(t, end, swept.CreateTime)
	})
}

// TestLateSettlementsRace reports different usage of a swept hold by many replicas at once: the first corrects the
// sweeper's charge, and the others get its answer.
func TestLateSettlementsRace(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		replicas := []*ledger.Ledger{b.replica(), b.replica(), b.again()}
		for round := range 5 {
			h := b.hold(fmt.Sprintf("r%d", round), 100)
			b.clock.Add(lease)
			b.sweep(1)
			before := b.account().Balance + 100
			costs := make([]int64, 12)
			var group sync.WaitGroup
			for i := range costs {
				group.Go(func() {
					end, err := replicas[i%len(replicas)].Settle(t.Context(), ledger.Settlement{
						HoldID: h.ID, Usage: ledger.Usage{Input: int64(50 + i)}, Outcome: ledger.OutcomeCompleted,
					})
					if err != nil {
						t.Error(err)
					}
					costs[i] = end.Cost
				})
			}
			group.Wait()
			for _, cost := range costs {
				require.Equal(t, costs[0], cost)
			}
			require.Equal(t, before-costs[0], b.account().Balance)
		}
	})
}

// TestASettledHoldAnswersAsBefore whatever is reported of it now, also to the process that remembers it as open.
func TestASettledHoldAnswersAsBefore(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		for request, used := range map[string]ledger.Usage{
			"as before": {Input: 30}, "more": {Input: 70}, "nothing": {}, "impossible": {Input: -1}, "beyond measure": {Input: 1 << 40},
		} {
			h := b.hold(request, 100)
			_, err := b.replica().Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 30}, Outcome: ledger.OutcomeCompleted})
			require.NoError(t, err)
			end, err := b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: used, Outcome: ledger.OutcomeCompleted})
			require.NoError(t, err, request)
			require.EqualValues(t, 30, end.Cost, request)
		}
		require.EqualValues(t, 1000-5*30, b.account().Balance)
	})
}

// lateSweeper is a store whose list of expired holds is old by the time when the sweeper gets it.
type lateSweeper struct {
	*store.Store
	meanwhile func()
}

func (s lateSweeper) ExpiredHolds(ctx context.Context, at time.Time, after ledger.Hold, limit int) ([]ledger.Hold, error) {
	holds, err := s.Store.ExpiredHolds(ctx, at, after, limit)
	s.meanwhile()
	return holds, err
}

// TestTheSweeperLooksAgain: a hold that was extended, settled or swept since the sweeper listed it is left alone, and one
// with a newer checkpoint is charged that.
func TestTheSweeperLooksAgain(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(b *fixture, h ledger.Hold)
		swept     int
		state     ledger.State
		cost      int64
	}{
		"nothing":  {func(*fixture, ledger.Hold) {}, 1, ledger.StateSwept, 100},
		"extended": {func(b *fixture, h ledger.Hold) { b.checkpoint(h, 120) }, 0, ledger.StateOpen, 0},
		"extended long ago": {func(b *fixture, h ledger.Hold) {
			b.checkpoint(h, 120)
			b.clock.Add(lease)
		}, 1, ledger.StateSwept, 120},
		"settled": {func(b *fixture, h ledger.Hold) { b.settle(h, 30) }, 0, ledger.StateSettled, 30},
		"swept":   {func(b *fixture, _ ledger.Hold) { b.sweep(1) }, 0, ledger.StateSwept, 100},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, "monthly", func(t *testing.T, b *fixture) {
				h := b.hold("r1", 100)
				b.clock.Add(lease)
				late := ledger.New(ledger.Options{
					Store:  lateSweeper{b.store, func() { c.meanwhile(b, h) }},
					Prices: prices(t), Plans: b.plans, Now: b.clock.Now, Logger: slog.New(slog.DiscardHandler), Lease: lease,
				})
				n, err := late.Sweep(t.Context())
				require.NoError(t, err)
				require.Equal(t, c.swept, n)
				stored := b.read(h)
				require.Equal(t, c.state, stored.State)
				require.Equal(t, c.cost, stored.Cost)
				require.Equal(t, 1000-c.cost, b.account().Balance)
			})
		})
	}
}

func (b *fixture) checkpoint(h ledger.Hold, input int64) {
	b.t.Helper()
	_, err := b.Checkpoint(b.t.Context(), h.ID, ledger.Usage{Input: input}, 0)
	require.NoError(b.t, err)
}
