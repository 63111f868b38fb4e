package ledger_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func TestSettleChargesToTheNano(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h, err := b.Reserve(t.Context(), ledger.Reservation{
			RequestID: "r1", AccountID: alice, UserID: "user_1", APIKeyID: "key_1", Model: "plain", InputTokens: 100, MinOutputTokens: 1, MaxOutputTokens: 200,
		})
		require.NoError(t, err)
		b.clock.Add(time.Second)
		used := ledger.Usage{Input: 91, CachedInput: 31, Output: 40, Reasoning: 7}
		s := ledger.Settlement{HoldID: h.ID, Usage: used, Outcome: ledger.OutcomeCallerLeft, Estimated: true, ProviderRequestID: "chatcmpl-1"}
		end, err := b.Settle(t.Context(), s)
		require.NoError(t, err)
		const cost = 60 + 16 + 120 // 31 cached tokens cost 15.5, rounded up
		require.EqualValues(t, cost, end.Cost)
		require.EqualValues(t, 1000-cost, end.BalanceAfter)

		a := b.account()
		require.EqualValues(t, 1000-cost, a.Balance)
		require.Zero(t, a.Held)
		require.Zero(t, a.Debt)
		require.Equal(t, ledger.UsageTotal{Requests: 1, Usage: used, Cost: cost}, a.Period)
		require.Equal(t, map[string]int64{"plan:monthly:2026-11-23": 1000 - cost}, b.remaining())

		closed, err := b.store.Hold(t.Context(), h.ID)
		require.NoError(t, err)
		require.Equal(t, ledger.StateSettled, closed.State)
		settled := b.clock.Now()
		b.clock.Add(time.Second)
		entries := b.entries()
		require.Len(t, entries, 2)
		require.Regexp(t, "^ent_[0-9a-v]{26}$", entries[0].ID)
		segment := entries[0].Reference
		require.Regexp(t, "^usage_[0-9a-v]{26}$", segment)
		entries[0].ID = ""
		require.Equal(t, ledger.Entry{
			AccountID: alice, Kind: "usage", Debit: "customer:user_alice", Credit: "revenue:usage", Amount: cost,
			Reference: segment, CreateTime: settled,
		}, entries[0])
		require.Equal(t, "grant", entries[1].Kind)
		require.Equal(t, "equity:grants", entries[1].Debit)
		require.Equal(t, "customer:user_alice", entries[1].Credit)

		records, err := b.UsageOfUser(t.Context(), "user_1", "", "", 10)
		require.NoError(t, err)
		require.Equal(t, []ledger.UsageRecord{{
			ID: segment + ".0", HoldID: h.ID, RequestID: "r1", AccountID: alice, UserID: "user_1", APIKeyID: "key_1", Model: "plain", Usage: used, Cost: cost,
			Outcome: ledger.OutcomeCallerLeft, Estimated: true, ProviderRequestID: "chatcmpl-1", SettleTime: settled,
		}}, records)
	})
}

func TestSettleIsIdempotent(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 100)
		first := b.settle(h, 60)
		b.give("later", 5000)
		b.clock.Add(time.Hour)
		again := b.settle(h, 99) // even with other usage
		require.Equal(t, first.Cost, again.Cost)
		require.Equal(t, first.BalanceAfter, again.BalanceAfter)
		require.EqualValues(t, 940, again.BalanceAfter)
		require.EqualValues(t, 5940, b.account().Balance)
		require.Len(t, b.entries(), 3)
	})
}

func TestSettleOfNothing(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 100)
		first := b.settle(h, 0)
		require.Zero(t, first.Cost)
		require.EqualValues(t, 1000, first.BalanceAfter)
		a := b.account()
		require.Zero(t, a.Held)
		require.Zero(t, a.Period.Requests)
		require.Len(t, b.entries(), 1)
		b.give("later", 1)
		require.EqualValues(t, 1000, b.settle(h, 0).BalanceAfter, "the same answer again")
		require.EqualValues(t, 1000, b.settle(h, 50).BalanceAfter)
	})
}

// What exceeds the hold is charged too, and what exceeds the credit is debt that the next grant pays.
func TestSettleBeyondTheHold(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		require.EqualValues(t, 700, b.settle(b.hold("r1", 100), 300).BalanceAfter)
		require.Zero(t, b.settle(b.hold("r2", 100), 700).BalanceAfter)
		require.Zero(t, b.account().Debt)
		_, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: "r3", AccountID: alice, Model: "embed", InputTokens: 1})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)

		b.give("more", 10)
		require.EqualValues(t, -25, b.settle(b.hold("r4", 10), 35).BalanceAfter)
		a := b.account()
		require.EqualValues(t, 25, a.Debt)
		require.EqualValues(t, -25, a.Available())

		require.Zero(t, b.give("pays part of the debt", 20).Remaining)
		require.EqualValues(t, 5, b.account().Debt)
		require.EqualValues(t, 95, b.give("pays the rest", 100).Remaining)
		a = b.account()
		require.Zero(t, a.Debt)
		require.EqualValues(t, 95, a.Balance)
		b.hold("r5", 95)
	})
}

