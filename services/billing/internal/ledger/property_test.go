package ledger_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// model is what the property test believes of one account: what was held and what each call must cost.
type model struct {
	t       *rapid.T
	b       *fixture
	account string
	calls   []*modelCall
	grants  int
	// modest keeps usage within the holds: then there is never debt.
	modest bool
	// back lets the clock go back too, as when replicas' clocks differ; latest is the latest time that it showed.
	back   bool
	latest time.Time
	// limits are the stored spend limits, and changes counts their changes.
	limits  map[modelLimit]ledger.SpendLimit
	changes int
	bought  int
}

// modelLimit is whose limit it is, and its windows.
type modelLimit struct {
	ledger.Subject
	period time.Duration
}

type modelCall struct {
	request  ledger.Reservation
	hold     ledger.Hold
	used     int64 // the checkpoint
	cost     int64 // what was charged
	final    bool  // settled, not only swept
	open     bool
	gone     bool // its hold is deleted
	changes  int  // of limits, when it was made
	answered ledger.Closing
}

// Any sequence of what may happen leaves the ledger sound: nothing is overspent, charged twice, lost, or paid from credit that was not
// good when the call was made.
func TestLedgerProperties(t *testing.T) {
	checks(t, 30)
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		count, clock := 0, newClock() // the clock continues from run to run, because a sweep finds the holds of earlier runs
		latest := clock.Now()
		rapid.Check(t, func(rt *rapid.T) {
			count++
			m := &model{t: rt, b: newFixture(t, db, "monthly"), account: fmt.Sprintf("org_%d", count), modest: rapid.Bool().Draw(rt, "modest"), limits: map[modelLimit]ledger.SpendLimit{}}
			m.back = !m.modest && rapid.Bool().Draw(rt, "back")
			if now := clock.Now(); now.Before(latest) {
				clock.Set(latest)
			}
			m.b.clock = clock
			m.b.Ledger = m.b.again()
			rt.Repeat(map[string]func(*rapid.T){
				"wait":       m.wait,
				"grant":      m.grant,
				"buy":        m.buy,
				"limit":      m.limit,
				"unlimit":    m.unlimit,
				"reserve":    m.reserve,
				"again":      m.reserveAgain,
				"checkpoint": m.checkpoint,
				"settle":     m.settle,
				"sweep":      m.sweep,
				"fold":       m.fold,
				"prune":      m.prune,
				"restart":    func(*rapid.T) { m.b.Ledger = m.b.again() },
				"":           m.check,
			})
			latest = m.latest
		})
		newFixture(t, db, "monthly").sound()
	})
}

// checks shortens a property test that takes minutes: TRIVET_FAULTS=1 runs it at its full length, as -rapid.checks does.
func checks(t *testing.T, short int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if os.Getenv("TRIVET_FAULTS") != "" || f.Value.String() != f.DefValue {
		return
	}
	require.NoError(t, f.Value.Set(strconv.Itoa(short)))
	t.Cleanup(func() { require.NoError(t, f.Value.Set(f.DefValue)) })
}

func (m *model) wait(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		time.Microsecond, time.Second, lease / 2, lease, time.Hour, 26 * time.Hour, 16 * 24 * time.Hour, 70 * 24 * time.Hour,
	}).Draw(t, "wait")
	if m.back && rapid.Bool().Draw(t, "backwards") {
		d = -min(d, 40*24*time.Hour)
	}
	m.b.clock.Add(d)
}

