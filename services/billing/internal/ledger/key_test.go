package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// byKey reserves input tokens by an API key that may spend limit.
func (b *fixture) byKey(l *ledger.Ledger, request string, amount, limit int64, period time.Duration) (ledger.Hold, error) {
	if b.limits != nil {
		return b.limited(l, request, amount, limit, period)
	}
	return l.Reserve(b.t.Context(), ledger.Reservation{
		RequestID: request, AccountID: alice, APIKeyID: "key_1", Model: "embed", InputTokens: amount,
		KeyLimit: ledger.KeyLimit{Amount: limit, Period: period},
	})
}

func TestAKeySpendsUpToItsLimit(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		const limit = 100
		first, err := b.byKey(b.Ledger, "r1", 60, limit, time.Hour)
		require.NoError(t, err)
		_, err = b.byKey(b.Ledger, "r2", 41, limit, time.Hour)
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Equal(t, "The API key may spend $0.0000001 until 2026-11-23T10:00:00Z, of which $0.00000004 is left; this call needs at least $0.000000041. "+
			"Ask for less output, wait, or use a key with a higher limit.", e.Message)
		require.Equal(t, "api_key", e.Metadata["limit"])
		second, err := b.byKey(b.Ledger, "r3", 40, limit, time.Hour)
		require.NoError(t, err, "exactly what is left")
		again, err := b.byKey(b.Ledger, "r3", 40, limit, time.Hour)
		require.NoError(t, err)
		require.Equal(t, second.ID, again.ID, "a repetition is not counted twice")
		require.EqualValues(t, 100, b.account().Held)

		b.settle(first, 30)
		_, err = b.byKey(b.Ledger, "r4", 31, limit, time.Hour)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		third, err := b.byKey(b.Ledger, "r5", 30, limit, time.Hour)
		require.NoError(t, err)
		b.settle(third, 80) // beyond its hold
		_, err = b.byKey(b.Ledger, "r6", 1, limit, time.Hour)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.NoError(t, b.other("r7", 1), "other keys and sessions have their own limits")
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, b.other("r7b", 1))

		b.clock.Set(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
		fourth, err := b.byKey(b.Ledger, "r8", 100, limit, time.Hour)
		require.NoError(t, err, "a new window")
		b.settle(second, 40) // of the old one
		_, err = b.byKey(b.Ledger, "r9", 1, limit, time.Hour)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		b.settle(fourth, 0)
	})
}

func (b *fixture) other(request string, amount int64) error {
	_, err := b.Reserve(b.t.Context(), ledger.Reservation{
		RequestID: request, AccountID: alice, APIKeyID: "key_2", Model: "embed", InputTokens: amount, KeyLimit: ledger.KeyLimit{Amount: 1},
	})
	return err
}

// Without a period of its own the limit is for the account's.
func TestAKeysLimitFollowsTheBillingPeriod(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h, err := b.byKey(b.Ledger, "r1", 50, 50, 0)
		require.NoError(t, err)
		b.settle(h, 50)
		_, err = b.byKey(b.Ledger, "r2", 1, 50, 0)
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Contains(t, e.Message, "until 2026-12-23T00:00:00Z")
		b.clock.Set(b.account().PeriodEnd)
		_, err = b.byKey(b.Ledger, "r3", 50, 50, 0)
		require.NoError(t, err)
	})
}

func TestAKeysLimitClampsTheOutput(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		reserve := func(request string, limit int64) (ledger.Hold, error) {
			return b.Reserve(t.Context(), ledger.Reservation{
				RequestID: request, AccountID: alice, APIKeyID: "key_1", Model: "plain", InputTokens: 10, MinOutputTokens: 1, MaxOutputTokens: 1000,
				KeyLimit: ledger.KeyLimit{Amount: limit},
			})
		}
		_, err := reserve("r1", 12)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		h, err := reserve("r2", 99)
		require.NoError(t, err)
		require.EqualValues(t, 29, h.OutputTokens)
		require.EqualValues(t, 97, h.Amount)
		h, err = reserve("r3", 1_000_000)
		require.NoError(t, err)
		require.EqualValues(t, 297, h.OutputTokens, "the balance is the tighter one")
		_, err = reserve("r4", 1_000_000)
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Equal(t, "balance", e.Metadata["limit"])
	})
}

func TestSweptCallsCountForTheirKey(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		const limit = 100
		h, err := b.byKey(b.Ledger, "r1", 60, limit, 24*time.Hour)
		require.NoError(t, err)
		b.clock.Add(lease)
		b.sweep(1)
		_, err = b.byKey(b.Ledger, "r2", 41, limit, 24*time.Hour)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		b.settle(h, 20)
		_, err = b.byKey(b.Ledger, "r3", 81, limit, 24*time.Hour)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		_, err = b.byKey(b.Ledger, "r4", 80, limit, 24*time.Hour)
		require.NoError(t, err)
	})
}

// BerriAI/litellm#26672 and BerriAI/litellm#40095 let concurrent calls pass a budget.
func TestManyAtOnceCanNotOverspendAKey(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		replicas := []*ledger.Ledger{b.Ledger, b.replica(), b.replica()}
		var group sync.WaitGroup
		for i := range 120 {
			group.Go(func() {
				h, err := b.byKey(replicas[i%3], fmt.Sprintf("r%d", i), 10, 235, time.Hour)
				if err == nil {
					_, err = replicas[(i+1)%3].Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 10}, Outcome: ledger.OutcomeCompleted})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 230, b.account().Period.Cost)
	})
}
