package ledger_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

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
	n := ledger.NewGrant{AccountID: m.account, Create: true, Source: fmt.Sprintf("gift %d", m.grants), Amount: m.scale() * rapid.Int64Range(1, 500).Draw(t, "amount")}
	if rapid.Bool().Draw(t, "expires") {
		n.ExpireTime = m.b.clock.Now().Add(rapid.SampledFrom([]time.Duration{time.Second, lease / 2, lease, time.Hour, 26 * time.Hour}).Draw(t, "life"))
	}
	before, waiting := m.read(), m.waiting(t)
	require.NoError(t, m.try(t, func() error { _, err := m.b.Grant(t.Context(), n); return err }))
	after := m.read().Balance
	require.LessOrEqual(t, after, before.Balance+n.Amount)
	require.GreaterOrEqual(t, after, before.Balance+n.Amount-waiting)
}

func (m *model) reserve(t *rapid.T) {
	r := ledger.Reservation{
		RequestID: fmt.Sprintf("r%d", len(m.calls)), AccountID: m.account, Model: "plain", InputTokens: m.scale() * rapid.Int64Range(0, 300).Draw(t, "input"),
		MinOutputTokens: rapid.Int64Range(0, 5).Draw(t, "least"), Choices: rapid.Int64Range(1, 3).Draw(t, "choices"),
		APIKeyID: rapid.SampledFrom([]string{"", "key_1", "key_2"}).Draw(t, "key"), UserID: rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(t, "user"),
	}
	r.MaxOutputTokens = r.MinOutputTokens + rapid.Int64Range(0, 200).Draw(t, "more")
	if r.APIKeyID != "" && rapid.Bool().Draw(t, "limited") {
		r.KeyLimit.Amount = m.scale() * rapid.Int64Range(1, 900).Draw(t, "limit")
		r.KeyLimit.Period = rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "period")
	}
	available := m.affords(r)
	price := func(output int64) int64 { return r.InputTokens + 3*output*r.Choices }
	var h ledger.Hold
	err := m.try(t, func() (err error) { h, err = m.b.Reserve(t.Context(), r); return err })
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
	credit, refunded := m.scale()*rapid.Int64Range(1, 500).Draw(t, "credit"), rapid.SampledFrom([]int64{0, 0, 30, 100}).Draw(t, "refunded")
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
	l.Amount *= m.scale()
	var saved ledger.SpendLimit
	require.NoError(t, m.try(t, func() (err error) { saved, err = m.b.SetLimit(t.Context(), l); return err }))
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

func (m *model) checkpoint(t *rapid.T) {
	c := m.draw(t)
	used := m.input(t, c)
	var until time.Time
	err := m.try(t, func() (err error) {
		until, err = m.b.Checkpoint(t.Context(), c.hold.ID, ledger.Usage{Input: used}, 0)
		return err
	})
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
	overage, exact := m.overageOf(t, c, used)
	paid := m.paidAfter(t, c, used)
	var end ledger.Closing
	require.NoError(t, m.try(t, func() (err error) {
		end, err = m.b.Settle(t.Context(), ledger.Settlement{HoldID: c.hold.ID, Usage: ledger.Usage{Input: used}, Outcome: ledger.OutcomeCompleted})
		return err
	}))
	if c.final {
		require.Equal(t, c.answered.Cost, end.Cost)
		require.Equal(t, c.answered.BalanceAfter, end.BalanceAfter)
		return
	}
	require.Equal(t, used, end.Cost)
	if exact {
		require.Equal(t, overage, end.Overage, "overage is what no credit of the call's time covers, within the cap")
	}
	c.overage, c.paid = end.Overage, paid
	more := used > c.cost
	c.open, c.final, c.cost, c.answered = false, true, used, end
	if more {
		m.checkTold(t, c)
	}
}

func (m *model) sweep(t *rapid.T) {
	var due []*modelCall
	for _, c := range m.calls {
		if c.open && !c.hold.LeaseTime.After(m.b.clock.Now()) {
			due = append(due, c)
		}
	}
	alone := len(due) == 1 // of several, the order decides which of them credit pays
	overage, paid := int64(0), []ledger.Burn{}
	if alone {
		overage, _ = m.overageOf(t, due[0], due[0].used)
		paid = m.paidAfter(t, due[0], due[0].used)
	}
	require.NoError(t, m.try(t, func() error { _, err := m.b.Sweep(t.Context()); return err }))
	for _, c := range due {
		c.open, c.cost = false, c.used
		swept, err := m.b.store.Hold(t.Context(), c.hold.ID)
		require.NoError(t, err)
		c.overage, c.paid = swept.Overage, swept.PaidBy
		require.True(t, 0 <= c.overage && c.overage <= c.used, "overage is a part of the cost")
		if alone {
			require.Equal(t, overage, c.overage, "overage is what no credit of the call's time covers, within the cap")
			c.paid = paid
		}
	}
}

// fold moves history; nothing that is checked changes by it.
func (m *model) fold(t *rapid.T) {
	require.NoError(t, m.try(t, func() error { _, err := m.b.Fold(t.Context(), always); return err }))
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
