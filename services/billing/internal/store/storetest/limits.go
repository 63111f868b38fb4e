package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// mostLimits is how many limits an account may have.
const mostLimits = 5

// limited are the spend limits of the account "acc".
type limited struct {
	t *testing.T
	s Store
}

func (l limited) save(account, id string, subject ledger.Subject, period time.Duration, amount int64, at time.Time) (saved ledger.SpendLimit, err error) {
	l.t.Helper()
	limit := ledger.SpendLimit{ID: id, AccountID: account, Subject: subject, Period: period, Amount: amount, UpdateTime: at}
	err = l.s.Write(l.t.Context(), account, func(ctx context.Context, tx ledger.Tx) error {
		saved, err = tx.SaveSpendLimit(ctx, limit, mostLimits)
		return err
	})
	return saved, err
}

// find lists the limits that apply to a call.
func (l limited) find(user, key string) (ids []string) {
	l.t.Helper()
	caller := ledger.Caller{AccountID: "acc", UserID: user, APIKeyID: key, Reserves: true}
	require.NoError(l.t, l.s.WriteCall(l.t.Context(), caller, func(ctx context.Context, tx ledger.Tx) error {
		found, err := tx.SpendLimits(ctx, "acc", user, key)
		ids = nil
		for _, limit := range found {
			ids = append(ids, fmt.Sprint(limit.ID, "=", limit.Amount))
		}
		return err
	}))
	return ids
}

func (l limited) page(q ledger.LimitQuery) (ids []string) {
	l.t.Helper()
	q.AccountID = "acc"
	found, err := l.s.SpendLimitPage(l.t.Context(), q)
	require.NoError(l.t, err)
	for _, limit := range found {
		ids = append(ids, limit.ID)
	}
	return ids
}

func (l limited) remove(id string) error {
	return l.s.Write(l.t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		limit, err := tx.SpendLimit(ctx, "acc", id)
		if err != nil {
			require.ErrorIs(l.t, tx.DeleteSpendLimit(ctx, "acc", id), err)
			return err
		}
		require.Equal(l.t, id, limit.ID)
		return tx.DeleteSpendLimit(ctx, "acc", id)
	})
}

// limits: a limit is stored once for a subject and a period, and found for the callers to which it applies.
func limits(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	openAccount(t, s, "other", 0)
	l := limited{t, s}
	limitsAreSavedOnce(t, l)
	limitsAreFound(t, l)
	limitsAreRemoved(t, l)
}

func limitsAreSavedOnce(t *testing.T, l limited) {
	t.Helper()
	require.Empty(t, l.find("u", "k"))
	later := base.Add(time.Hour)
	for _, c := range []struct {
		id      string
		subject ledger.Subject
		period  time.Duration
	}{
		{"every week", ledger.MemberSubject(ledger.EveryMember), ledger.PeriodWeek},
		{"member hour", ledger.MemberSubject("u"), ledger.PeriodHour},
		{"member period", ledger.MemberSubject("u"), ledger.PeriodBilling},
		{"key month", ledger.KeySubject("k"), ledger.PeriodMonth},
		{"v", ledger.MemberSubject("v"), ledger.PeriodHour},
	} {
		_, err := l.save("acc", c.id, c.subject, c.period, 7, base)
		require.NoError(t, err)
	}
	_, err := l.save("other", "foreign", ledger.MemberSubject("u"), ledger.PeriodHour, 7, base)
	require.NoError(t, err)
	_, err = l.save("acc", "sixth", ledger.KeySubject("k2"), ledger.PeriodHour, 7, base)
	require.ErrorContains(t, err, "5 spend limits")
	again, err := l.save("acc", "member hour", ledger.MemberSubject("u"), ledger.PeriodHour, 8, later)
	require.NoError(t, err)
	require.Equal(t, ledger.SpendLimit{
		ID: "member hour", AccountID: "acc", Subject: ledger.MemberSubject("u"), Period: ledger.PeriodHour, Amount: 8, CreateTime: base, UpdateTime: later,
	}, again)
}

func limitsAreFound(t *testing.T, l limited) {
	t.Helper()
	require.Equal(t, []string{"member period=7", "member hour=8", "every week=7", "key month=7"}, l.find("u", "k"))
	require.Equal(t, []string{"every week=7"}, l.find("w", ""))
	require.Equal(t, []string{"key month=7"}, l.find("", "k"))
	require.Empty(t, l.find("", "k2"))

	require.Equal(t, []string{"key month", "every week", "member period", "member hour", "v"}, l.page(ledger.LimitQuery{Limit: 10}))
	require.Equal(t, []string{"key month", "every week"}, l.page(ledger.LimitQuery{Limit: 2}))
	require.Equal(t, []string{"member hour", "v"}, l.page(ledger.LimitQuery{Limit: 10, After: ledger.SpendLimit{Subject: ledger.MemberSubject("u"), Period: 0}}))
	require.Equal(t, []string{"member period", "member hour"}, l.page(ledger.LimitQuery{Limit: 10, Only: ledger.MemberSubject("u")}))
	require.Equal(t, []string{"every week", "v"}, l.page(ledger.LimitQuery{Limit: 10, Only: ledger.MemberSubject("v"), WithDefaults: true}))
	require.Equal(t, []string{"key month"}, l.page(ledger.LimitQuery{Limit: 10, Only: ledger.KeySubject("k")}))
}

