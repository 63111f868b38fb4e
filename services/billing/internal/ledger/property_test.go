package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// model is what the property test believes of one account: what was held and what each call must cost.
type model struct {
	t       *rapid.T
	b       *book
	account string
	calls   []*modelCall
	grants  int
	// modest keeps usage within the holds: then there is never debt.
	modest bool
}

type modelCall struct {
	request  ledger.Reservation
	hold     ledger.Hold
	used     int64 // the checkpoint
	cost     int64 // what was charged
	final    bool  // settled, not only swept
	open     bool
	answered ledger.Closing
}

// Any sequence of what may happen leaves the ledger sound: nothing is overspent, charged twice, lost, or paid from credit that was not
// good when the call was made.
func TestLedgerProperties(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		count, clock := 0, newClock() // the time goes on, because a sweep meets what earlier runs left
		rapid.Check(t, func(rt *rapid.T) {
			count++
			m := &model{t: rt, b: newBook(t, db, "monthly"), account: fmt.Sprintf("org_%d", count), modest: rapid.Bool().Draw(rt, "modest")}
			m.b.clock = clock
			m.b.Ledger = m.b.again()
			rt.Repeat(map[string]func(*rapid.T){
				"wait":       m.wait,
				"grant":      m.grant,
				"reserve":    m.reserve,
				"again":      m.reserveAgain,
				"checkpoint": m.checkpoint,
				"settle":     m.settle,
				"sweep":      m.sweep,
				"restart":    func(*rapid.T) { m.b.Ledger = m.b.again() },
				"":           m.check,
			})
		})
		newBook(t, db, "monthly").sound()
	})
}

func (m *model) wait(t *rapid.T) {
	m.b.clock.Add(rapid.SampledFrom([]time.Duration{
		time.Microsecond, time.Second, lease / 2, lease, time.Hour, 26 * time.Hour, 16 * 24 * time.Hour, 70 * 24 * time.Hour,
	}).Draw(t, "wait"))
}

func (m *model) grant(t *rapid.T) {
	m.grants++
	n := ledger.NewGrant{AccountID: m.account, Source: fmt.Sprintf("gift %d", m.grants), Amount: rapid.Int64Range(1, 500).Draw(t, "amount")}
	if rapid.Bool().Draw(t, "expires") {
		n.ExpireTime = m.b.clock.Now().Add(rapid.SampledFrom([]time.Duration{time.Second, lease / 2, lease, time.Hour, 26 * time.Hour}).Draw(t, "life"))
	}
	before := m.read()
	_, err := m.b.Grant(t.Context(), n)
	require.NoError(t, err)
	require.Equal(t, before.Balance+n.Amount, m.read().Balance)
}

func (m *model) reserve(t *rapid.T) {
	r := ledger.Reservation{
		RequestID: fmt.Sprintf("r%d", len(m.calls)), AccountID: m.account, Model: "plain", InputTokens: rapid.Int64Range(0, 300).Draw(t, "input"),
		MinOutputTokens: rapid.Int64Range(0, 5).Draw(t, "least"), Choices: rapid.Int64Range(1, 3).Draw(t, "choices"),
	}
	r.MaxOutputTokens = r.MinOutputTokens + rapid.Int64Range(0, 200).Draw(t, "more")
	available := m.read().Available()
	price := func(output int64) int64 { return r.InputTokens + 3*output*r.Choices }
	h, err := m.b.Reserve(t.Context(), r)
	if err != nil {
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, errs.ReasonOf(err))
		require.Greater(t, price(r.MinOutputTokens), max(available, 0), "what is affordable is not refused")
		return
	}
	require.Equal(t, price(h.OutputTokens), h.Amount)
	require.LessOrEqual(t, h.Amount, max(available, 0))
	require.True(t, h.OutputTokens == r.MaxOutputTokens || price(h.OutputTokens+1) > available, "no token less than is affordable")
	require.GreaterOrEqual(t, h.OutputTokens, r.MinOutputTokens)
	m.calls = append(m.calls, &modelCall{request: r, hold: h, used: r.InputTokens, open: true})
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
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, errs.ReasonOf(err))
}

func (m *model) draw(t *rapid.T) *modelCall {
	if len(m.calls) == 0 {
		t.Skip("no calls")
	}
	return rapid.SampledFrom(m.calls).Draw(t, "call")
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
	until, err := m.b.Checkpoint(t.Context(), c.hold.ID, ledger.Usage{Input: used})
	if !c.open {
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, errs.ReasonOf(err))
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
	c.open, c.final, c.cost, c.answered = false, true, used, end
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

func (m *model) read() ledger.Account {
	a, err := m.b.Account(m.t.Context(), m.account)
	require.NoError(m.t, err)
	return a
}

// check is what holds after every step.
func (m *model) check(t *rapid.T) {
	a, now := m.read(), m.b.clock.Now()
	var held, cost int64
	for _, c := range m.calls {
		if c.open {
			held += c.hold.Amount
		}
		cost += c.cost
	}
	require.Equal(t, held, a.Held)
	require.True(t, now.Before(a.PeriodEnd) && !now.Before(a.PeriodStart))
	_, total, err := m.b.Usage(t.Context(), ledger.UsageQuery{AccountID: m.account, From: time.Unix(0, 0), To: now.AddDate(0, 0, 1)})
	require.NoError(t, err)
	require.Equal(t, cost, total.Cost, "each call is billed once, at what it used")
	_, total, err = m.b.Usage(t.Context(), ledger.UsageQuery{AccountID: m.account, From: a.PeriodStart, To: now.AddDate(0, 0, 1)})
	require.NoError(t, err)
	require.Equal(t, total, a.Period)
	if m.modest {
		require.Zero(t, a.Debt, "within the holds nothing is overspent")
		require.GreaterOrEqual(t, a.Balance, a.Held)
	}
	m.checkGrants(t, a, now)
}

func (m *model) checkGrants(t *rapid.T, a ledger.Account, now time.Time) {
	grants, err := m.b.store.Grants(t.Context(), m.account)
	require.NoError(t, err)
	var good, remaining int64
	for _, g := range grants {
		remaining += g.Remaining
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
	require.True(t, a.Debt == 0 || good == 0, "there is no debt beside good credit")
	for _, c := range m.calls {
		m.checkPaid(t, c, grants)
	}
}

// checkPaid: a call is paid from credit that was good when it was made, and never beyond its cost.
func (m *model) checkPaid(t *rapid.T, c *modelCall, grants []ledger.Grant) {
	h, err := m.b.store.Hold(t.Context(), c.hold.ID)
	require.NoError(t, err)
	require.Equal(t, c.open, h.State == ledger.StateOpen)
	require.Equal(t, c.cost, h.Cost)
	paid := int64(0)
	for _, burn := range h.PaidBy {
		i := slices.IndexFunc(grants, func(g ledger.Grant) bool { return g.ID == burn.GrantID })
		require.GreaterOrEqual(t, i, 0)
		require.True(t, grants[i].ExpireTime.After(h.CreateTime))
		require.Positive(t, burn.Amount)
		paid += burn.Amount
	}
	require.LessOrEqual(t, paid, h.Cost)
}
