package ledger_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func TestReserveHoldsTheWorstCase(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *book) {
		h, err := b.Reserve(t.Context(), ledger.Reservation{
			RequestID: "r1", AccountID: alice, UserID: "user_1", APIKeyID: "key_1", Model: "plain", InputTokens: 10, MaxOutputTokens: 20, Choices: 3,
		})
		require.NoError(t, err)
		require.EqualValues(t, 10+3*60, h.Amount)
		require.EqualValues(t, 20, h.OutputTokens)
		require.Equal(t, b.clock.Now().Add(lease), h.LeaseTime)
		require.Equal(t, ledger.Usage{Input: 10}, h.Used, "a hold is never swept at nothing")
		a := b.account()
		require.EqualValues(t, 1000, a.Balance)
		require.EqualValues(t, 190, a.Held)
		require.EqualValues(t, 810, a.Available())
		stored, err := b.store.Hold(t.Context(), h.ID)
		require.NoError(t, err)
		h.SettleTime = stored.SettleTime // zero in two ways
		require.Equal(t, h, stored)
	})
}

// What an account affords, to the nano-dollar.
func TestReserveClamps(t *testing.T) {
	cases := []struct {
		name               string
		credit             int64
		model              string
		input, least, most int64
		choices            int64
		output, held       int64 // held < 0: refused
	}{
		{"exactly affordable", 310, "plain", 10, 1, 100, 1, 100, 310},
		{"one nano short of all", 309, "plain", 10, 1, 100, 1, 99, 307},
		{"exactly the least", 13, "plain", 10, 1, 100, 1, 1, 13},
		{"one nano short of the least", 12, "plain", 10, 1, 100, 1, 0, -1},
		{"least of nothing", 10, "plain", 10, 0, 100, 1, 0, 10},
		{"one nano short of the input", 9, "plain", 10, 0, 100, 1, 0, -1},
		{"choices share", 10 + 3*4*25, "plain", 10, 1, 100, 4, 25, 310},
		{"choices share, one short", 10 + 3*4*25 - 1, "plain", 10, 1, 100, 4, 24, 10 + 3*4*24},
		{"choices, one short of the least", 10 + 3*4 - 1, "plain", 10, 1, 100, 4, 0, -1},
		{"embedding, exactly", 77, "embed", 77, 0, 0, 1, 0, 77},
		{"embedding, one short", 76, "embed", 77, 0, 0, 1, 0, -1},
		{"a fraction is rounded up", 1, "uneven", 1, 0, 0, 0, 0, 1},
		{"a part of a nano is not free", 2, "uneven", 1_000, 1, 1_000_000, 0, 714, 2}, // 0.0015 + 0.0005 each 714
		{"worst case is dear cached input", 50, "dear-cache", 10, 0, 0, 0, 0, 50},
		{"worst case is dear cached input, one short", 49, "dear-cache", 10, 0, 0, 0, 0, -1},
	}
	_ = math.MaxInt64
	each(t, "empty", func(t *testing.T, b *book) {
		for i, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				account := fmt.Sprintf("org_%d", i)
				_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: account, Source: "test", Amount: c.credit})
				require.NoError(t, err)
				h, err := b.Reserve(t.Context(), ledger.Reservation{
					RequestID: "r", AccountID: account, Model: c.model, InputTokens: c.input, MinOutputTokens: c.least, MaxOutputTokens: c.most, Choices: c.choices,
				})
				if c.held < 0 {
					requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
				} else {
					require.NoError(t, err)
					require.Equal(t, c.held, h.Amount)
					require.Equal(t, c.output, h.OutputTokens)
				}
				a, err := b.Account(t.Context(), account)
				require.NoError(t, err)
				require.Equal(t, max(c.held, 0), a.Held)
			})
		}
	})
}