func (m *model) grant(t *rapid.T) {
	m.grants++
	n := ledger.NewGrant{AccountID: m.account, Create: true, Source: fmt.Sprintf("gift %d", m.grants), Amount: rapid.Int64Range(1, 500).Draw(t, "amount")}
	if rapid.Bool().Draw(t, "expires") {
		n.ExpireTime = m.b.clock.Now().Add(rapid.SampledFrom([]time.Duration{time.Second, lease / 2, lease, time.Hour, 26 * time.Hour}).Draw(t, "life"))
	}
	before, waiting := m.read(), m.waiting(t)
	_, err := m.b.Grant(t.Context(), n)
	require.NoError(t, err)
	after := m.read().Balance
	require.LessOrEqual(t, after, before.Balance+n.Amount)
	require.GreaterOrEqual(t, after, before.Balance+n.Amount-waiting)
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

func (m *model) reserve(t *rapid.T) {
	r := ledger.Reservation{
		RequestID: fmt.Sprintf("r%d", len(m.calls)), AccountID: m.account, Model: "plain", InputTokens: rapid.Int64Range(0, 300).Draw(t, "input"),
		MinOutputTokens: rapid.Int64Range(0, 5).Draw(t, "least"), Choices: rapid.Int64Range(1, 3).Draw(t, "choices"),
		APIKeyID: rapid.SampledFrom([]string{"", "key_1", "key_2"}).Draw(t, "key"), UserID: rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(t, "user"),
	}
	r.MaxOutputTokens = r.MinOutputTokens + rapid.Int64Range(0, 200).Draw(t, "more")
	if r.APIKeyID != "" && rapid.Bool().Draw(t, "limited") {
		r.KeyLimit.Amount = rapid.Int64Range(1, 900).Draw(t, "limit")
		r.KeyLimit.Period = rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "period")
	}
	available := m.affords(r)
	price := func(output int64) int64 { return r.InputTokens + 3*output*r.Choices }
	h, err := m.b.Reserve(t.Context(), r)
	if err != nil {
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, reasonOf(err))
		require.Greater(t, price(r.MinOutputTokens), max(available, 0), "what is affordable is not refused")
		return
	}
	require.Equal(t, price(h.OutputTokens), h.Amount)
	require.LessOrEqual(t, h.Amount, max(available, 0))
	require.True(t, h.OutputTokens == r.MaxOutputTokens || price(h.OutputTokens+1) > available, "no token less than is affordable")
	require.GreaterOrEqual(t, h.OutputTokens, r.MinOutputTokens)
	m.calls = append(m.calls, &modelCall{request: r, hold: h, used: r.InputTokens, open: true, changes: m.changes})
}

// buy gives the credit of an automatic top-up, and takes some back: a refund, which may come first and twice.
func (m *model) buy(t *rapid.T) {
	m.bought++
	id := fmt.Sprintf("%s_%d", m.account, m.bought)
	credit, refunded := rapid.Int64Range(1, 500).Draw(t, "credit"), rapid.SampledFrom([]int64{0, 0, 30, 100}).Draw(t, "refunded")
	price := "price_" + strconv.FormatInt(credit, 10)
	if m.b.plans.prices == nil {
		m.b.plans.prices = map[string]plans.Sale{}
	}
	m.b.plans.prices[price] = plans.Sale{Offer: plans.Offer{Pack: &plans.Pack{ID: "pack", Version: 1, Credit: credit}}}
	invoice := fmt.Sprintf(`{"id":"in_%s","object":"invoice","status":"paid","payment_intent":"pi_%[1]s","created":%d,"total":100,"metadata":{%q:"topup_%[1]s"},
		"lines":{"data":[{"type":"invoiceitem","amount":100,"quantity":1,"price":{"id":%[4]q,"object":"price"}}]}}`, id, m.b.clock.Now().Unix(), subscriptions.MetadataTopUp, price)
	refund := subscriptions.Reversal{ID: "re_" + id, Paid: "pi_" + id, Amount: refunded, Created: m.b.clock.Now()}
	pay := func(ctx context.Context, tx ledger.Tx) error {
		return m.b.FollowTopUp(ctx, tx, m.account, []byte(invoice))
	}
	reverse := func(ctx context.Context, tx ledger.Tx) error { return m.b.FollowReversal(ctx, tx, m.account, refund) }
	events := []func(context.Context, ledger.Tx) error{pay, reverse, pay, reverse}[:rapid.IntRange(2, 4).Draw(t, "events")]
	if rapid.Bool().Draw(t, "refund first") {
		slices.Reverse(events)
	}
	before, waiting := m.read().Balance, m.waiting(t)
	for _, event := range append(events, pay) {
		require.NoError(t, m.b.db.Write(t.Context(), m.account, func(ctx context.Context, d database.Tx) error {
			if _, err := m.b.store.SaveReversal(ctx, d, refund); err != nil && !errors.Is(err, ledger.ErrNotFound) {
				return err
			}
			return m.b.store.Within(ctx, d, m.account, event)
		}))
	}
	after := m.read().Balance
	require.LessOrEqual(t, after, before+credit)
	require.GreaterOrEqual(t, after, before+credit-credit*refunded/100-waiting, "a refund takes its part of the credit at most")
}

