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
	require.Equal(b.t, b.subject(), e.Metadata["limit"])
}

// subject is whose limits the tests are about.
func (b *fixture) subject() string {
	if b.limits != nil {
		return string(b.limits.Kind)
	}
	return string(ledger.SubjectKey)
}

func (b *fixture) windows() string {
	if b.subject() == string(ledger.SubjectMember) {
		return "member_window"
	}
	return "key_window"
}

// eachLimit runs a test for limits that come with the calls of an API key, and for stored limits of a key, a member and every member. The first and the
// third have tables of their own, so they run on both databases.
func eachLimit(t *testing.T, test func(t *testing.T, b *fixture)) {
	t.Helper()
	key, member, every := ledger.KeySubject("key_1"), ledger.MemberSubject("user_1"), ledger.MemberSubject(ledger.EveryMember)
	for name, limits := range map[string]*ledger.Subject{"with the call": nil, "key": &key, "member": &member, "every member": &every} {
		t.Run(name, func(t *testing.T) {
			run := each
			if limits == &key || limits == &every {
				run = onSQLite
			}
			run(t, "monthly", func(t *testing.T, b *fixture) {
				b.limits = limits
				test(t, b)
			})
		})
	}
}

// limited reserves input tokens by a member and an API key, one of which may spend limit; 0 means no limit.
func (b *fixture) limited(l *ledger.Ledger, request string, amount, limit int64, period time.Duration) (ledger.Hold, error) {
	b.t.Helper()
	_, err := l.Account(b.t.Context(), alice, "")
	require.NoError(b.t, err)
	list, _, err := l.Limits(b.t.Context(), ledger.LimitQuery{AccountID: alice, Limit: 100})
	require.NoError(b.t, err)
	kept := false
	for _, old := range list {
		if kept = limit > 0 && old.Period == period; !kept {
			require.NoError(b.t, l.DeleteLimit(b.t.Context(), alice, old.ID, anyLimit))
		}
	}
	if limit > 0 {
		b.limit(l, *b.limits, period, limit)
	}
	return l.Reserve(b.t.Context(), ledger.Reservation{
		RequestID: request, AccountID: alice, UserID: "user_1", APIKeyID: "key_1", Model: "embed", InputTokens: amount,
	})
}

func anyLimit(ledger.SpendLimit) error { return nil }

// limit sets a limit.
func (b *fixture) limit(l *ledger.Ledger, s ledger.Subject, period time.Duration, amount int64) ledger.SpendLimit {
	b.t.Helper()
	set, err := l.SetLimit(b.t.Context(), ledger.SpendLimit{AccountID: alice, Subject: s, Period: period, Amount: amount})
	require.NoError(b.t, err)
	return set
}

const month = 0 // the account's billing period

// A replica whose clock is a second behind comes back to a window that another has left.
func TestAKeysWindowIsRememberedWhenTheClockGoesBack(t *testing.T) {
	eachLimit(t, func(t *testing.T, b *fixture) {
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
	eachLimit(t, func(t *testing.T, b *fixture) {
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
	eachLimit(t, func(t *testing.T, b *fixture) {
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
	eachLimit(t, func(t *testing.T, b *fixture) {
		start := b.clock.Now()
		old, err := b.byKey(b.Ledger, "r0", 10, 100, time.Minute)
		require.NoError(t, err)
		b.spends(b.Ledger, "r1", 90, 100, time.Minute)
		_, err = b.Checkpoint(t.Context(), old.ID, ledger.Usage{Input: 10}, 0)
		require.NoError(t, err)
		for i := range 70 {
			b.clock.Add(time.Minute)
			b.spends(b.Ledger, fmt.Sprintf("later %d", i), 1, 100, time.Minute)
			_, err = b.Checkpoint(t.Context(), old.ID, ledger.Usage{Input: 10}, 0)
			require.NoError(t, err)
		}
		require.EqualValues(t, 71, b.count("SELECT COUNT(*) FROM "+b.windows()))
		b.sweep(0)
		require.EqualValues(t, 61, b.count("SELECT COUNT(*) FROM "+b.windows()), "what ended more than an hour ago is deleted")
		b.settle(old, 5) // its window is gone
		b.sound()
		b.clock.Set(start)
		b.refused(b.again(), "r2", 6, 100, time.Minute)
		b.spends(b.replica(), "r3", 5, 100, time.Minute)
	})
}

// Two replicas: one sees the key's limit for the first time while the other makes holds without any.
func TestAKeysFirstLimitCountsWhatReplicasHold(t *testing.T) {
	eachLimit(t, func(t *testing.T, b *fixture) {
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
	eachLimit(t, func(t *testing.T, b *fixture) {
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
