package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// priced reserves a call whose price its tokens do not describe: 10 input tokens at 2, 20 output tokens at 5, and 30.
func (b *fixture) priced(request string) (ledger.Hold, error) {
	return b.Reserve(b.t.Context(), ledger.Reservation{
		RequestID: request, AccountID: alice, UserID: "user_1", Model: "plain", InputTokens: 10, MinOutputTokens: 20, MaxOutputTokens: 20,
		Pricing: &ledger.Pricing{Input: 2_000_000, Output: 5_000_000, Fixed: 30},
	})
}

func TestPricedCalls(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h, err := b.priced("r1")
		require.NoError(t, err)
		require.EqualValues(t, 10*2+20*5+30, h.Amount)
		again, err := b.priced("r1")
		require.NoError(t, err)
		require.Equal(t, h.ID, again.ID)
		_, err = b.Reserve(t.Context(), ledger.Reservation{
			RequestID: "r1", AccountID: alice, UserID: "user_1", Model: "plain", InputTokens: 10, MinOutputTokens: 20, MaxOutputTokens: 20,
			Pricing: &ledger.Pricing{Input: 2_000_000, Output: 5_000_000, Fixed: 31},
		})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)

		end, err := b.Settle(t.Context(), ledger.Settlement{
			HoldID: h.ID, Usage: ledger.Usage{Input: 3, Output: 7}, Outcome: ledger.OutcomeCompleted, Priced: true, PricedCost: 77,
			CallLog: ledger.CallLog{Details: "images=2,service_tier=flex"},
		})
		require.NoError(t, err)
		require.EqualValues(t, 77, end.Cost)
		require.EqualValues(t, 923, b.account().Balance)
		require.Zero(t, b.account().Held)

		over, err := b.priced("r2")
		require.NoError(t, err)
		end, err = b.Settle(t.Context(), ledger.Settlement{HoldID: over.ID, Outcome: ledger.OutcomeCompleted, Priced: true, PricedCost: 999})
		require.NoError(t, err)
		require.Equal(t, over.Amount, end.Cost, "at most the hold is charged")

		free, err := b.priced("r3")
		require.NoError(t, err)
		end, err = b.Settle(t.Context(), ledger.Settlement{HoldID: free.ID, Outcome: ledger.OutcomeUpstreamFailed})
		require.NoError(t, err)
		require.Zero(t, end.Cost)
		require.EqualValues(t, 2, b.account().Period.Requests, "a call that has a cost is counted, also without tokens")
		found, err := b.Audit(t.Context())
		require.NoError(t, err)
		require.Empty(t, found, "also while it waits to be folded")

		// The details are in the record before and after the fold, beside records without any.
		for _, stage := range []string{"before the fold", "after it"} {
			record, err := b.Call(t.Context(), alice, "r1")
			require.NoError(t, err, stage)
			require.Equal(t, "images=2,service_tier=flex", record.Details, stage)
			_, err = b.Fold(t.Context(), always)
			require.NoError(t, err)
		}
		records, _, _, err := b.Calls(t.Context(), ledger.CallQuery{AccountID: alice}, ledger.CallCursor{}, 10)
		require.NoError(t, err)
		require.Len(t, records, 3)
		for _, r := range records {
			require.Equal(t, r.RequestID == "r1", r.Details != "", r.RequestID)
		}
	})
}

// A dead process leaves the cost of its last checkpoint; a late settlement corrects it.
func TestSweepOfAPricedCall(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h, err := b.priced("r1")
		require.NoError(t, err)
		_, err = b.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 5}, 44)
		require.NoError(t, err)
		_, err = b.Checkpoint(t.Context(), h.ID, ledger.Usage{}, 4)
		require.NoError(t, err)
		unmarked, err := b.priced("r2")
		require.NoError(t, err)
		absurd, err := b.priced("r3")
		require.NoError(t, err)
		_, err = b.Checkpoint(t.Context(), absurd.ID, ledger.Usage{}, 1<<40)
		require.NoError(t, err)
		b.clock.Add(lease + time.Minute)
		swept, err := b.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, 3, swept)
		for id, want := range map[string]int64{h.ID: 44, unmarked.ID: 10 * 2, absurd.ID: absurd.Amount} {
			stored, err := b.store.Hold(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, want, stored.Cost)
		}
		end, err := b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 5}, Outcome: ledger.OutcomeCompleted, Priced: true, PricedCost: 60})
		require.NoError(t, err)
		require.EqualValues(t, 60, end.Cost)
	})
}

func TestPricedCallsNeedTheirWholePrice(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("some", 149)
		_, err := b.priced("r1")
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Contains(t, e.Message, "$0.00000015", "the part that is not tokens counts")
		b.give("more", 1)
		_, err = b.priced("r1")
		require.NoError(t, err)
		require.EqualValues(t, 150, b.account().Held)
	})
}
