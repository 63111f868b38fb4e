package ledger_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// 300 calls at once, by three replicas, on a budget for 73 and all but one nano-dollar of the 74th.
func TestManyAtOnceCanNotOverspend(t *testing.T) {
	const calls, fits, price = 300, 73, 100
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("budget", fits*price+price-1)
		replicas := []*ledger.Ledger{b.Ledger, b.replica(), b.replica()}
		var held, refused atomic.Int64
		var holds sync.Map
		var group sync.WaitGroup
		for i := range calls {
			group.Go(func() {
				h, err := replicas[i%len(replicas)].Reserve(t.Context(), ledger.Reservation{
					RequestID: fmt.Sprintf("r%d", i), AccountID: alice, Model: "embed", InputTokens: price,
				})
				switch {
				case err == nil:
					held.Add(1)
					holds.Store(h.ID, h)
				case reasonOf(err) == errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		require.EqualValues(t, fits, held.Load())
		require.EqualValues(t, calls-fits, refused.Load())
		require.EqualValues(t, fits*price, b.account().Held)

		// All are settled at once, each twice, for a little less; then the rest of the budget is there again, to the nano-dollar.
		holds.Range(func(_, v any) bool {
			h := v.(ledger.Hold)
			for r := range 2 {
				group.Go(func() {
					end, err := replicas[r].Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 60}, Outcome: ledger.OutcomeCompleted})
					if err != nil || end.Cost != 60 {
						t.Errorf("settle: %v, cost %d", err, end.Cost)
					}
				})
			}
			return true
		})
		group.Wait()
		a := b.account()
		require.EqualValues(t, fits*price+price-1-fits*60, a.Balance)
		require.Zero(t, a.Held)
		require.EqualValues(t, fits, a.Period.Requests)
	})
}

// Calls that take less when there is less share the budget to its last affordable token.
func TestManyAtOnceShareABudget(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("budget", 1000)
		var group sync.WaitGroup
		var held atomic.Int64
		for i := range 100 {
			group.Go(func() {
				h, err := b.Reserve(t.Context(), ledger.Reservation{
					RequestID: fmt.Sprintf("r%d", i), AccountID: alice, Model: "plain", InputTokens: 1, MinOutputTokens: 1, MaxOutputTokens: 50,
				})
				if err != nil {
					return
				}
				held.Add(h.Amount)
				if h.Amount != 1+3*h.OutputTokens {
					t.Errorf("%d nano-dollars are held for %d tokens", h.Amount, h.OutputTokens)
				}
			})
		}
		group.Wait()
		require.Equal(t, held.Load(), b.account().Held)
		// Six full ones take 906 of 1000; the seventh is clamped to 31 tokens, for exactly the 94 that are left.
		require.Zero(t, b.account().Available())
	})
}

// One request that is sent many times at once, by three replicas, is held once.
func TestOneRequestManyTimesAtOnce(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		replicas := []*ledger.Ledger{b.Ledger, b.replica(), b.replica()}
		var group sync.WaitGroup
		for i := range 60 {
			group.Go(func() {
				_, err := replicas[i%len(replicas)].Reserve(t.Context(), ledger.Reservation{RequestID: "r", AccountID: alice, Model: "embed", InputTokens: 600})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 600, b.account().Held)
	})
}

// An account that many open at once gets its credit once.
func TestManyOpenOneAccount(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		replicas := []*ledger.Ledger{b.Ledger, b.replica(), b.replica()}
		var group sync.WaitGroup
		for i := range 60 {
			group.Go(func() {
				a, err := replicas[i%len(replicas)].Account(t.Context(), alice, "")
				if err != nil || a.Balance != 1000 {
					t.Errorf("account: %v, balance %d", err, a.Balance)
				}
			})
		}
		group.Wait()
		require.Len(t, b.entries(), 1)
		b.clock.Set(b.account().PeriodEnd)
		for i := range 60 {
			group.Go(func() {
				a, err := replicas[i%len(replicas)].Account(t.Context(), alice, "")
				if err != nil || a.Balance != 1000 {
					t.Errorf("account in its next period: %v, balance %d", err, a.Balance)
				}
			})
		}
		group.Wait()
		require.Len(t, b.entries(), 3)
	})
}

// The same grant many times at once is given once; another under its source is refused.
func TestGrantsAreIdempotent(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		replicas := []*ledger.Ledger{b.Ledger, b.replica()}
		var group sync.WaitGroup
		for i := range 40 {
			group.Go(func() {
				_, err := replicas[i%2].Grant(t.Context(), ledger.NewGrant{AccountID: alice, Create: true, Source: "promo", Amount: 70})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 70, b.account().Balance)
		require.Len(t, b.entries(), 1)
	})
}

// Many accounts on many replicas: transactions that hold several accounts' locks in different orders must all come through.
func TestReplicasShareManyAccounts(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		const accounts, rounds = 20, 10
		replicas := []*ledger.Ledger{b.Ledger, b.replica(), b.replica()}
		var group sync.WaitGroup
		for r, replica := range replicas {
			for i := range accounts {
				group.Go(func() {
					for n := range rounds {
						account := fmt.Sprintf("org_%d", (i+n*(r+1))%accounts)
						h, err := replica.Reserve(t.Context(), ledger.Reservation{
							RequestID: fmt.Sprintf("r%d.%d.%d", r, i, n), AccountID: account, Model: "embed", InputTokens: 3,
						})
						if err == nil {
							_, err = replica.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 2}, Outcome: ledger.OutcomeCompleted})
						}
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		group.Wait()
		for i := range accounts {
			a, err := b.Account(t.Context(), fmt.Sprintf("org_%d", i), "")
			require.NoError(t, err)
			require.EqualValues(t, 1000-2*rounds*len(replicas), a.Balance)
		}
	})
}
