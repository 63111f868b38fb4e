package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/follow"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

const (
	// modelScale makes the usage of accounts with a plan that is sold cents.
	modelScale = 50_000
	modelCap   = 5 * plans.Cent
	// modelTotal is what each invoice charges, in cents.
	modelTotal = 2380
)

// modelPrices are the prices of the plans that are sold, and the credit that each seat includes.
var modelPrices = map[string]int64{"price_pro": 10_000_000, "price_max": 30_000_001} //nolint:gochecknoglobals // a table

// sellPlans lets the ledger know the plans.
func (m *model) sellPlans() {
	m.b.plans.prices = map[string]plans.Sale{}
	for price, credit := range modelPrices {
		plan := &plans.Plan{
			ID: strings.TrimPrefix(price, "price_"), Version: 1, Price: 2 * credit, IncludedCredit: credit, RenewalAdvance: 25, GraceDays: 7,
			Seats: &plans.Seats{Min: 1, Max: 9}, Overage: &plans.Overage{Cap: modelCap},
		}
		m.b.plans.all[plan.Ref()] = *plan
		m.b.plans.prices[price] = plans.Sale{Offer: plans.Offer{Plan: plan}, Interval: plans.Month}
	}
}

// scale is the factor of usage and credit.
func (m *model) scale() int64 {
	if m.sold == nil {
		return 1
	}
	return modelScale
}

// modelSale is what Stripe knows of an account.
type modelSale struct {
	m *model
	// number counts the subscriptions. One that is not live is over.
	number, invoices int
	live             bool
	start            time.Time
	month            int
	price            string
	seats            int64
	// exact is the credit of the present month; -1 when it was changed within the month.
	exact int64
	// most is what the present month can include at most: its invoice, and each change of plan without what a lower plan takes back.
	most int64
	// open is the invoice that is not paid; "" for none.
	open string
	// ends is when the subscription was last said to end within its month; zero for never.
	ends time.Time
	// paid are the payments, and taken what a dispute takes of each, in cents.
	paid  []string
	taken map[string]int64
	// charged is the overage that was charged.
	charged int64
	// late are the paid invoices of changes of which the news has not come.
	late []string
}

// begin makes the customer.
func (s *modelSale) begin() {
	s.taken = map[string]int64{}
	s.m.read()
	_, err := s.m.b.store.BeginCustomer(s.m.t.Context(), customers.Begin{AccountID: s.m.account, Time: s.m.b.clock.Now()})
	require.NoError(s.m.t, err)
	require.NoError(s.m.t, s.m.b.store.SaveCustomer(s.m.t.Context(), s.m.account, s.customer()))
}

func (s *modelSale) customer() string { return "cus_" + s.m.account }
func (s *modelSale) id() string       { return fmt.Sprintf("sub_%s_%d", s.m.account, s.number) }

// now is the time at Stripe, whose clock never goes back.
func (s *modelSale) now() time.Time {
	if now := s.m.b.clock.Now(); now.After(s.m.latest) {
		return now
	}
	return s.m.latest
}

// at is when a month begins.
func (s *modelSale) at(month int) time.Time { return s.start.AddDate(0, month, 0) }

// write mirrors an object, with what follows from it, sometimes twice; the process may die meanwhile.
func (s *modelSale) write(t *rapid.T, kind mirror.Kind, body string) {
	o, err := mirror.Parse(kind, []byte(body))
	require.NoError(t, err)
	for range rapid.IntRange(1, 2).Draw(t, "times") {
		require.NoError(t, s.m.try(t, func() error {
			if o.Sequence, err = s.m.b.store.TakeSequence(t.Context(), kind, o.ID); err != nil {
				return err
			}
			point := s.m.failing.take()
			f := &follow.Follower{Store: s.m.b.store, Ledger: s.m.b.Ledger}
			_, err := s.m.b.store.WriteObject(t.Context(), o, func(ctx context.Context, d database.Tx, o mirror.Object) error {
				err := f.Written(ctx, d, o)
				if err == nil && (point == "middle" || point == "decided") {
					return errCrash
				}
				return err
			})
			if err == nil && point == "committed" {
				return errCrash
			}
			return err
		}))
	}
}

