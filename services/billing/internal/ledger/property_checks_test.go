package ledger_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// checkTold: the thresholds that a call has reached are told.
func (m *model) checkTold(t *rapid.T, c *modelCall) {
	a := m.read()
	if m.sold == nil {
		m.told(t, notices.CreditThreshold, "", a.PeriodStart, a.Period.Cost, a.Balance+a.Period.Cost)
	}
	if c.changes != m.changes {
		return
	}
	for _, l := range m.limitsOf(c.request.UserID, "") {
		start, end := modelWindow(a, l.Period, c.hold.CreateTime)
		if l.Period == ledger.PeriodBilling && (c.hold.CreateTime.Before(start) || !c.hold.CreateTime.Before(end)) {
			continue // of an earlier period
		}
		if !end.Add(time.Hour).After(m.b.clock.Now()) {
			continue // the sweep may have deleted the window
		}
		spent := m.spent(a, l.Subject, l.Period, c.hold.CreateTime)
		for _, other := range m.calls {
			if other.open && other.request.UserID == c.request.UserID && !other.hold.CreateTime.Before(start) && other.hold.CreateTime.Before(end) {
				spent -= other.hold.Amount
			}
		}
		m.told(t, notices.LimitThreshold, l.Subject.ID, start, spent, l.Amount)
	}
}

// told requires a notice for each threshold that is reached, and one for the present amount or a larger one of it or of a higher threshold: after a raise,
// only the highest that is reached is told again.
func (m *model) told(t *rapid.T, kind notices.Kind, user string, start time.Time, used, amount int64) {
	all, err := m.b.store.Notices(t.Context(), m.account, kind, "", 10_000)
	require.NoError(t, err)
	for _, percent := range []int64{50, 80, 100} {
		if amount <= 0 || used*100 < amount*percent {
			continue
		}
		var told, now bool
		for _, n := range all {
			if n.UserID == user && n.Data.WindowStart.Unix() == start.Unix() { // windows that begin within a second share their thresholds
				told = told || n.Data.Percent == percent
				now = now || n.Data.Percent >= percent && n.Data.Amount >= amount
			}
		}
		require.True(t, told && now, "%s %d %% of %d since %s: %+v", user, percent, amount, start, all)
	}
}

// checkNotices: no threshold is told before it is reached, and none twice for the same amount or a smaller one. Notices are in the order of the clock, so
// that the second cannot be seen when it goes back.
func (m *model) checkNotices(t *rapid.T) {
	all, err := m.b.store.Notices(t.Context(), m.account, "", "", 10_000)
	require.NoError(t, err)
	largest, told := map[string]int64{}, map[string]bool{}
	// The ids of a process that has restarted do not tell the order within a moment.
	slices.SortStableFunc(all, func(a, b notices.Notice) int {
		return cmp.Or(a.CreateTime.Compare(b.CreateTime), cmp.Compare(a.Data.Amount, b.Data.Amount))
	})
	for _, n := range all {
		d := n.Data
		if d.Percent == 0 {
			continue
		}
		require.True(t, d.Used*100 >= d.Amount*d.Percent || d.Percent == 100 && d.Used*100 >= d.Amount*99, "%+v", n)
		window := fmt.Sprint(n.Kind, n.UserID, d.APIKeyID, d.Window, d.WindowStart.Unix(), d.Time.Sub(d.WindowStart), d.Percent)
		if n.Kind == notices.LimitThreshold {
			require.False(t, told[fmt.Sprint(window, " ", d.Amount)], "%+v", n)
			require.True(t, m.back || d.Amount > largest[window], "%+v", n)
		}
		largest[window], told[fmt.Sprint(window, " ", d.Amount)] = d.Amount, true
	}
}