func limitsAreRemoved(t *testing.T, l limited) {
	t.Helper()
	require.ErrorIs(t, l.remove("foreign"), ledger.ErrNotFound)
	require.NoError(t, l.remove("member hour"))
	require.ErrorIs(t, l.remove("member hour"), ledger.ErrNotFound)
	require.Equal(t, []string{"member period=7", "every week=7"}, l.find("u", ""))

	require.NoError(t, l.s.EraseUser(t.Context(), "u"))
	require.Equal(t, []string{"key month", "every week", "v"}, l.page(ledger.LimitQuery{Limit: 10}))
	require.Equal(t, []string{"every week=7"}, l.find("u", ""))
	_, err := l.save("acc", "member hour", ledger.MemberSubject("u"), ledger.PeriodHour, 8, base.Add(time.Hour))
	require.ErrorContains(t, err, "erased")
	for _, id := range []string{"key month", "every week", "v"} {
		require.NoError(t, l.remove(id))
	}
	require.Empty(t, l.find("v", "k"))
}

// limitedWindows: a settlement finds the limits of the windows in which its hold counts, as the last call or the last change of a limit left them.
func limitedWindows(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	hour := ledger.Window{Period: ledger.PeriodHour, Start: base.Truncate(time.Hour), End: base.Truncate(time.Hour).Add(time.Hour)}
	set := func(id string, subject ledger.Subject, amount int64) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			_, err := tx.SaveSpendLimit(ctx, ledger.SpendLimit{ID: id, AccountID: "acc", Subject: subject, Period: hour.Period, Amount: amount, UpdateTime: base}, 9)
			require.NoError(t, err)
		})
	}
	look := func(subject ledger.Subject, amount int64) {
		t.Helper()
		spendWindow(t, s, subject, hour, amount)
	}
	found := func(user string) (limits []int64) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			_, err := tx.LockAccount(ctx, "acc")
			require.NoError(t, err)
			windows, err := tx.LimitedWindows(ctx, ledger.Hold{AccountID: "acc", UserID: user, APIKeyID: "k", CreateTime: base})
			require.NoError(t, err)
			limits = nil
			for _, w := range windows {
				require.Equal(t, hour, w.Window)
				limits = append(limits, w.Limit)
			}
		})
		return limits
	}
	u, v, key, every := ledger.MemberSubject("u"), ledger.MemberSubject("v"), ledger.KeySubject("k"), ledger.MemberSubject(ledger.EveryMember)
	set("every", every, 3)
	set("u", u, 5)
	require.Empty(t, found("u"), "no call has looked yet")
	look(u, 5)
	look(v, 3)
	look(key, 7)
	require.Equal(t, []int64{5, 7}, found("u"))
	require.Equal(t, []int64{3, 7}, found("v"))
	set("every", every, 4)
	require.Equal(t, []int64{5, 7}, found("u"), "u has a limit of its own")
	require.Equal(t, []int64{4, 7}, found("v"))
	set("u", u, 6)
	set("k", key, 8)
	require.Equal(t, []int64{6, 8}, found("u"))
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		for _, id := range []string{"every", "k"} {
			require.NoError(t, tx.DeleteSpendLimit(ctx, "acc", id))
		}
	})
	require.Equal(t, []int64{6}, found("u"))
	require.Empty(t, found("v"))
}

// newLimitsAfterNone: while an account has no limits, its members' windows are not kept up to date. The first new limit counts from the holds again.
func newLimitsAfterNone(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	openGrant(t, s, "g1", 1000)
	hour := ledger.Window{Period: ledger.PeriodHour, Start: base.Truncate(time.Hour), End: base.Truncate(time.Hour).Add(time.Hour)}
	member := ledger.MemberSubject("u")
	set := func() {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			l := ledger.SpendLimit{ID: "l", AccountID: "acc", Subject: member, Period: hour.Period, Amount: 500, UpdateTime: base}
			_, err := tx.SaveSpendLimit(ctx, l, 9)
			require.NoError(t, err)
		})
	}
	spend := func() ledger.Spend {
		t.Helper()
		return spendWindow(t, s, member, hour, 500)
	}
	set()
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, tx.DeleteSpendLimit(ctx, "acc", "l")) })
	require.Zero(t, spend(), "a reader that saw the limit before it was deleted")
	h := openHold(t, s, "h1", 10)
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, charge(ctx, tx, h, 7)) })
	openHold(t, s, "h2", 20)
	set()
	require.Equal(t, ledger.Spend{Held: 20, Spent: 7}, spend())
	found, err := s.Violations(t.Context(), 10)
	require.NoError(t, err)
	require.False(t, has(found, "what a member holds in a window is the sum of its open holds"), found)
	require.False(t, has(found, "what a member spent in a window is the cost of its holds"), found)
}