// tell mirrors the subscription as it is.
func (s *modelSale) tell(t *rapid.T, status, more string) {
	s.ends = time.Time{}
	s.write(t, mirror.Subscription, fmt.Sprintf(`{"id":%q,"object":"subscription","customer":%q,"status":%q,"created":%d,"start_date":%[4]d,"billing_cycle_anchor":%[4]d,
		"current_period_start":%d,"current_period_end":%d,"items":{"data":[{"quantity":%d,"price":{"id":%q,"object":"price"}}]}%s}`,
		s.id(), s.customer(), status, s.start.Unix(), s.at(s.month).Unix(), s.at(s.month+1).Unix(), s.seats, s.price, more))
}

// invoice mirrors the invoice of the month.
func (s *modelSale) invoice(t *rapid.T, status string) {
	id := fmt.Sprintf("in_%s_%d", s.id(), s.month)
	s.write(t, mirror.Invoice, fmt.Sprintf(`{"id":%q,"object":"invoice","customer":%q,"subscription":%q,"status":%q,"created":%d,"payment_intent":"pi_%[1]s","total":%[6]d,
		"lines":{"data":[{"type":"subscription","amount":2000,"quantity":%[7]d,"price":{"id":%[8]q,"object":"price"},"period":{"start":%[5]d,"end":%[9]d}}]}}`,
		id, s.customer(), s.id(), status, s.at(s.month).Unix(), modelTotal, s.seats, s.price, s.at(s.month+1).Unix()))
	s.open = id
	if status == "paid" {
		s.open, s.paid = "", append(s.paid, "pi_"+id)
	}
}

func (m *model) needSale(t *rapid.T, live bool) *modelSale {
	if m.sold == nil || m.sold.live != live {
		t.Skip("no subscription, or one already")
	}
	return m.sold
}

// buyPlan buys a plan; the news of the invoice and of the subscription come in any order.
func (m *model) buyPlan(t *rapid.T) {
	s := m.needSale(t, false)
	m.read()
	s.number++
	s.live, s.start, s.month = true, s.now().Truncate(time.Second), 0
	s.draw(t)
	s.exact, s.most = s.included(), s.included()
	news := []func(){func() { s.invoice(t, "paid") }, func() { s.tell(t, "active", "") }}
	if rapid.Bool().Draw(t, "subscription first") {
		slices.Reverse(news)
	}
	for _, tell := range news {
		tell()
	}
}

func (s *modelSale) draw(t *rapid.T) {
	s.price, s.seats = rapid.SampledFrom([]string{"price_pro", "price_max"}).Draw(t, "price"), rapid.Int64Range(1, 3).Draw(t, "seats")
}

// included is the credit that a month of the plan includes.
func (s *modelSale) included() int64 { return modelPrices[s.price] * s.seats }

// current tells whether Stripe's news of the present period have come.
func (s *modelSale) current() bool { return s.now().Before(s.at(s.month + 1)) }

// renew brings Stripe's news up to the present.
func (m *model) renew(t *rapid.T) {
	s := m.needSale(t, true)
	if s.current() {
		t.Skip("it is not over")
	}
	for !s.current() {
		s.month++
	}
	s.exact, s.most = -1, s.included() // without a payment, an advance at most
	status, invoice := "active", "paid"
	if rapid.Bool().Draw(t, "declined") {
		status, invoice = "past_due", "open"
	}
	s.invoice(t, invoice)
	s.tell(t, status, "")
	if s.open == "" {
		s.exact = s.included() // with what was given before the news
	}
}

// pay pays the open invoice.
func (m *model) pay(t *rapid.T) {
	s := m.needSale(t, true)
	if s.open == "" || !s.current() {
		t.Skip("no open invoice")
	}
	s.invoice(t, "paid")
	s.tell(t, "active", "")
	s.exact = s.included()
}