// check is what holds after every step.
func (m *model) check(t *rapid.T) {
	a, now := m.read(), m.b.clock.Now()
	if m.latest.Before(now) {
		m.latest = now
	}
	far := m.latest.AddDate(1, 0, 0)
	var held, cost, overage int64
	for _, c := range m.calls {
		if c.open {
			held += c.hold.Amount
		}
		cost += c.cost
		overage += c.overage
	}
	require.Equal(t, overage, a.Overage.Total, "all overage is that of the calls")
	require.True(t, 0 <= a.Overage.Used && a.Overage.Used <= a.Overage.Cap, "%+v", a.Overage)
	require.Equal(t, held, a.Held)
	require.True(t, now.Before(a.PeriodEnd))
	require.True(t, m.back || !now.Before(a.PeriodStart))
	_, total, err := m.b.Usage(t.Context(), ledger.UsageQuery{AccountID: m.account, From: time.Unix(0, 0), To: far})
	require.NoError(t, err)
	require.Equal(t, cost, total.Cost, "each call is billed once, at what it used")
	if m.sold == nil { // a period that is sold begins within a day
		_, total, err = m.b.Usage(t.Context(), ledger.UsageQuery{AccountID: m.account, From: a.PeriodStart, To: far})
		require.NoError(t, err)
		require.Equal(t, total, a.Period)
	}
	if m.modest {
		require.Zero(t, a.Debt, "within the holds nothing is overspent")
		require.True(t, m.sold != nil || a.Balance >= a.Held)
	}
	m.checkSold(t)
	m.checkGrants(t, a, now)
	m.checkNotices(t)
}

func (m *model) checkGrants(t *rapid.T, a ledger.Account, now time.Time) {
	grants, err := m.b.store.Grants(t.Context(), m.account)
	require.NoError(t, err)
	var good, always, remaining int64
	for _, g := range grants {
		remaining += g.Remaining
		if g.ExpireTime.After(m.latest) {
			always += g.Remaining
		}
		if g.ExpireTime.After(now) {
			good += g.Remaining
			continue
		}
		old := int64(0)
		for _, c := range m.calls {
			if c.open && c.hold.CreateTime.Before(g.ExpireTime) {
				old += c.hold.Amount
			}
		}
		require.LessOrEqual(t, g.Remaining, old, "expired credit stays only for holds from before")
	}
	require.Equal(t, remaining-a.Debt, a.Balance)
	require.LessOrEqual(t, a.Available(), good, "only good credit can be held")
	require.True(t, a.Debt == 0 || always == 0, "an account with good credit owes nothing")
	owed := int64(0)
	for _, c := range m.calls {
		owed += m.checkPaid(t, c, grants)
	}
	require.Equal(t, a.Debt, owed, "debt is what calls owe")
	m.checkUsed(t, grants)
}

// checkUsed: what a grant does not have any more has paid for calls, is over, or was taken back. A gift is never taken back.
func (m *model) checkUsed(t *rapid.T, grants []ledger.Grant) {
	entries, err := m.b.store.Entries(t.Context(), m.account, "", 100_000)
	require.NoError(t, err)
	paid, expired, early := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, c := range m.calls {
		for _, burn := range c.paid {
			paid[burn.GrantID] += burn.Amount
		}
	}
	ends := map[string]time.Time{}
	for _, g := range grants {
		ends[g.ID] = g.ExpireTime
	}
	for _, e := range entries {
		if e.Kind == ledger.KindExpiry {
			amount := e.Amount
			if e.Debit == ledger.SideExpired { // it came back
				amount = -amount
			}
			expired[e.Reference] += amount
			if e.CreateTime.Before(ends[e.Reference]) {
				early[e.Reference] += amount
			}
		}
	}
	taken := m.takenBack(t, grants)
	for _, g := range grants {
		require.Equal(t, g.Amount-g.Remaining, paid[g.ID]+expired[g.ID], "%+v", g)
		taken[bought(g.Source)] -= early[g.ID]
	}
	for source, left := range taken {
		require.GreaterOrEqual(t, left, int64(0), "%s lost credit before its time was over", source)
	}
}

