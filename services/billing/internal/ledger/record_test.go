package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// records lists the usage records of user_1 by their holds.
func (b *fixture) records() map[string]ledger.UsageRecord {
	b.t.Helper()
	list, err := b.UsageOfUser(b.t.Context(), "user_1", "", "", 100)
	require.NoError(b.t, err)
	all := map[string]ledger.UsageRecord{}
	for _, r := range list {
		all[r.HoldID] = r
	}
	require.Len(b.t, all, len(list), "a hold has one record")
	return all
}

// TestUsageRecords looks at every field of a call's record after each way on which a call can be charged: by the common
// path, with debt, by the sweeper, and by a correction of the sweeper's charge.
func TestUsageRecords(t *testing.T) {
	swept := ledger.Usage{Input: 90, CachedInput: 40, Output: 8, Reasoning: 3}
	final := ledger.Usage{Input: 80, CachedInput: 30, Output: 20, Reasoning: 9}
	for name, c := range map[string]struct {
		credit        int64
		sweep, settle bool
	}{
		"settled":                      {1_000_000, false, true},
		"settled, with debt":           {10_000, false, true},
		"swept":                        {1_000_000, true, false},
		"swept, with debt":             {10_000, true, false},
		"swept and corrected":          {1_000_000, true, true},
		"swept and corrected, in debt": {10_000, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, "empty", func(t *testing.T, b *fixture) {
				b.give("credit", 10_000)
				h, err := b.Reserve(t.Context(), ledger.Reservation{
					RequestID: "r1", AccountID: alice, UserID: "user_1", APIKeyID: "key_1", Model: "plain", InputTokens: 100, ExpectedInputTokens: 50, MinOutputTokens: 1, MaxOutputTokens: 50,
				})
				require.NoError(t, err)
				another := b.hold("another", 5)
				if c.credit > 10_000 {
					b.give("more", c.credit)
				} else {
					b.settle(b.hold("spends all", 9000), 9990)
				}
				before := b.account().Period
				want := ledger.UsageRecord{HoldID: h.ID, AccountID: alice, UserID: "user_1", APIKeyID: "key_1", Model: "plain"}
				if c.sweep {
					_, err := b.Checkpoint(t.Context(), h.ID, swept, 0)
					require.NoError(t, err)
					b.clock.Add(lease / 2)
					_, err = b.Checkpoint(t.Context(), another.ID, ledger.Usage{}, 0)
					require.NoError(t, err)
					b.clock.Add(lease / 2)
					b.sweep(1)
					want.Usage, want.Cost, want.Outcome, want.Estimated = swept, 50+20+24, ledger.OutcomeAbandoned, true
					want.SettleTime = b.clock.Now()
				}
				b.settle(another, 5) // a younger record, which must stay
				if c.settle {
					b.clock.Add(time.Second)
					end, err := b.Settle(t.Context(), ledger.Settlement{
						HoldID: h.ID, Usage: final, Outcome: ledger.OutcomeUpstreamFailed, ProviderRequestID: "chatcmpl-2",
					})
					require.NoError(t, err)
					require.EqualValues(t, 50+15+60, end.Cost)
					want.Usage, want.Cost, want.Outcome, want.Estimated, want.ProviderRequestID = final, end.Cost, ledger.OutcomeUpstreamFailed, false, "chatcmpl-2"
					if !c.sweep {
						want.SettleTime = b.clock.Now()
					}
				}
				got := b.records()
				want.ID, want.RequestID = got[h.ID].ID, "r1"
				require.NotEmpty(t, want.ID)
				require.Equal(t, want, got[h.ID])

				// The sums of the period are those of the records.
				a := b.account()
				require.Equal(t, ledger.UsageTotal{
					Requests: before.Requests + 2, Cost: before.Cost + want.Cost + 5,
					Usage: ledger.Usage{
						Input: before.Usage.Input + want.Usage.Input + 5, CachedInput: want.Usage.CachedInput,
						Output: want.Usage.Output, Reasoning: want.Usage.Reasoning,
					},
				}, a.Period)
				require.Equal(t, a.Period, b.usage())
				require.Zero(t, a.Held)
			})
		})
	}
}

// TestCreditThatWasKeptLeavesWithItsHold: a settlement takes away at once what a grant kept for the hold beyond its time.
// A hold that was made since keeps nothing of it.
func TestCreditThatWasKeptLeavesWithItsHold(t *testing.T) {
	for name, sweep := range map[string]bool{"settled": false, "corrected": true} {
		t.Run(name, func(t *testing.T) {
			each(t, "empty", func(t *testing.T, b *fixture) {
				b.give("short", 100, b.clock.Now().Add(lease/2))
				b.give("long", 1000)
				old := b.hold("r1", 60)
				if sweep {
					b.clock.Add(lease)
					b.sweep(1)
				} else {
					b.clock.Add(lease / 2)
				}
				younger := b.hold("r2", 80)
				b.settle(old, 10)
				require.Equal(t, map[string]int64{"short": 0, "long": 1000}, b.remaining())
				kinds := []string{}
				for _, e := range b.entries()[:2] { // it and the charge are of one moment
					kinds = append(kinds, e.Kind)
				}
				require.Contains(t, kinds, ledger.KindExpiry)
				b.settle(younger, 80)
				require.EqualValues(t, 920, b.account().Balance)
			})
		})
	}
}

// TestAHoldThatAffordsNoInput is refused for any number of answers and any output.
func TestAHoldThatAffordsNoInput(t *testing.T) {
	for _, choices := range []int64{0, 1, 2, 128} {
		each(t, "empty", func(t *testing.T, b *fixture) {
			b.give("little", 99)
			call := ledger.Reservation{RequestID: "r1", AccountID: alice, Model: "plain", InputTokens: 100, Choices: choices}
			_, err := b.Reserve(t.Context(), call)
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
			require.Zero(t, b.account().Held)
			b.give("one more", 1)
			_, err = b.Reserve(t.Context(), call)
			require.NoError(t, err)
			require.EqualValues(t, 100, b.account().Held)
		})
	}
}

// TestTheExpectedInputIsPartOfARequest: a repetition with another one is another request.
func TestTheExpectedInputIsPartOfARequest(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		call := ledger.Reservation{RequestID: "r1", AccountID: alice, Model: "embed", InputTokens: 100, ExpectedInputTokens: 20}
		_, err := b.Reserve(t.Context(), call)
		require.NoError(t, err)
		call.ExpectedInputTokens = 21
		_, err = b.Reserve(t.Context(), call)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
	})
}

// TestGrantsOfOneExpiryBurnOldestFirst by the time at which they were given, and by their ids when that is the same.
func TestGrantsOfOneExpiryBurnOldestFirst(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		end := b.clock.Now().Add(time.Hour)
		for _, source := range []string{"z", "m", "a"} {
			b.give(source, 10, end)
			b.clock.Add(time.Second)
		}
		b.settle(b.hold("r1", 5), 5)
		require.Equal(t, map[string]int64{"z": 5, "m": 10, "a": 10}, b.remaining())
		b.settle(b.hold("r2", 12), 12)
		require.Equal(t, map[string]int64{"z": 0, "m": 3, "a": 10}, b.remaining())
	})
}
