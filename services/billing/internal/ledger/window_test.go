package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// spends reserves and settles input tokens by an API key that may spend limit.
func (b *fixture) spends(l *ledger.Ledger, request string, amount, limit int64, period time.Duration) {
	b.t.Helper()
	h, err := b.byKey(l, request, amount, limit, period)
	require.NoError(b.t, err)
	b.settle(h, amount)
}

func (b *fixture) refused(l *ledger.Ledger, request string, amount, limit int64, period time.Duration) {
	b.t.Helper()
	_, err := b.byKey(l, request, amount, limit, period)
	e := requireReason(b.t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
	require.Equal(b.t, "api_key", e.Metadata["limit"])
}

const month = 0 // the account's billing period

// A replica whose clock is a second behind comes back to a window that another has left.
func TestAKeysWindowIsRememberedWhenTheClockGoesBack(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.spends(b.Ledger, "r1", 100, 100, time.Hour)
		b.refused(b.Ledger, "r2", 1, 100, time.Hour)
		ten := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
		b.clock.Set(ten)
		b.spends(b.Ledger, "r3", 1, 100, time.Hour)
		b.clock.Set(ten.Add(-time.Second))
		b.refused(b.Ledger, "r4", 1, 100, time.Hour)
		b.refused(b.replica(), "r5", 100, 100, time.Hour)
		b.sound()
		b.clock.Set(ten)
		b.refused(b.Ledger, "r6", 100, 100, time.Hour)
		b.spends(b.Ledger, "r7", 99, 100, time.Hour)
	})
}

// A limit's period may change at any time, and back: what was spent meanwhile counts in each.
// BerriAI/litellm#34270 and BerriAI/litellm#34492 kept the spend of the earlier window.
func TestAKeysLimitChangesItsPeriod(t *testing.T) {
	const day, week = 24 * time.Hour, 7 * 24 * time.Hour
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.spends(b.Ledger, "r1", 60, 100, month)
		b.refused(b.Ledger, "r2", 41, 100, month)
		b.refused(b.Ledger, "r3", 41, 100, day)
		b.spends(b.Ledger, "r4", 30, 100, day)
		b.refused(b.Ledger, "r5", 11, 100, month)
		b.spends(b.Ledger, "r6", 5, 0, month) // without a limit
		b.refused(b.Ledger, "r7", 6, 100, month)
		b.refused(b.Ledger, "r8", 6, 100, time.Hour)
		b.refused(b.Ledger, "r9", 6, 100, week)
		b.sound()
		b.clock.Add(day)
		b.spends(b.Ledger, "r10", 100, 100, day)
		b.refused(b.Ledger, "r11", 1, 100, month)
		b.refused(b.Ledger, "r12", 1, 100, week)
	})
}

// A day that begins together with the account's billing period is another window.
func TestWindowsThatBeginTogetherAreDifferent(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		day := 24 * time.Hour
		require.Equal(t, b.account().PeriodStart, b.clock.Now().Truncate(day))
		b.spends(b.Ledger, "r1", 100, 100, day)
		b.clock.Add(day)
		b.spends(b.Ledger, "r2", 50, 150, month)
		b.refused(b.Ledger, "r3", 1, 150, month)
		b.clock.Add(-day)
		b.refused(b.Ledger, "r4", 1, 100, day)
	})
}

// Limits, restarts, replicas and pruning in any order: what a key spent in a window is never forgotten.
func TestAKeysWindowSurvivesPruning(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		start := b.clock.Now()
		old, err := b.byKey(b.Ledger, "r0", 10, 100, time.Minute)
		require.NoError(t, err)
		b.spends(b.Ledger, "r1", 90, 100, time.Minute)
		_, err = b.Checkpoint(t.Context(), old.ID, ledger.Usage{Input: 10})
		require.NoError(t, err)
		for i := range 70 {
			b.clock.Add(time.Minute)
			b.spends(b.Ledger, fmt.Sprintf("later %d", i), 1, 100, time.Minute)
			_, err = b.Checkpoint(t.Context(), old.ID, ledger.Usage{Input: 10})
			require.NoError(t, err)
		}
		require.EqualValues(t, 71, b.count("SELECT COUNT(*) FROM key_window"))
		b.sweep(0)
		require.EqualValues(t, 61, b.count("SELECT COUNT(*) FROM key_window"), "what ended more than an hour ago is deleted")
		b.settle(old, 5) // its window is gone
		b.sound()
		b.clock.Set(start)
		b.refused(b.again(), "r2", 6, 100, time.Minute)
		b.spends(b.replica(), "r3", 5, 100, time.Minute)
	})
}

// Two replicas: one sees the key's limit for the first time while the other makes holds without any.
func TestAKeysFirstLimitCountsWhatReplicasHold(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		other := b.replica()
		h, err := b.byKey(other, "r1", 40, 0, month)
		require.NoError(t, err)
		b.refused(b.Ledger, "r2", 61, 100, time.Hour)
		more, err := b.byKey(other, "r3", 50, 0, month)
		require.NoError(t, err)
		b.refused(b.Ledger, "r4", 11, 100, time.Hour)
		b.settle(h, 0)
		b.spends(b.Ledger, "r5", 50, 100, time.Hour)
		b.sound()
		b.settle(more, 70)
		b.refused(other, "r6", 1, 100, time.Hour)
	})
}

// A clock that is behind the account's billing period makes holds of that period.
func TestAKeysLimitAndAClockBehindThePeriod(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		end := b.account().PeriodEnd
		b.clock.Set(end)
		b.account()
		b.clock.Set(end.Add(-time.Second))
		b.spends(b.Ledger, "r1", 100, 100, month)
		b.refused(b.Ledger, "r2", 1, 100, month)
		b.spends(b.Ledger, "r3", 100, 200, time.Hour)
		b.clock.Set(end)
		b.refused(b.Ledger, "r4", 1, 200, month)
		b.refused(b.Ledger, "r5", 1, 200, time.Hour)
	})
}