// limit sets a spend limit of a member, of every member or of a key.
func (m *model) limit(t *rapid.T) {
	of := rapid.SampledFrom([]ledger.Subject{
		ledger.MemberSubject("ann"), ledger.MemberSubject("bob"), ledger.MemberSubject(ledger.EveryMember), ledger.KeySubject("key_1"),
	}).Draw(t, "subject")
	periods := []time.Duration{ledger.PeriodBilling, ledger.PeriodDay, ledger.PeriodWeek, ledger.PeriodMonth, ledger.PeriodHour}
	if m.back {
		periods = periods[:4] // of deleted holds, only the day is known
	}
	l := ledger.SpendLimit{AccountID: m.account, Subject: of, Period: rapid.SampledFrom(periods).Draw(t, "window"), Amount: rapid.Int64Range(1, 900).Draw(t, "most")}
	m.read() // it opens the account
	saved, err := m.b.SetLimit(t.Context(), l)
	require.NoError(t, err)
	m.changes++
	m.limits[modelLimit{of, l.Period}] = saved
}

func (m *model) unlimit(t *rapid.T) {
	if len(m.limits) == 0 {
		t.Skip("no limits")
	}
	keys := slices.SortedFunc(maps.Keys(m.limits), func(a, b modelLimit) int {
		return cmp.Or(strings.Compare(a.String(), b.String()), cmp.Compare(a.period, b.period))
	})
	key := rapid.SampledFrom(keys).Draw(t, "limit")
	require.NoError(t, m.b.DeleteLimit(t.Context(), m.account, m.limits[key].ID, anyLimit))
	m.changes++
	delete(m.limits, key)
}

// affords is what the account and the limits leave for a call: what the calls of a member or a key cost or hold counts in the window in which they
// were made, whatever the limit was then.
func (m *model) affords(r ledger.Reservation) int64 {
	a := m.read()
	left := a.Available()
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

func (m *model) reserveAgain(t *rapid.T) {
	c := m.draw(t)
	h, err := m.b.Reserve(t.Context(), c.request)
	if c.open {
		require.NoError(t, err)
		require.Equal(t, c.hold.ID, h.ID)
		require.Equal(t, c.hold.Amount, h.Amount)
		return
	}
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, reasonOf(err))
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

func (m *model) checkpoint(t *rapid.T) {
	c := m.draw(t)
	used := m.input(t, c)
	until, err := m.b.Checkpoint(t.Context(), c.hold.ID, ledger.Usage{Input: used}, 0)
	if !c.open {
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, reasonOf(err))
		return
	}
	require.NoError(t, err)
	c.used, c.hold.LeaseTime = max(c.used, used), until
}

func (m *model) settle(t *rapid.T) {
	c := m.draw(t)
	used := m.input(t, c)
	end, err := m.b.Settle(t.Context(), ledger.Settlement{HoldID: c.hold.ID, Usage: ledger.Usage{Input: used}, Outcome: ledger.OutcomeCompleted})
	require.NoError(t, err)
	if c.final {
		require.Equal(t, c.answered.Cost, end.Cost)
		require.Equal(t, c.answered.BalanceAfter, end.BalanceAfter)
		return
	}
	require.Equal(t, used, end.Cost)
	more := used > c.cost
	c.open, c.final, c.cost, c.answered = false, true, used, end
	if more {
		m.checkTold(t, c)
	}
}