// bought is the source of the credit that a grant gave or returned. The changes of a month share theirs.
func bought(source string) string {
	source, _, _ = strings.Cut(source, ":return:")
	if month, _, change := strings.Cut(source, ":up:"); change {
		return month + ":up"
	}
	return source
}

// takenBack is what was taken back in all of each purchase, by the source of its credit: what is gone, and what was returned.
func (m *model) takenBack(t *rapid.T, grants []ledger.Grant) map[string]int64 {
	taken := map[string]int64{}
	payments := []string{}
	for n := range m.bought {
		payments = append(payments, fmt.Sprintf("pi_%s_%d", m.account, n+1))
	}
	if m.sold != nil {
		payments = append(payments, m.sold.paid...)
	}
	require.NoError(t, m.b.store.Write(t.Context(), m.account, func(ctx context.Context, tx ledger.Tx) error {
		clear(taken)
		for _, paid := range payments {
			purchases, err := tx.Purchases(ctx, paid)
			if err != nil {
				return err
			}
			for _, p := range purchases {
				taken[bought(p.Source)] += p.Clawed
			}
		}
		return nil
	}))
	for _, g := range grants {
		if strings.Contains(g.Source, ":return:") {
			taken[bought(g.Source)] += g.Amount
		}
	}
	return taken
}

// paidAfter is which grants must have paid when a call costs used: those that were good when it was made, the one that ends first before the others, and of
// those that end together the older one. When it costs less than before, what paid last comes back first, after what the call owes and its overage.
func (m *model) paidAfter(t *rapid.T, c *modelCall, used int64) (paid []ledger.Burn) {
	m.read() // it brings the account up to date
	h, err := m.b.store.Hold(t.Context(), c.hold.ID)
	require.NoError(t, err)
	grants, err := m.b.store.Grants(t.Context(), m.account)
	require.NoError(t, err)
	slices.SortFunc(grants, func(a, b ledger.Grant) int {
		return cmp.Or(a.ExpireTime.Compare(b.ExpireTime), a.CreateTime.Compare(b.CreateTime), strings.Compare(a.ID, b.ID))
	})
	paid = slices.Clone(h.PaidBy)
	if c.final {
		return paid
	}
	for back := c.cost - used - h.Owed - h.Overage; back > 0 && len(paid) > 0; {
		last := &paid[len(paid)-1]
		if back < last.Amount {
			last.Amount -= back
			break
		}
		back -= last.Amount
		paid = paid[:len(paid)-1]
	}
	more := used - c.cost
	for _, g := range grants {
		part := min(g.Remaining, more)
		if part <= 0 || !g.ExpireTime.After(c.hold.CreateTime) {
			continue
		}
		paid = append(paid, ledger.Burn{GrantID: g.ID, Amount: part})
		more -= part
	}
	return paid
}

// checkPaid: a call is paid from credit that was good when it was made, by the grants whose turn it was; what is not paid is owed. It returns that.
func (m *model) checkPaid(t *rapid.T, c *modelCall, grants []ledger.Grant) int64 {
	if c.gone {
		return 0
	}
	h, err := m.b.store.Hold(t.Context(), c.hold.ID)
	require.NoError(t, err)
	require.Equal(t, c.open, h.State == ledger.StateOpen)
	require.Equal(t, c.cost, h.Cost)
	require.True(t, len(h.PaidBy) >= len(c.paid) && slices.Equal(c.paid, h.PaidBy[:len(c.paid)]), "other grants have paid: want %v, got %v", c.paid, h.PaidBy)
	c.paid = h.PaidBy
	paid := int64(0)
	for _, burn := range h.PaidBy {
		i := slices.IndexFunc(grants, func(g ledger.Grant) bool { return g.ID == burn.GrantID })
		require.GreaterOrEqual(t, i, 0)
		require.True(t, m.back || grants[i].ExpireTime.After(h.CreateTime))
		require.Positive(t, burn.Amount)
		paid += burn.Amount
	}
	require.Equal(t, c.overage, h.Overage)
	require.Equal(t, h.Cost, paid+h.Owed+h.Overage)
	return h.Owed
}