// changePlan changes the plan or the seats, for the rest of the month.
func (m *model) changePlan(t *rapid.T) {
	s := m.needSale(t, true)
	if s.open != "" || !s.current() {
		t.Skip("it is not paid")
	}
	before, oldPrice, oldSeats := m.subscribed(t), s.price, s.seats
	s.draw(t)
	s.invoices++
	at, end := s.now().Truncate(time.Second), s.at(s.month+1)
	line := func(amount, quantity int64, price string) string {
		return fmt.Sprintf(`{"type":"invoiceitem","proration":true,"amount":%d,"quantity":%d,"price":{"id":%q,"object":"price"},"period":{"start":%d,"end":%d}}`,
			amount, quantity, price, at.Unix(), end.Unix())
	}
	body := fmt.Sprintf(`{"id":"in_%s_up_%d","object":"invoice","customer":%q,"subscription":%q,"status":"paid","created":%d,"payment_intent":"pi_in_%[1]s_up_%[2]d","total":%[6]d,
		"lines":{"data":[%s,%s]}}`, s.id(), s.invoices, s.customer(), s.id(), at.Unix(), modelTotal, line(-1000, oldSeats, oldPrice), line(2000, s.seats, s.price))
	s.paid = append(s.paid, fmt.Sprintf("pi_in_%s_up_%d", s.id(), s.invoices))
	news := []func(){func() { s.write(t, mirror.Invoice, body) }, func() { s.tell(t, "active", "") }}
	late := rapid.IntRange(0, 3).Draw(t, "late") == 0
	if late {
		s.late, news = append(s.late, body), news[1:]
	}
	if rapid.Bool().Draw(t, "subscription first") {
		slices.Reverse(news)
	}
	for _, tell := range news {
		tell()
	}
	more := modelPrices[s.price]*s.seats - modelPrices[oldPrice]*oldSeats
	extra := max(roundUp(more, end.Sub(at), end.Sub(s.at(s.month))), 0)
	if s.exact >= 0 && !late { // the first change of a month whose credit is known
		require.Equal(t, extra, m.subscribed(t)-before, "the rest of the month has more credit, and never less")
	}
	s.exact, s.most = -1, s.most+extra
}

// hearLate tells of an invoice of a change, perhaps after later changes and refunds.
func (m *model) hearLate(t *rapid.T) {
	if m.sold == nil || len(m.sold.late) == 0 {
		t.Skip("no late news")
	}
	s := m.sold
	n := rapid.IntRange(0, len(s.late)-1).Draw(t, "which")
	s.write(t, mirror.Invoice, s.late[n])
	s.late = slices.Delete(s.late, n, n+1)
}

// roundUp is amount × rest ÷ whole.
func roundUp(amount int64, rest, whole time.Duration) int64 {
	n := new(big.Int).Mul(big.NewInt(amount), big.NewInt(int64(rest)))
	q, r := n.DivMod(n, big.NewInt(int64(whole)), new(big.Int))
	if r.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return q.Int64()
}

// cancel ends the subscription at once.
func (m *model) cancel(t *rapid.T) {
	s := m.needSale(t, true)
	s.tell(t, "canceled", fmt.Sprintf(`,"ended_at":%d`, s.now().Unix()))
	s.live, s.exact, s.open = false, -1, ""
}

// status is Stripe's of a subscription that is not over.
func (s *modelSale) status() string {
	if s.open != "" {
		return "past_due"
	}
	return "active"
}

// endLater has the subscription end within its month.
func (m *model) endLater(t *rapid.T) {
	s := m.needSale(t, true)
	rest := s.at(s.month + 1).Sub(s.now())
	at := s.now().Add(rest / 8 * time.Duration(rapid.IntRange(1, 7).Draw(t, "eighths"))).Truncate(time.Second)
	if !at.After(s.now()) {
		t.Skip("the month is over, or nearly")
	}
	s.tell(t, s.status(), fmt.Sprintf(`,"cancel_at":%d`, at.Unix()))
	s.ends = at
}

// takeBack tells, perhaps after that time, that the subscription does not end: nothing of the month's credit has expired, whatever happened meanwhile.
func (m *model) takeBack(t *rapid.T) {
	s := m.needSale(t, true)
	if s.ends.IsZero() || !s.current() {
		t.Skip("it does not end within the month")
	}
	if s.now().Before(s.ends) && rapid.Bool().Draw(t, "late") {
		m.b.clock.Set(s.ends)
		m.latest = s.ends
		m.followDue(t)
	}
	s.tell(t, s.status(), "")
	grants, err := m.b.store.Grants(t.Context(), m.account)
	require.NoError(t, err)
	entries, err := m.b.Entries(t.Context(), m.account, "", 100_000)
	require.NoError(t, err)
	month := fmt.Sprintf("%s%d", subscriptions.SourceOf(s.id()), s.at(s.month).Unix())
	gone := int64(0)
	for _, g := range grants {
		if !strings.HasPrefix(g.Source, month) {
			continue
		}
		require.Equal(t, s.at(s.month+1), g.ExpireTime)
		for _, e := range entries {
			switch {
			case e.Kind != ledger.KindExpiry || e.Reference != g.ID:
			case e.Credit == ledger.SideExpired:
				gone += e.Amount
			default:
				gone -= e.Amount
			}
		}
		if strings.Contains(g.Source, ":return:") {
			gone -= g.Amount
		}
	}
	require.NoError(t, m.b.store.Write(t.Context(), m.account, func(ctx context.Context, tx ledger.Tx) error {
		clawed := int64(0)
		for _, paid := range s.paid {
			purchases, err := tx.Purchases(ctx, paid)
			if err != nil {
				return err
			}
			for _, p := range purchases {
				if strings.HasPrefix(p.Source, month) {
					clawed += p.Clawed
				}
			}
		}
		require.Equal(t, clawed, gone, "only refunds and disputes take credit of a month that is not over")
		return nil
	}))
}

