package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// A request id belongs to its call for at least 24 hours, on every replica. When it is used again after its hold was deleted, the second call is held
// and charged as any other, also by a replica that remembers the first hold as open because another one has settled it.
func TestARequestIDIsUsedAgain(t *testing.T) {
	for name, end := range map[string]struct {
		wait  time.Duration
		close func(t *testing.T, b *fixture, other *ledger.Ledger, h ledger.Hold)
	}{
		"settled": {49 * time.Hour, func(t *testing.T, _ *fixture, other *ledger.Ledger, h ledger.Hold) {
			_, err := other.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 30}, Outcome: ledger.OutcomeCompleted})
			require.NoError(t, err)
		}},
		"swept": {31 * 24 * time.Hour, func(t *testing.T, b *fixture, other *ledger.Ledger, h ledger.Hold) {
			_, err := other.Checkpoint(t.Context(), h.ID, ledger.Usage{Input: 30}, 0)
			require.NoError(t, err)
			b.clock.Add(lease)
			n, err := other.Sweep(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, "empty", func(t *testing.T, b *fixture) {
				b.give("credit", 1000)
				other := b.replica()
				request := ledger.Reservation{RequestID: "r1", AccountID: alice, UserID: "user_1", Model: "embed", InputTokens: 30}
				first, err := b.Reserve(t.Context(), request)
				require.NoError(t, err)
				end.close(t, b, other, first)
				before := b.account().Balance
				require.EqualValues(t, 970, before)

				for range 2 {
					for _, l := range []*ledger.Ledger{b.Ledger, other} {
						_, err := l.Reserve(t.Context(), request)
						_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
					}
					b.clock.Add(24 * time.Hour)
				}
				b.clock.Add(end.wait - 48*time.Hour)
				_, err = other.Fold(t.Context(), always)
				require.NoError(t, err)
				require.NoError(t, other.Prune(t.Context(), 0, always))

				another := b.hold("another", 500) // so that the amount of the first hold is held in any case
				request.Model, request.InputTokens, request.MaxOutputTokens = "plain", 10, 20
				second, err := other.Reserve(t.Context(), request)
				require.NoError(t, err)
				require.Equal(t, first.ID, second.ID)
				require.EqualValues(t, 70, second.Amount)
				b.sound()
				end, err := b.Settle(t.Context(), ledger.Settlement{HoldID: first.ID, Usage: ledger.Usage{Input: 10, Output: 5}, Outcome: ledger.OutcomeCompleted})
				require.NoError(t, err)
				require.EqualValues(t, 25, end.Cost, "at the prices of the second call")
				require.EqualValues(t, 500, b.account().Held)
				b.sound()
				b.settle(another, 0)
				require.EqualValues(t, 945, b.account().Balance)
			})
		})
	}
}
