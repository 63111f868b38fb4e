package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// under is a call of 10 nano-dollars under an idempotency key.
func under(key, digest, request string) ledger.Reservation {
	return ledger.Reservation{
		RequestID: request, AccountID: alice, UserID: "user_1", Model: "embed", InputTokens: 10, Once: ledger.Once{Key: key, RequestDigest: digest},
	}
}

// What a repetition gets depends on how the first call ended.
func TestARepetitionUnderAnIdempotencyKey(t *testing.T) {
	const none = errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
	cases := []struct {
		name    string
		end     *ledger.Settlement // nil: the call runs
		digest  string
		want    errorsv1.ErrorReason
		cost    string
		running bool
	}{
		{"running", nil, "same", errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS, "", true},
		{"completed", &ledger.Settlement{Usage: ledger.Usage{Input: 7}, Outcome: ledger.OutcomeCompleted}, "same", errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, "7", false},
		{"completed for nothing", &ledger.Settlement{Outcome: ledger.OutcomeCompleted}, "same", errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, "0", false},
		{"broken off, billed", &ledger.Settlement{Usage: ledger.Usage{Input: 3}, Outcome: ledger.OutcomeUpstreamFailed}, "same", errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, "3", false},
		{"left, billed", &ledger.Settlement{Usage: ledger.Usage{Input: 1}, Outcome: ledger.OutcomeCallerLeft}, "same", errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, "1", false},
		{"failed, not billed", &ledger.Settlement{Outcome: ledger.OutcomeUpstreamFailed}, "same", none, "", false},
		{"left, not billed", &ledger.Settlement{Outcome: ledger.OutcomeCallerLeft}, "same", none, "", false},
		{"replaced", &ledger.Settlement{Outcome: ledger.OutcomeReplaced}, "same", none, "", false},
		{"another request, running", nil, "other", errorsv1.ErrorReason_ERROR_REASON_IDEMPOTENCY_KEY_REUSED, "", false},
		{"another request, completed", &ledger.Settlement{Usage: ledger.Usage{Input: 7}, Outcome: ledger.OutcomeCompleted}, "other", errorsv1.ErrorReason_ERROR_REASON_IDEMPOTENCY_KEY_REUSED, "", false},
		{"another request, not billed", &ledger.Settlement{Outcome: ledger.OutcomeUpstreamFailed}, "other", errorsv1.ErrorReason_ERROR_REASON_IDEMPOTENCY_KEY_REUSED, "", false},
	}
	each(t, "monthly", func(t *testing.T, b *fixture) {
		for n, tc := range cases {
			key, first, second := fmt.Sprint("key_", n), fmt.Sprint("first_", n), fmt.Sprint("second_", n)
			h, err := b.Reserve(t.Context(), under(key, "same", first))
			require.NoError(t, err, tc.name)
			again, err := b.Reserve(t.Context(), under(key, "same", first))
			require.NoError(t, err, "billing was not heard, so the same call asks again: %s", tc.name)
			require.Equal(t, h.ID, again.ID, tc.name)
			if tc.end != nil {
				tc.end.HoldID = h.ID
				_, err := b.Settle(t.Context(), *tc.end)
				require.NoError(t, err, tc.name)
			}
			before := b.account()
			h, err = b.Reserve(t.Context(), under(key, tc.digest, second))
			if tc.want == none {
				require.NoError(t, err, tc.name)
				_, err = b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 2}, Outcome: ledger.OutcomeCompleted})
				require.NoError(t, err, tc.name)
				_, err = b.Reserve(t.Context(), under(key, tc.digest, "third"))
				e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, err)
				require.Equal(t, map[string]string{"request_id": second, "cost_nano_usd": "2"}, e.Metadata, tc.name)
				continue
			}
			e := requireReason(t, tc.want, err)
			require.Equal(t, before, b.account(), "nothing is held or charged: %s", tc.name)
			switch {
			case tc.cost != "":
				require.Equal(t, map[string]string{"request_id": first, "cost_nano_usd": tc.cost}, e.Metadata, tc.name)
			case tc.running:
				require.Equal(t, map[string]string{"request_id": first}, e.Metadata, tc.name)
				require.Equal(t, idempotency.Retry, e.RetryAfter, tc.name)
			}
		}
	})
}

// A key belongs to its caller and its account for a day. A call that is refused leaves none behind.
func TestTheLifeOfAnIdempotencyKey(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		dear := under("key", "dear", "r0")
		dear.InputTokens = 100_000
		_, err := b.Reserve(t.Context(), dear)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, reasonOf(err))
		h, err := b.Reserve(t.Context(), under("key", "cheap", "r1"))
		require.NoError(t, err, "the refused call did not take the key")
		b.settle(h, 1)

		foreign := under("key", "cheap", "r2")
		foreign.AccountID = "user_bob"
		_, err = b.Reserve(t.Context(), foreign)
		require.NoError(t, err, "another account's key")

		b.clock.Add(idempotency.Kept - time.Nanosecond)
		_, err = b.Sweep(t.Context())
		require.NoError(t, err)
		_, err = b.Reserve(t.Context(), under("key", "cheap", "r3"))
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, reasonOf(err))
		b.clock.Add(time.Nanosecond)
		_, err = b.Reserve(t.Context(), under("key", "other", "r4"))
		require.NoError(t, err, "a day later the key is free")
		require.EqualValues(t, 2, b.count("SELECT count(*) FROM call_key"))
		b.clock.Add(idempotency.Kept)
		_, err = b.Sweep(t.Context())
		require.NoError(t, err)
		require.Zero(t, b.count("SELECT count(*) FROM call_key"), "old keys are deleted")
	})
}

// A call whose process died is billed by the sweeper, and its repetition learns that.
func TestARepetitionOfAnAbandonedCall(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		_, err := b.Reserve(t.Context(), under("key", "same", "r1"))
		require.NoError(t, err)
		b.clock.Add(lease)
		_, err = b.Sweep(t.Context())
		require.NoError(t, err)
		_, err = b.Reserve(t.Context(), under("key", "same", "r2"))
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, err)
		require.Equal(t, map[string]string{"request_id": "r1", "cost_nano_usd": "10"}, e.Metadata)
	})
}

// Of many at once, on two replicas, and for an account that does not exist yet, one is made.
func TestTwinsUnderAnIdempotencyKey(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		replicas := []*ledger.Ledger{b.Ledger, b.Ledger}
		if b.db.Dialect() != "sqlite" { // whose file one process has
			replicas[1] = b.replica()
		}
		const twins = 16
		errs := make([]error, twins)
		var all sync.WaitGroup
		for n := range twins {
			all.Go(func() { _, errs[n] = replicas[n%2].Reserve(t.Context(), under("key", "same", fmt.Sprint("r", n))) })
		}
		all.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS, reasonOf(err))
		}
		require.Equal(t, 1, made)
		require.EqualValues(t, 10, b.account().Held)
	})
}