// dispute opens a dispute of a payment, which takes back its credit that is left, or lets the account win it, which returns that.
func (m *model) dispute(t *rapid.T) {
	if m.sold == nil || len(m.sold.paid) == 0 {
		t.Skip("no payments")
	}
	s := m.sold
	paid := rapid.SampledFrom(s.paid).Draw(t, "paid")
	r := subscriptions.Reversal{ID: "dp_" + paid, Paid: paid, Created: s.now()}
	if s.taken[paid] == 0 {
		r.Amount = rapid.SampledFrom([]int64{1, modelTotal / 2, modelTotal}).Draw(t, "disputed")
	}
	before := m.read()
	left, clawed := m.clawable(t, paid, r.Amount)
	waiting, short := m.waiting(t), m.short(t)
	for range rapid.IntRange(1, 2).Draw(t, "times") {
		require.NoError(t, m.try(t, func() error {
			point := m.failing.take()
			return m.b.db.Write(t.Context(), m.account, func(ctx context.Context, d database.Tx) error {
				if _, err := m.b.store.SaveReversal(ctx, d, r); err != nil && !errors.Is(err, ledger.ErrNotFound) {
					return err
				}
				return m.b.store.Within(ctx, d, m.account, m.failing.crashing(point, func(ctx context.Context, tx ledger.Tx) error {
					return m.b.FollowReversal(ctx, tx, m.account, r)
				}))
			})
		}))
	}
	s.taken[paid] = r.Amount
	after := m.read()
	switch {
	case r.Amount == 0 && before.Held == 0 && short > 0:
		require.LessOrEqual(t, after.Balance, before.Balance+clawed)
		require.GreaterOrEqual(t, after.Balance, before.Balance+max(clawed-short, 0), "what comes back may be owed for another change of the month")
	case r.Amount == 0 && before.Held == 0:
		require.Equal(t, before.Balance+clawed, after.Balance, "what was taken comes back while its time lasts")
	case r.Amount == 0:
		require.GreaterOrEqual(t, after.Balance, before.Balance+clawed-waiting-short, "what comes back frees credit that refunds wait for")
	case before.Held == 0:
		require.Equal(t, before.Balance-left, after.Balance, "it takes its part of what is left")
	default:
		require.LessOrEqual(t, after.Balance, before.Balance)
		require.GreaterOrEqual(t, after.Balance, before.Balance-left)
	}
}

// clawable is what is left of the credit that part of a payment bought, and what was taken back of it before whose time is not over.
func (m *model) clawable(t *rapid.T, paid string, cents int64) (left, clawed int64) {
	grants, err := m.b.store.Grants(t.Context(), m.account)
	require.NoError(t, err)
	require.NoError(t, m.b.store.Write(t.Context(), m.account, func(ctx context.Context, tx ledger.Tx) error {
		left, clawed = 0, 0
		purchases, err := tx.Purchases(ctx, paid)
		for _, p := range purchases {
			remaining, lasts := int64(0), false
			for _, g := range grants {
				lasts = lasts || g.Source == p.Source && g.ExpireTime.After(m.b.clock.Now())
				if g.Source == p.Source || strings.HasPrefix(g.Source, p.Source+":return:dp_"+paid) || p.Changes != "" && strings.HasPrefix(g.Source, p.Changes+":") {
					remaining += g.Remaining
				}
			}
			part := new(big.Int).Mul(big.NewInt(p.Credit), big.NewInt(cents))
			left += min(remaining, max(part.Div(part, big.NewInt(p.Total)).Int64()-p.Clawed, 0))
			if lasts {
				clawed += p.Clawed
			}
		}
		return err
	}))
	return left, clawed
}

