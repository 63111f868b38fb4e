package ledger_test

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// affords is what the account and the limits leave for a call: what the calls of a member or a key cost or hold counts in the window in which they
// were made, whatever the limit was then.
func (m *model) affords(r ledger.Reservation) int64 {
	a := m.read()
	left := a.Spendable(m.within(a))
	if r.KeyLimit.Amount != 0 {
		left = min(left, r.KeyLimit.Amount-m.spent(a, ledger.KeySubject(r.APIKeyID), r.KeyLimit.Period, m.within(a)))
	}
	for _, l := range m.limitsOf(r.UserID, r.APIKeyID) {
		left = min(left, l.Amount-m.spent(a, l.Subject, l.Period, m.within(a)))
	}
	return left
}

// within is the present time, which is never before the account's period.
func (m *model) within(a ledger.Account) time.Time {
	if now := m.b.clock.Now(); now.After(a.PeriodStart) {
		return now
	}
	return a.PeriodStart
}

// limitsOf are the limits that a caller's calls count against. Those of every member hold for members that have none of their own for the same windows.
func (m *model) limitsOf(user, key string) (all []ledger.SpendLimit) {
	for k, l := range m.limits {
		switch k.Subject {
		case ledger.MemberSubject(ledger.EveryMember):
			_, own := m.limits[modelLimit{ledger.MemberSubject(user), k.period}]
			if l.Subject = ledger.MemberSubject(user); user == "" || own {
				continue
			}
		case ledger.MemberSubject(user), ledger.KeySubject(key):
		default:
			continue
		}
		all = append(all, l)
	}
	return all
}

// modelWindow are the bounds of the window around a time.
func modelWindow(a ledger.Account, period time.Duration, at time.Time) (start, end time.Time) {
	day := at.UTC().Truncate(24 * time.Hour)
	switch period { //nolint:exhaustive // the others are lengths
	case ledger.PeriodBilling:
		return a.PeriodStart, a.PeriodEnd
	case ledger.PeriodWeek:
		for day.Weekday() != time.Monday {
			day = day.AddDate(0, 0, -1)
		}
		return day, day.AddDate(0, 0, 7)
	case ledger.PeriodMonth:
		first := time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC)
		return first, first.AddDate(0, 1, 0)
	}
	return at.Truncate(period), at.Truncate(period).Add(period)
}

// spent is what the calls of a window cost and hold.
func (m *model) spent(a ledger.Account, of ledger.Subject, period time.Duration, at time.Time) (spent int64) {
	start, end := modelWindow(a, period, at)
	for _, c := range m.calls {
		by := ledger.MemberSubject(c.request.UserID)
		if of.Kind == ledger.SubjectKey {
			by = ledger.KeySubject(c.request.APIKeyID)
		}
		if at := c.hold.CreateTime; by != of || at.Before(start) || !at.Before(end) {
			continue
		}
		spent += c.cost
		if c.open {
			spent += c.hold.Amount
		}
	}
	return spent
}

// waiting is the credit that is taken back as soon as the account has credit that no call holds.
func (m *model) waiting(t *rapid.T) (sum int64) {
	require.NoError(t, m.b.store.Write(t.Context(), m.account, func(ctx context.Context, tx ledger.Tx) error {
		sum = 0
		purchases, err := tx.WaitingPurchases(ctx, m.account)
		for _, p := range purchases {
			sum += p.Waiting
		}
		return err
	}))
	return sum
}

func (m *model) draw(t *rapid.T) *modelCall {
	if len(m.calls) == 0 {
		t.Skip("no calls")
	}
	c := rapid.SampledFrom(m.calls).Draw(t, "call")
	if c.gone {
		t.Skip("its hold is deleted")
	}
	return c
}

// input is some usage, which the model "plain" charges a nano-dollar a token.
func (m *model) input(t *rapid.T, c *modelCall) int64 {
	most := c.hold.Amount
	switch {
	case !m.modest:
		most = most*3/2 + 10
	case !c.open:
		most = c.cost // the sweeper has let go of the rest, and others may hold it
	}
	return rapid.OneOf(rapid.Int64Range(0, most), rapid.Just(most)).Draw(t, "used")
}

func (m *model) read() ledger.Account {
	a, err := m.b.Account(m.t.Context(), m.account, "")
	require.NoError(m.t, err)
	return a
}

// log: the records of single calls, read in pages of any size, add up to the sums of days, by model, member and API key.
func (m *model) log(t *rapid.T) {
	size := rapid.IntRange(1, 20).Draw(t, "page")
	want, got := map[ledger.UsageRow]ledger.UsageTotal{}, map[ledger.UsageRow]ledger.UsageTotal{}
	rows, _, err := m.b.Usage(t.Context(), ledger.UsageQuery{
		AccountID: m.account, From: time.Unix(0, 0), To: m.latest.AddDate(1, 0, 0), By: ledger.ByModel | ledger.ByUser | ledger.ByAPIKey,
	})
	require.NoError(t, err)
	for _, row := range rows {
		total := row.UsageTotal
		row.UsageTotal = ledger.UsageTotal{}
		want[row] = total
	}
	var after ledger.CallCursor
	for more := true; more; {
		var page []ledger.UsageRecord
		page, after, more, err = m.b.Calls(t.Context(), ledger.CallQuery{AccountID: m.account}, after, size)
		require.NoError(t, err)
		for _, r := range page {
			if r.Total() == (ledger.UsageTotal{}) {
				continue
			}
			row := ledger.UsageRow{Day: r.SettleTime.UTC().Format(time.DateOnly), Model: r.Model, UserID: r.UserID, APIKeyID: r.APIKeyID}
			sum := got[row]
			sum.Add(r.Total())
			got[row] = sum
		}
	}
	require.Equal(t, want, got)
}