func TestGrantsBurnSoonestExpiringFirst(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		day := 24 * time.Hour
		now := b.clock.Now()
		b.give("never", 100)
		b.give("in three days", 100, now.Add(3*day))
		b.give("in one day", 100, now.Add(day))
		b.clock.Add(time.Second)
		b.give("in three days, younger", 100, now.Add(3*day))
		b.give("in two days", 100, now.Add(2*day))

		b.settle(b.hold("r1", 100), 100) // exactly the first
		require.Equal(t, map[string]int64{"in one day": 0, "in two days": 100, "in three days": 100, "in three days, younger": 100, "never": 100}, b.remaining())
		b.settle(b.hold("r2", 150), 101) // one more than the next
		require.Equal(t, map[string]int64{"in one day": 0, "in two days": 0, "in three days": 99, "in three days, younger": 100, "never": 100}, b.remaining())
		b.settle(b.hold("r3", 298), 298)
		require.Equal(t, map[string]int64{"in one day": 0, "in two days": 0, "in three days": 0, "in three days, younger": 0, "never": 1}, b.remaining())
	})
}

func TestSettleRefuses(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		_, err := b.Settle(t.Context(), ledger.Settlement{HoldID: "hold_none", Outcome: ledger.OutcomeCompleted})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)

		h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: "r1", AccountID: alice, Model: "plain", InputTokens: 1, MinOutputTokens: 0, MaxOutputTokens: 1})
		require.NoError(t, err)
		for _, bad := range []ledger.Usage{
			{Input: -1},
			{Output: -1},
			{CachedInput: 1},
			{Input: 1, CachedInput: 2},
			{Reasoning: 1},
			{Output: 1, Reasoning: -1},
			{Output: 1, Reasoning: 2},
			{Input: math.MaxInt64, Output: math.MaxInt64},
		} {
			_, err := b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: bad, Outcome: ledger.OutcomeCompleted})
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			require.Equal(t, "usage", e.Fields[0].Name)
		}
		require.EqualValues(t, 4, b.account().Held, "the hold is still open")
	})
}

// The largest charge is MaxAmount, and the balance below it still fits.
func TestSettleAtTheBounds(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("all", ledger.MaxAmount)
		settle := func(request string, output int64) (ledger.Closing, error) {
			h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: request, AccountID: alice, Model: "gratis", MaxOutputTokens: 1})
			require.NoError(t, err)
			require.NoError(t, b.reprice(h.ID, ledger.MaxAmount/1000))
			return b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Output: output}, Outcome: ledger.OutcomeCompleted})
		}
		_, err := settle("r1", 1_000_000_001)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		end, err := settle("r2", 1_000_000_000)
		require.NoError(t, err)
		require.EqualValues(t, ledger.MaxAmount, end.Cost)
		require.Zero(t, end.BalanceAfter)
		end, err = settle("r3", 1_000_000_000)
		require.NoError(t, err)
		require.EqualValues(t, -ledger.MaxAmount, end.BalanceAfter)
	})
}

func TestCheckpoint(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 100)
		b.clock.Add(30 * time.Second)
		until, err := b.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 90, CachedInput: 80, Output: 5, Reasoning: 2}, 0)
		require.NoError(t, err)
		require.Equal(t, b.clock.Now().Add(lease), until)
		stored, err := b.store.Hold(t.Context(), h.ID)
		require.NoError(t, err)
		require.Equal(t, ledger.Usage{Input: 100, CachedInput: 80, Output: 5, Reasoning: 2}, stored.Used, "never lowered")
		require.Equal(t, until, stored.LeaseTime)

		b.clock.Add(-time.Minute)
		again, err := b.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 101, Output: 4, Reasoning: 4}, 0)
		require.NoError(t, err)
		require.Equal(t, until, again, "a clock that goes back shortens no lease")
		stored, err = b.store.Hold(t.Context(), h.ID)
		require.NoError(t, err)
		require.Equal(t, ledger.Usage{Input: 101, CachedInput: 80, Output: 5, Reasoning: 4}, stored.Used)

		_, err = b.Checkpoint(t.Context(), "hold_none", ledger.Usage{}, 0)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		b.settle(h, 1)
		_, err = b.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 1}, 0)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
	})
}
