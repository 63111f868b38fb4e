package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

const maxSum = 8_000_000_000_000_000_000

// boundedSums are the columns of an account that sum up what its calls did.
var boundedSums = []string{
	"period_requests", "period_input_tokens", "period_cached_input_tokens", "period_output_tokens", "period_reasoning_tokens", "period_cost",
}

// A charge that would take a sum beyond its bound is refused with the reason, again and again the same; the hold is not lost: the sweeper
// closes it for nothing, and the account works on.
func TestAChargeBeyondWhatCanBeCounted(t *testing.T) {
	used := ledger.Usage{Input: 20, CachedInput: 10, Output: 20, Reasoning: 10}
	for _, column := range boundedSums {
		t.Run(column, func(t *testing.T) {
			each(t, "monthly", func(t *testing.T, b *fixture) {
				h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: "r1", AccountID: alice, Model: "plain", InputTokens: 20, MaxOutputTokens: 20})
				require.NoError(t, err)
				_, err = b.Checkpoint(t.Context(), h.ID, used, 0)
				require.NoError(t, err)
				b.exec(fmt.Sprintf("UPDATE account SET %s = $1", column), int64(maxSum))
				for range 3 {
					_, err := b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: used, Outcome: ledger.OutcomeCompleted})
					e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
					require.Equal(t, "usage", e.Fields[0].Name)
					require.Contains(t, e.Message, "exceed what can be counted")
				}
				require.Equal(t, h.Amount, b.account().Held)
				b.clock.Add(lease)
				b.sweep(1)
				require.Zero(t, b.account().Held)
				require.EqualValues(t, 1000, b.account().Balance)
				_, err = b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: used, Outcome: ledger.OutcomeCompleted})
				_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
				b.exec(fmt.Sprintf("UPDATE account SET %s = 0", column))
				b.settle(h, 7) // the adjustment comes when there is room again
				require.EqualValues(t, 993, b.account().Balance)
			})
		})
	}
}

// A balance at its lowest takes no more debt.
func TestDebtIsBounded(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: "r1", AccountID: alice, Model: "gratis", MaxOutputTokens: 1})
		require.NoError(t, err)
		b.exec("UPDATE account SET balance = $1, debt = $2", -int64(maxSum), int64(maxSum))
		require.NoError(t, b.reprice(h.ID, 1_000_000))
		_, err = b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Output: 1}, Outcome: ledger.OutcomeCompleted})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		b.exec("UPDATE account SET balance = 0, debt = 0")
		require.EqualValues(t, -1, func() int64 {
			end, err := b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Output: 1}, Outcome: ledger.OutcomeCompleted})
			require.NoError(t, err)
			return end.BalanceAfter
		}())
	})
}

// What is used up and bought again any number of times in a period still can be read and audited.
func TestManyLargeGrantsInAPeriod(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		for i := range 11 {
			b.give(fmt.Sprint(i), ledger.MaxAmount)
			h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: fmt.Sprint(i), AccountID: alice, Model: "gold", InputTokens: 1_000_000})
			require.NoError(t, err)
			require.EqualValues(t, ledger.MaxAmount, h.Amount)
			b.settle(h, 1_000_000)
			b.sound()
		}
		require.EqualValues(t, 11*ledger.MaxAmount, b.account().Period.Cost)
		require.EqualValues(t, 11*ledger.MaxAmount, b.usage().Cost)
	})
}

// Tokens of a model that costs nothing are bounded too.
func TestUsageIsBounded(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: "r1", AccountID: alice, Model: "gratis", InputTokens: 1})
		require.NoError(t, err)
		for _, u := range []ledger.Usage{{Input: ledger.MaxTokens + 1}, {Output: ledger.MaxTokens + 1}} {
			_, err := b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: u, Outcome: ledger.OutcomeCompleted})
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			_, err = b.Checkpoint(t.Context(), h.ID, u, 0)
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		}
		_, err = b.Settle(t.Context(), ledger.Settlement{
			HoldID: h.ID, Usage: ledger.Usage{Input: ledger.MaxTokens, Output: ledger.MaxTokens}, Outcome: ledger.OutcomeCompleted,
		})
		require.NoError(t, err)
		for field, r := range map[string]ledger.Reservation{
			"inputTokens":         {InputTokens: ledger.MaxTokens + 1},
			"expectedInputTokens": {ExpectedInputTokens: -1},
			"minOutputTokens":     {MinOutputTokens: -1},
			"maxOutputTokens":     {MaxOutputTokens: ledger.MaxTokens + 1},
			"choices":             {Choices: 129},
		} {
			r.RequestID, r.AccountID, r.Model = "r2", alice, "gratis"
			_, err := b.Reserve(t.Context(), r)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			require.Equal(t, field, e.Fields[0].Name)
		}
	})
}

// Any number of old holds that cannot be settled do not keep others from being settled.
func TestHoldsThatFailDoNotStarveTheSweeper(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		const broken = 450 // more than two batches
		for i := range broken {
			b.hold(fmt.Sprintf("broken %d", i), 1)
		}
		b.exec("UPDATE hold SET account_id = 'org_nobody'") // nothing can be charged to it: the holds' amounts were never held there
		b.exec("UPDATE account SET held = 0")
		b.clock.Add(time.Second)
		h := b.hold("good", 10)
		b.clock.Add(lease)
		n, err := b.Sweep(t.Context())
		require.Error(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, ledger.StateSwept, b.read(h).State)
		require.Zero(t, b.account().Held)

		b.clock.Add(time.Second)
		h = b.hold("another", 10)
		b.clock.Add(lease)
		n, err = b.Sweep(t.Context())
		require.Error(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, ledger.StateSwept, b.read(h).State)
		b.exec("DELETE FROM hold WHERE account_id = 'org_nobody'")
	})
}

// A hold that was swept is over: its request id gets no second hold, and its amount is free again once.
func TestASweptHoldIsNotHandedOutAgain(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		r := ledger.Reservation{RequestID: "r1", AccountID: alice, UserID: "user_1", Model: "embed", InputTokens: 100}
		h, err := b.Reserve(t.Context(), r)
		require.NoError(t, err)
		b.clock.Add(lease)
		b.sweep(1)
		for _, l := range []*ledger.Ledger{b.Ledger, b.again(), b.replica()} {
			_, err = l.Reserve(t.Context(), r)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
			require.Equal(t, "requestId", e.Fields[0].Name)
		}
		require.Zero(t, b.account().Held)
		require.EqualValues(t, 900, b.account().Balance)
		require.Equal(t, ledger.StateSwept, b.read(h).State)
		_, err = b.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 1000}, 0)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		b.sweep(0)
		require.EqualValues(t, 900, b.account().Balance)
	})
}
