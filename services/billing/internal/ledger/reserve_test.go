package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func TestReserveHoldsTheWorstCase(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
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
		{"worst case is nothing cached", 40, "cheap-cache", 10, 1, 10, 1, 10, 40},
		{"worst case is nothing cached, one short", 39, "cheap-cache", 10, 1, 10, 1, 9, 37},
		{"worst case is dear cached input", 50, "dear-cache", 10, 0, 0, 0, 0, 50},
		{"worst case is dear cached input, one short", 49, "dear-cache", 10, 0, 0, 0, 0, -1},
	}
	each(t, "empty", func(t *testing.T, b *fixture) {
		for i, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				account := fmt.Sprintf("org_%d", i)
				_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: account, Create: true, Source: "test", Amount: c.credit})
				require.NoError(t, err)
				h, err := b.Reserve(t.Context(), ledger.Reservation{
					RequestID: "r", AccountID: account, Model: c.model, InputTokens: c.input, MinOutputTokens: c.least, MaxOutputTokens: c.most, Choices: c.choices,
				})
				if c.held < 0 {
					_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
				} else {
					require.NoError(t, err)
					require.Equal(t, c.held, h.Amount)
					require.Equal(t, c.output, h.OutputTokens)
				}
				a, err := b.Account(t.Context(), account, "")
				require.NoError(t, err)
				require.Equal(t, max(c.held, 0), a.Held)
			})
		}
	})
}

func TestReserveIsIdempotent(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		call := ledger.Reservation{RequestID: "r1", AccountID: alice, UserID: "user_1", Model: "plain", InputTokens: 10, MinOutputTokens: 1, MaxOutputTokens: 20}
		first, err := b.Reserve(t.Context(), call)
		require.NoError(t, err)
		b.clock.Add(time.Second)
		again, err := b.Reserve(t.Context(), call)
		require.NoError(t, err)
		require.Equal(t, first.ID, again.ID)
		require.Equal(t, first.LeaseTime, again.LeaseTime)
		require.Equal(t, first.OutputTokens, again.OutputTokens)
		require.EqualValues(t, 70, b.account().Held)

		others := map[string]func(*ledger.Reservation){
			"user":    func(r *ledger.Reservation) { r.UserID = "user_2" },
			"key":     func(r *ledger.Reservation) { r.APIKeyID = "key_2" },
			"model":   func(r *ledger.Reservation) { r.Model = "embed" },
			"input":   func(r *ledger.Reservation) { r.InputTokens++ },
			"least":   func(r *ledger.Reservation) { r.MinOutputTokens++ },
			"most":    func(r *ledger.Reservation) { r.MaxOutputTokens++ },
			"choices": func(r *ledger.Reservation) { r.Choices = 2 },
		}
		for what, change := range others {
			other := call
			change(&other)
			_, err := b.Reserve(t.Context(), other)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
			require.Equal(t, "requestId", e.Fields[0].Name, what)
			require.EqualValues(t, 70, b.account().Held, what)
		}

		// Another account's ids are its own: nobody can block or see another's calls by guessing them.
		other := call
		other.AccountID = "user_bob"
		bobs, err := b.Reserve(t.Context(), other)
		require.NoError(t, err)
		require.NotEqual(t, first.ID, bobs.ID)

		// The repetition of a call that is over must not run it again, unbilled.
		b.settle(first, 5)
		_, err = b.Reserve(t.Context(), call)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		require.Zero(t, b.account().Held)
	})
}

// A repetition gets its hold even when nothing more would be affordable.
func TestReserveAgainOnAnEmptyAccount(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		h := b.hold("r1", 1000)
		require.Zero(t, b.account().Available())
		require.Equal(t, h.ID, b.hold("r1", 1000).ID)
		require.EqualValues(t, 1000, b.account().Held)
	})
}

func TestReserveRefuses(t *testing.T) {
	each(t, "narrow", func(t *testing.T, b *fixture) {
		call := func(model string, least, most int64) error {
			_, err := b.Reserve(t.Context(), ledger.Reservation{
				RequestID: "r1", AccountID: alice, Model: model, InputTokens: 1, MinOutputTokens: least, MaxOutputTokens: most,
			})
			return err
		}
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, call("gpt-99", 0, 0))
		require.Contains(t, e.Message, "embed")
		e = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, call("plain", 1, 10))
		require.Contains(t, e.Message, "Narrow")
		require.Contains(t, e.Message, "embed, gratis")
		// Once more, now that the account is open and takes the quick way.
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, call("plain", 1, 10))
		require.Zero(t, b.account().Held)
		e = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, call("gratis", 11, 10))
		require.Equal(t, "minOutputTokens", e.Fields[0].Name)

		delete(b.plans.all, "narrow")
		e = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, call("embed", 0, 0))
		require.Contains(t, e.Message, "PLANS_FILE")
		require.Zero(t, b.account().Held)
		_, err := b.Plan(t.Context(), alice)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, err)
	})
}

func TestInsufficientBalanceExplains(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.hold("r1", 400)
		_, err := b.Reserve(t.Context(), ledger.Reservation{
			RequestID: "r2", AccountID: alice, Model: "cheap-cache", InputTokens: 601, MinOutputTokens: 2, MaxOutputTokens: 10,
		})
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Equal(t, "Insufficient balance for this call. The balance is $0.000001, of which $0.0000004 is held for running calls; "+
			"the call needs at least $0.000000607. Add credit, ask for less output, or wait for the new period on 2026-12-23.", e.Message)
		require.Equal(t, map[string]string{"limit": "balance", "balance_nano_usd": "1000", "held_nano_usd": "400"}, e.Metadata)
		require.EqualValues(t, 400, b.account().Held)
	})
}

func TestReserveOfAbsurdSizes(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		const most = ledger.MaxTokens
		b.give("all", ledger.MaxAmount)
		reserve := func(request string, input, least int64) (ledger.Hold, error) {
			return b.Reserve(t.Context(), ledger.Reservation{
				RequestID: request, AccountID: alice, Model: "gold", InputTokens: input, MinOutputTokens: least, MaxOutputTokens: most, Choices: 128,
			})
		}
		// The whole wish costs more than int64 holds; the account affords 1e15/1e9 tokens in all.
		h, err := reserve("r1", 0, 1)
		require.NoError(t, err)
		require.EqualValues(t, 1_000_000/128, h.OutputTokens)
		require.EqualValues(t, (1_000_000/128)*128*1_000_000_000, h.Amount)
		_, err = reserve("r2", most, most)
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Contains(t, e.Message, "more than can be counted")
	})
}

// Who can't pay may still call what costs nothing.
func TestFreeModelsNeedNoBalance(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.settle(b.hold("r1", 1000), 1500)
		require.EqualValues(t, -500, b.account().Balance)
		h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: "r2", AccountID: alice, Model: "gratis", InputTokens: 9, MinOutputTokens: 5, MaxOutputTokens: 50})
		require.NoError(t, err)
		require.Zero(t, h.Amount)
		require.EqualValues(t, 50, h.OutputTokens)
		end, err := b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 9, Output: 7}, Outcome: ledger.OutcomeCompleted})
		require.NoError(t, err)
		require.Zero(t, end.Cost)
		require.EqualValues(t, 2, b.account().Period.Requests, "used, though for nothing")
		require.Len(t, b.entries(), 2, "no movement of nothing")
	})
}