// checkTold: the thresholds that a call has reached are told.
func (m *model) checkTold(t *rapid.T, c *modelCall) {
	a := m.read()
	m.told(t, notices.CreditThreshold, "", a.PeriodStart, a.Period.Cost, a.Balance+a.Period.Cost)
	if c.changes != m.changes {
		return
	}
	for _, l := range m.limitsOf(c.request.UserID, "") {
		start, end := modelWindow(a, l.Period, c.hold.CreateTime)
		if l.Period == ledger.PeriodBilling && (c.hold.CreateTime.Before(start) || !c.hold.CreateTime.Before(end)) {
			continue // of an earlier period
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
			if n.UserID == user && n.Data.WindowStart.Equal(start) {
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
	for _, n := range slices.Backward(all) {
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

func (m *model) sweep(t *rapid.T) {
	_, err := m.b.Sweep(t.Context())
	require.NoError(t, err)
	for _, c := range m.calls {
		if c.open && !c.hold.LeaseTime.After(m.b.clock.Now()) {
			c.open, c.cost = false, c.used
		}
	}
}

// fold moves history; nothing that is checked changes by it.
func (m *model) fold(t *rapid.T) {
	_, err := m.b.Fold(t.Context(), always)
	require.NoError(t, err)
}

// prune deletes old holds. Calls whose holds are gone are checked no more, but count in all sums.
func (m *model) prune(t *rapid.T) {
	require.NoError(t, m.b.Prune(t.Context(), 0, always))
	for _, c := range m.calls {
		_, err := m.b.store.Hold(t.Context(), c.hold.ID)
		c.gone = errors.Is(err, ledger.ErrNotFound)
		require.True(t, c.gone || err == nil)
		require.False(t, c.gone && c.open, "an open hold is never deleted")
	}
}

func always(context.Context) error { return nil }

func (m *model) read() ledger.Account {
	a, err := m.b.Account(m.t.Context(), m.account, "")
	require.NoError(m.t, err)
	return a
}

// check is what holds after every step.
func (m *model) check(t *rapid.T) {
	a, now := m.read(), m.b.clock.Now()
	if m.latest.Before(now) {
		m.latest = now
	}
	far := m.latest.AddDate(1, 0, 0)
	var held, cost int64
	for _, c := range m.calls {
		if c.open {
			held += c.hold.Amount
		}
		cost += c.cost
	}
	require.Equal(t, held, a.Held)
	require.True(t, now.Before(a.PeriodEnd))
	require.True(t, m.back || !now.Before(a.PeriodStart))
	_, total, err := m.b.Usage(t.Context(), ledger.UsageQuery{AccountID: m.account, From: time.Unix(0, 0), To: far})
	require.NoError(t, err)
	require.Equal(t, cost, total.Cost, "each call is billed once, at what it used")
	_, total, err = m.b.Usage(t.Context(), ledger.UsageQuery{AccountID: m.account, From: a.PeriodStart, To: far})
	require.NoError(t, err)
	require.Equal(t, total, a.Period)
	if m.modest {
		require.Zero(t, a.Debt, "within the holds nothing is overspent")
		require.GreaterOrEqual(t, a.Balance, a.Held)
	}
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
	require.True(t, a.Debt == 0 || always == 0, "there is no debt beside good credit")
	owed := int64(0)
	for _, c := range m.calls {
		owed += m.checkPaid(t, c, grants)
	}
	require.Equal(t, a.Debt, owed, "debt is what calls owe")
}

// checkPaid: a call is paid from credit that was good when it was made; what is not paid is owed. It returns that.
func (m *model) checkPaid(t *rapid.T, c *modelCall, grants []ledger.Grant) int64 {
	if c.gone {
		return 0
	}
	h, err := m.b.store.Hold(t.Context(), c.hold.ID)
	require.NoError(t, err)
	require.Equal(t, c.open, h.State == ledger.StateOpen)
	require.Equal(t, c.cost, h.Cost)
	paid := int64(0)
	for _, burn := range h.PaidBy {
		i := slices.IndexFunc(grants, func(g ledger.Grant) bool { return g.ID == burn.GrantID })
		require.GreaterOrEqual(t, i, 0)
		require.True(t, m.back || grants[i].ExpireTime.After(h.CreateTime))
		require.Positive(t, burn.Amount)
		paid += burn.Amount
	}
	require.Equal(t, h.Cost, paid+h.Owed)
	return h.Owed
}