// short is what disputes did not take of changes, because it was used: the changes of a month share their credit.
func (m *model) short(t *rapid.T) (sum int64) {
	require.NoError(t, m.b.store.Write(t.Context(), m.account, func(ctx context.Context, tx ledger.Tx) error {
		sum = 0
		purchases, err := tx.ReversedPurchases(ctx, m.account)
		for _, p := range purchases {
			if p.Changes != "" {
				part := new(big.Int).Mul(big.NewInt(p.Credit), big.NewInt(m.sold.taken[p.Payment]))
				sum += part.Div(part, big.NewInt(p.Total)).Int64() - p.Clawed
			}
		}
		return err
	}))
	return sum
}

// charge makes the charge of overage that is due: the whole cents that no earlier one has.
func (m *model) charge(t *rapid.T) {
	if m.sold == nil || m.sold.number == 0 {
		t.Skip("no overage")
	}
	a := m.read()
	due, err := m.b.store.DueOverage(t.Context(), m.b.clock.Now(), 10_000)
	require.NoError(t, err)
	if slices.Contains(due, m.account) {
		m.sold.charged += max(a.Overage.Total-m.sold.charged, 0) / plans.Cent * plans.Cent
	}
	require.NoError(t, m.try(t, func() error { _, err := m.b.ChargeOverage(t.Context(), m.account); return err }))
	charges, err := m.b.store.Charges(t.Context(), m.account, "", 10_000)
	require.NoError(t, err)
	sum := int64(0)
	for _, c := range charges {
		sum += c.Cents * plans.Cent
	}
	require.Equal(t, m.sold.charged, sum, "each cent is charged once")
}

// followDue follows what time alone has changed.
func (m *model) followDue(t *rapid.T) {
	require.NoError(t, m.try(t, func() error { _, err := m.b.FollowDue(t.Context(), 10_000); return err }))
}

// overageOf is what the settlement of a call must invoice. It is exact unless the call is closed.
func (m *model) overageOf(t *rapid.T, c *modelCall, used int64) (overage int64, exact bool) {
	if c.final || m.sold == nil {
		return 0, !c.final
	}
	a := m.read()
	h, err := m.b.store.Hold(t.Context(), c.hold.ID)
	require.NoError(t, err)
	if used < c.cost {
		return c.overage - min(max(c.cost-used-h.Owed, 0), c.overage), true
	}
	grants, err := m.b.store.Grants(t.Context(), m.account)
	require.NoError(t, err)
	good := int64(0)
	for _, g := range grants {
		if g.ExpireTime.After(c.hold.CreateTime) {
			good += g.Remaining
		}
	}
	if c.overage > 0 && !h.OverageStart.Equal(a.PeriodStart) {
		return c.overage, true // a call counts in one period
	}
	left := int64(0)
	if c.hold.CreateTime.Before(a.Overage.CloseTime) {
		left = max(a.Overage.Cap-a.Overage.Used, 0)
	}
	return c.overage + min(max(used-c.cost-good, 0), left), true
}

// subscribed is the credit that the present month of the subscription has given.
func (m *model) subscribed(t *rapid.T) (sum int64) {
	m.read()
	grants, err := m.b.store.Grants(t.Context(), m.account)
	require.NoError(t, err)
	prefix := fmt.Sprintf("%s%d", subscriptions.SourceOf(m.sold.id()), m.sold.at(m.sold.month).Unix())
	for _, g := range grants {
		if strings.HasPrefix(g.Source, prefix) && !strings.Contains(g.Source, "return:") {
			sum += g.Amount
		}
	}
	return sum
}

// checkSold: a plan's credit is given once, as it is sold.
func (m *model) checkSold(t *rapid.T) {
	if m.sold == nil || m.sold.number == 0 {
		return
	}
	s := m.sold
	given := m.subscribed(t)
	require.LessOrEqual(t, given, s.most)
	if s.exact >= 0 {
		require.Equal(t, s.exact, given)
	}
	if s.live && s.current() && s.open == "" && (s.ends.IsZero() || s.now().Before(s.ends)) {
		require.Equal(t, strings.TrimPrefix(s.price, "price_")+"@1", m.read().Plan)
	}
}
