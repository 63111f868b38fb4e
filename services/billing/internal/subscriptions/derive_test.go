package subscriptions_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

const dollar = 1_000_000_000

// prices is a catalog: the price's id names what it sells.
type prices map[string]plans.Sale

func (p prices) ByPrice(id string) (plans.Sale, bool) {
	sale, ok := p[id]
	return sale, ok
}

func catalog() prices {
	pro := &plans.Plan{ID: "pro", Version: 3, Price: 20 * dollar, IncludedCredit: 40 * dollar, RenewalAdvance: 25, GraceDays: 7, Trial: &plans.Trial{Days: 14, Credit: 3 * dollar}}
	max := &plans.Plan{ID: "max", Version: 1, Price: 50 * dollar, IncludedCredit: 100 * dollar, RenewalAdvance: 25, GraceDays: 7}
	team := &plans.Plan{ID: "team", Version: 1, Price: 10 * dollar, IncludedCredit: 10 * dollar, RenewalAdvance: 0, GraceDays: 0, Seats: &plans.Seats{Min: 1, Max: 100}}
	pack := &plans.Pack{ID: "credit_20", Version: 1, Credit: 21 * dollar, ExpireMonths: 12}
	forever := &plans.Pack{ID: "forever", Version: 1, Credit: dollar}
	return prices{
		"pro_m": {Offer: plans.Offer{Plan: pro}, Interval: plans.Month}, "pro_y": {Offer: plans.Offer{Plan: pro}, Interval: plans.Year},
		"max_m": {Offer: plans.Offer{Plan: max}, Interval: plans.Month}, "max_y": {Offer: plans.Offer{Plan: max}, Interval: plans.Year},
		"team_m": {Offer: plans.Offer{Plan: team}, Interval: plans.Month},
		"pack":   {Offer: plans.Offer{Pack: pack}}, "forever": {Offer: plans.Offer{Pack: forever}},
	}
}

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func unix(text string) int64 { return at(text).Unix() }

// sub writes a subscription that began on 10 January and is in its second month; fields replace or add to that.
func sub(t *testing.T, status, price string, fields ...string) subscriptions.Subscription {
	t.Helper()
	return subOf(t, "sub_1", "2026-02-10 12:00", "2026-03-10 12:00", status, price, 1, fields...)
}

func subOf(t *testing.T, id, from, to, status, price string, quantity int, fields ...string) subscriptions.Subscription {
	t.Helper()
	body := fmt.Sprintf(`{"id":%q,"customer":"cus_1","status":%q,"created":%d,"start_date":%[3]d,"billing_cycle_anchor":%[3]d,"current_period_start":%d,
		"current_period_end":%d,"items":{"data":[{"price":{"id":%q},"quantity":%d}]}`,
		id, status, unix("2026-01-10 12:00"), unix(from), unix(to), price, quantity)
	for _, f := range fields {
		body += "," + f
	}
	s, err := subscriptions.ParseSubscription([]byte(body + "}"))
	require.NoError(t, err)
	return s
}

func line(price string, quantity int, amount int64, proration bool, from, to string) string {
	return fmt.Sprintf(`{"type":"subscription","amount":%d,"proration":%t,"quantity":%d,"price":{"id":%q},"period":{"start":%d,"end":%d}}`,
		amount, proration, quantity, price, unix(from), unix(to))
}

func invoice(t *testing.T, id, status, created string, lines ...string) subscriptions.Invoice {
	t.Helper()
	inv, err := subscriptions.ParseInvoice(fmt.Appendf(nil, `{"id":%q,"subscription":"sub_1","status":%q,"created":%d,"lines":{"data":[%s]}}`,
		id, status, unix(created), strings.Join(lines, ",")))
	require.NoError(t, err)
	return inv
}

func february(t *testing.T, status string) subscriptions.Invoice {
	t.Helper()
	return invoice(t, "in_2", status, "2026-02-10 12:00", line("pro_m", 1, 2000, false, "2026-02-10 12:00", "2026-03-10 12:00"))
}

// given writes grants as "source amount".
func given(st subscriptions.State) (all []string) {
	for _, g := range st.Grants {
		all = append(all, fmt.Sprintf("%s %d until %s", g.Source, g.Amount, g.Expire.Format("2006-01-02 15:04")))
	}
	return all
}

// TestTheTable is one row for each state that Stripe shows.
func TestTheTable(t *testing.T) {
	start := unix("2026-02-10 12:00")
	advance := fmt.Sprintf("sub:sub_1:%d:advance 10000000000 until 2026-03-10 12:00", start)
	rest := fmt.Sprintf("sub:sub_1:%d 30000000000 until 2026-03-10 12:00", start)
	subs := func(s ...subscriptions.Subscription) []subscriptions.Subscription { return s }
	invs := func(i ...subscriptions.Invoice) []subscriptions.Invoice { return i }
	gone := sub(t, "active", "pro_m")
	gone.CustomerDeleted = true
	up := invoice(t, "in_3", "paid", "2026-02-24 12:00",
		line("pro_m", 1, -1000, true, "2026-02-24 12:00", "2026-03-10 12:00"), line("max_m", 1, 2500, true, "2026-02-24 12:00", "2026-03-10 12:00"))
	for name, c := range map[string]struct {
		subs   []subscriptions.Subscription
		invs   []subscriptions.Invoice
		now    string
		access subscriptions.Access
		plan   string
		grants []string
		next   string
	}{
		"none":               {now: "2026-02-20 00:00"},
		"incomplete":         {subs: subs(sub(t, "incomplete", "pro_m")), now: "2026-02-20 00:00"},
		"incomplete_expired": {subs: subs(sub(t, "incomplete_expired", "pro_m")), now: "2026-02-20 00:00", access: subscriptions.Ended, plan: "pro"},
		"trialing": {
			subs: subs(sub(t, "trialing", "pro_m", fmt.Sprintf(`"trial_end":%d`, unix("2026-03-10 12:00")))), now: "2026-02-20 00:00",
			access: subscriptions.Trial, plan: "pro", grants: []string{"sub:sub_1:trial 3000000000 until 2026-03-10 12:00"}, next: "2026-03-07 12:00",
		},
		"a trial that has ended, without news": {
			subs: subs(sub(t, "trialing", "pro_m", fmt.Sprintf(`"trial_end":%d`, unix("2026-03-10 12:00")))), now: "2026-03-11 00:00",
			access: subscriptions.Grace, plan: "pro", next: "2026-03-17 12:00",
		},
		"active and paid": {
			subs: subs(sub(t, "active", "pro_m")), invs: invs(february(t, "paid")), now: "2026-02-20 00:00",
			access: subscriptions.Active, plan: "pro", grants: []string{advance, rest}, next: "2026-03-10 12:00",
		},
		"active, the first period": {
			subs:   subs(subOf(t, "sub_1", "2026-01-10 12:00", "2026-02-10 12:00", "active", "pro_m", 1)),
			invs:   invs(invoice(t, "in_1", "paid", "2026-01-10 12:00", line("pro_m", 1, 2000, false, "2026-01-10 12:00", "2026-02-10 12:00"))),
			now:    "2026-01-10 12:01",
			access: subscriptions.Active, plan: "pro", next: "2026-01-17 12:00",
			grants: []string{fmt.Sprintf("sub:sub_1:%d 40000000000 until 2026-02-10 12:00", unix("2026-01-10 12:00"))},
		},
		"active, a draft": {
			subs: subs(sub(t, "active", "pro_m")), invs: invs(february(t, "draft")), now: "2026-02-10 12:10",
			access: subscriptions.Active, plan: "pro", grants: []string{advance}, next: "2026-02-17 12:00",
		},
		"active, an open invoice": {
			subs: subs(sub(t, "active", "pro_m")), invs: invs(february(t, "open")), now: "2026-02-10 13:10",
			access: subscriptions.Active, plan: "pro", grants: []string{advance}, next: "2026-02-17 12:00",
		},
		"active, the invoice not seen yet": {
			subs: subs(sub(t, "active", "pro_m")), now: "2026-02-10 12:00", access: subscriptions.Active, plan: "pro", grants: []string{advance}, next: "2026-02-17 12:00",
		},
		"a renewal without news": {
			subs: subs(subOf(t, "sub_1", "2026-01-10 12:00", "2026-02-10 12:00", "active", "pro_m", 1)), now: "2026-02-10 12:00",
			access: subscriptions.Active, plan: "pro", grants: []string{advance}, next: "2026-02-17 12:00",
		},
		"no news for longer than the grace": {
			subs: subs(subOf(t, "sub_1", "2026-01-10 12:00", "2026-02-10 12:00", "active", "pro_m", 1)), now: "2026-02-17 12:00",
			access: subscriptions.Suspended, plan: "pro", next: "2026-03-10 12:00",
		},
		"a renewal without news and without grace": {
			subs: subs(subOf(t, "sub_1", "2026-01-10 12:00", "2026-02-10 12:00", "active", "team_m", 1)), now: "2026-02-11 11:59",
			access: subscriptions.Active, plan: "team", next: "2026-02-11 12:00",
		},
		"no news for a day, without grace": {
			subs: subs(subOf(t, "sub_1", "2026-01-10 12:00", "2026-02-10 12:00", "active", "team_m", 1)), now: "2026-02-11 12:00",
			access: subscriptions.Suspended, plan: "team", next: "2026-03-10 12:00",
		},
		"a trial that has ended, without news and without grace": {
			subs: subs(sub(t, "trialing", "team_m", fmt.Sprintf(`"trial_end":%d`, unix("2026-03-10 12:00")))), now: "2026-03-11 00:00",
			access: subscriptions.Grace, plan: "team", next: "2026-03-11 12:00",
		},
		"past_due without news and without grace": {
			subs: subs(subOf(t, "sub_1", "2026-01-10 12:00", "2026-02-10 12:00", "past_due", "team_m", 1)), now: "2026-02-10 12:00",
			access: subscriptions.Suspended, plan: "team", next: "2026-03-10 12:00",
		},
		"past_due without grace": {
			subs: subs(sub(t, "past_due", "team_m")), now: "2026-02-10 12:00", access: subscriptions.Suspended, plan: "team", next: "2026-03-10 12:00",
		},
		"past_due": {
			subs: subs(sub(t, "past_due", "pro_m")), invs: invs(february(t, "open")), now: "2026-02-17 11:59",
			access: subscriptions.Grace, plan: "pro", grants: []string{advance}, next: "2026-02-17 12:00",
		},
		"past_due beyond the grace": {
			subs: subs(sub(t, "past_due", "pro_m")), invs: invs(february(t, "open")), now: "2026-02-17 12:00",
			access: subscriptions.Suspended, plan: "pro", next: "2026-03-10 12:00",
		},
		"past_due since the period before": {
			subs: subs(subOf(t, "sub_1", "2026-03-10 12:00", "2026-04-10 12:00", "past_due", "pro_m", 1)), invs: invs(february(t, "open")), now: "2026-03-11 00:00",
			access: subscriptions.Suspended, plan: "pro", next: "2026-04-10 12:00",
		},
		"unpaid": {
			subs: subs(sub(t, "unpaid", "pro_m")), invs: invs(february(t, "open")), now: "2026-02-12 00:00",
			access: subscriptions.Suspended, plan: "pro", next: "2026-02-17 12:00",
		},
		"paused": {subs: subs(sub(t, "paused", "pro_m")), now: "2026-02-20 00:00", access: subscriptions.Suspended, plan: "pro", next: "2026-03-10 12:00"},
		"recovered": {
			subs: subs(sub(t, "active", "pro_m")), invs: invs(february(t, "paid")), now: "2026-02-27 00:00",
			access: subscriptions.Active, plan: "pro", grants: []string{advance, rest}, next: "2026-03-10 12:00",
		},
		"cancel_at_period_end": {
			subs: subs(sub(t, "active", "pro_m", `"cancel_at_period_end":true`)), invs: invs(february(t, "paid")), now: "2026-03-10 11:59",
			access: subscriptions.Active, plan: "pro", grants: []string{advance, rest}, next: "2026-03-10 12:00",
		},
		"cancel_at_period_end, reached": {
			subs: subs(sub(t, "active", "pro_m", `"cancel_at_period_end":true`)), invs: invs(february(t, "paid")), now: "2026-03-10 12:00",
			access: subscriptions.Ended, plan: "pro",
		},
		"cancel_at": {
			subs: subs(sub(t, "active", "pro_m", fmt.Sprintf(`"cancel_at":%d`, unix("2026-02-20 00:00")))), invs: invs(february(t, "paid")), now: "2026-02-19 00:00",
			access: subscriptions.Active, plan: "pro", grants: []string{advance, rest}, next: "2026-02-20 00:00",
		},
		"canceled": {
			subs: subs(sub(t, "canceled", "pro_m", fmt.Sprintf(`"ended_at":%d`, unix("2026-02-20 00:00")))), invs: invs(february(t, "paid")), now: "2026-02-20 00:00",
			access: subscriptions.Ended, plan: "pro",
		},
		"a changed price": {
			subs: subs(sub(t, "active", "max_m")), invs: invs(february(t, "paid"), up), now: "2026-02-25 00:00",
			access: subscriptions.Active, plan: "max", next: "2026-03-10 12:00",
			grants: []string{advance, rest, fmt.Sprintf("sub:sub_1:%d:up:max_m:1 30000000000 until 2026-03-10 12:00", start)},
		},
		"a changed price that is not paid": {
			subs: subs(sub(t, "active", "pro_m")), now: "2026-02-25 00:00",
			invs:   invs(february(t, "paid"), invoice(t, "in_3", "open", "2026-02-24 12:00", line("max_m", 1, 2500, true, "2026-02-24 12:00", "2026-03-10 12:00"))),
			access: subscriptions.Active, plan: "pro", grants: []string{advance, rest}, next: "2026-03-03 12:00",
		},
		"fewer seats": {
			subs: subs(subOf(t, "sub_1", "2026-02-10 12:00", "2026-03-10 12:00", "active", "team_m", 2)), now: "2026-02-25 00:00",
			invs: invs(invoice(t, "in_2", "paid", "2026-02-10 12:00", line("team_m", 5, 5000, false, "2026-02-10 12:00", "2026-03-10 12:00")),
				invoice(t, "in_3", "paid", "2026-02-24 12:00", line("team_m", 5, -2500, true, "2026-02-24 12:00", "2026-03-10 12:00"), line("team_m", 2, 1000, true, "2026-02-24 12:00", "2026-03-10 12:00"))),
			access: subscriptions.Active, plan: "team", grants: []string{fmt.Sprintf("sub:sub_1:%d 50000000000 until 2026-03-10 12:00", start)}, next: "2026-03-10 12:00",
		},
		"more seats": {
			subs: subs(subOf(t, "sub_1", "2026-02-10 12:00", "2026-03-10 12:00", "active", "team_m", 5)), now: "2026-02-25 00:00",
			invs: invs(invoice(t, "in_2", "paid", "2026-02-10 12:00", line("team_m", 2, 2000, false, "2026-02-10 12:00", "2026-03-10 12:00")),
				invoice(t, "in_3", "paid", "2026-02-24 12:00", line("team_m", 2, -1000, true, "2026-02-24 12:00", "2026-03-10 12:00"), line("team_m", 5, 2500, true, "2026-02-24 12:00", "2026-03-10 12:00"))),
			access: subscriptions.Active, plan: "team", next: "2026-03-10 12:00",
			grants: []string{fmt.Sprintf("sub:sub_1:%d 20000000000 until 2026-03-10 12:00", start), fmt.Sprintf("sub:sub_1:%d:up:team_m:5 15000000000 until 2026-03-10 12:00", start)},
		},
		"an unknown price":       {subs: subs(sub(t, "active", "other")), now: "2026-02-20 00:00"},
		"a deleted customer":     {subs: subs(gone), invs: invs(february(t, "paid")), now: "2026-02-20 00:00", access: subscriptions.Ended, plan: "pro"},
		"voided by pausing":      {subs: subs(sub(t, "active", "pro_m", `"pause_collection":{"behavior":"void"}`)), invs: invs(february(t, "void")), now: "2026-02-20 00:00", access: subscriptions.Active, plan: "pro", grants: []string{advance, rest}, next: "2026-03-10 12:00"},
		"voided otherwise":       {subs: subs(sub(t, "active", "pro_m")), invs: invs(february(t, "void")), now: "2026-02-20 00:00", access: subscriptions.Active, plan: "pro", grants: []string{advance}, next: "2026-03-10 12:00"},
		"kept as draft":          {subs: subs(sub(t, "active", "pro_m", `"pause_collection":{"behavior":"keep_as_draft"}`)), invs: invs(february(t, "draft")), now: "2026-02-20 00:00", access: subscriptions.Active, plan: "pro", grants: []string{advance}, next: "2026-03-10 12:00"},
		"a status from tomorrow": {subs: subs(sub(t, "frozen", "pro_m")), now: "2026-02-20 00:00", access: subscriptions.Suspended, plan: "pro", next: "2026-03-10 12:00"},
	} {
		t.Run(name, func(t *testing.T) {
			st := subscriptions.Derive(subscriptions.Input{Subscriptions: c.subs, Invoices: c.invs, Catalog: catalog(), Now: at(c.now)})
			require.Equal(t, c.access, st.Access)
			require.Equal(t, c.plan, st.Plan.ID)
			require.Equal(t, c.grants, given(st))
			next := ""
			if !st.Next.IsZero() {
				next = st.Next.Format("2006-01-02 15:04")
			}
			require.Equal(t, c.next, next)
		})
	}
}

// A year is granted month by month, once it is paid.
func TestCreditOfAYear(t *testing.T) {
	s := subOf(t, "sub_1", "2026-01-31 12:00", "2027-01-31 12:00", "active", "pro_y", 1)
	s.StartDate, s.BillingCycleAnchor = s.CurrentPeriodStart, s.CurrentPeriodStart
	paid := invoice(t, "in_1", "paid", "2026-01-31 12:00", line("pro_y", 1, 20000, false, "2026-01-31 12:00", "2027-01-31 12:00"))
	var months []string
	for now := at("2026-01-31 12:00"); now.Before(at("2027-01-31 12:00")); now = now.Add(24 * time.Hour) {
		st := subscriptions.Derive(subscriptions.Input{Subscriptions: []subscriptions.Subscription{s}, Invoices: []subscriptions.Invoice{paid}, Catalog: catalog(), Now: now})
		require.Len(t, st.Grants, 1)
		require.EqualValues(t, 40*dollar, st.Grants[0].Amount)
		require.False(t, now.Before(st.CreditStart) || !now.Before(st.CreditEnd))
		if span := st.CreditStart.Format("01-02") + ".." + st.CreditEnd.Format("01-02"); !slices.Contains(months, span) {
			months = append(months, span)
		}
	}
	require.Equal(t, []string{
		"01-31..02-28", "02-28..03-31", "03-31..04-30", "04-30..05-31", "05-31..06-30", "06-30..07-31", "07-31..08-31", "08-31..09-30", "09-30..10-31",
		"10-31..11-30", "11-30..12-31", "12-31..01-31",
	}, months)
}

// What was given before a change of a yearly plan is the old credit; the change adds its share of the rest.
func TestAChangeWithinAYear(t *testing.T) {
	s := subOf(t, "sub_1", "2026-01-10 12:00", "2027-01-10 12:00", "active", "max_y", 1)
	paid := invoice(t, "in_1", "paid", "2026-01-10 12:00", line("pro_y", 1, 20000, false, "2026-01-10 12:00", "2027-01-10 12:00"))
	up := invoice(t, "in_2", "paid", "2026-02-24 12:00", line("pro_y", 1, -17000, true, "2026-02-24 12:00", "2027-01-10 12:00"),
		line("max_y", 1, 40000, true, "2026-02-24 12:00", "2027-01-10 12:00"))
	for now, want := range map[string][]string{
		"2026-02-25 00:00": {
			fmt.Sprintf("sub:sub_1:%d 40000000000 until 2026-03-10 12:00", unix("2026-02-10 12:00")),
			fmt.Sprintf("sub:sub_1:%d:up:max_y:1 30000000000 until 2026-03-10 12:00", unix("2026-02-10 12:00")),
		},
		"2026-03-11 00:00": {fmt.Sprintf("sub:sub_1:%d 100000000000 until 2026-04-10 12:00", unix("2026-03-10 12:00"))},
	} {
		st := subscriptions.Derive(subscriptions.Input{
			Subscriptions: []subscriptions.Subscription{s}, Invoices: []subscriptions.Invoice{up, paid}, Catalog: catalog(), Now: at(now),
		})
		require.Equal(t, want, given(st), now)
	}
}

// Going down and up again within a month gives nothing, whatever the steps are.
// openmeterio/openmeter#4252 gave extra credit after a change within the period.
func TestSeatsThatGoDownAndUp(t *testing.T) {
	invs := []subscriptions.Invoice{invoice(t, "in_1", "paid", "2026-02-10 12:00", line("team_m", 2, 2000, false, "2026-02-10 12:00", "2026-03-10 12:00"))}
	before := 2
	for i, n := range []int{10, 2, 9, 3, 4, 10, 2, 12} {
		made := at("2026-02-24 12:00").Add(time.Duration(i) * time.Second).Format("2006-01-02 15:04")
		invs = append(invs, invoice(t, fmt.Sprintf("in_2%d", i), "paid", made,
			line("team_m", before, -int64(before)*500, true, "2026-02-24 12:00", "2026-03-10 12:00"), line("team_m", n, int64(n)*500, true, "2026-02-24 12:00", "2026-03-10 12:00")))
		before = n
	}
	st := subscriptions.Derive(subscriptions.Input{
		Subscriptions: []subscriptions.Subscription{subOf(t, "sub_1", "2026-02-10 12:00", "2026-03-10 12:00", "active", "team_m", 12)},
		Invoices:      invs, Catalog: catalog(), Now: at("2026-02-25 00:00"),
	})
	start := unix("2026-02-10 12:00")
	require.Equal(t, []string{
		fmt.Sprintf("sub:sub_1:%d 20000000000 until 2026-03-10 12:00", start),
		fmt.Sprintf("sub:sub_1:%d:up:team_m:10 40000000000 until 2026-03-10 12:00", start),
		fmt.Sprintf("sub:sub_1:%d:up:team_m:12 10000000000 until 2026-03-10 12:00", start),
	}, given(st))
}

// Several periods without news from Stripe are one time of grace, not one each.
func TestNoNewsForMonths(t *testing.T) {
	for now, want := range map[string]subscriptions.Access{
		"2026-03-11 00:00": subscriptions.Active, "2026-03-17 11:59": subscriptions.Active, "2026-03-17 12:00": subscriptions.Suspended,
		"2026-04-11 00:00": subscriptions.Suspended, "2026-05-11 00:00": subscriptions.Suspended,
	} {
		st := subscriptions.Derive(subscriptions.Input{
			Subscriptions: []subscriptions.Subscription{sub(t, "active", "pro_m")}, Invoices: []subscriptions.Invoice{february(t, "paid")}, Catalog: catalog(), Now: at(now),
		})
		require.Equal(t, want, st.Access, now)
		require.Equal(t, want == subscriptions.Active, len(st.Grants) == 1, now)
	}
}

// Of two live subscriptions one entitles. The other gives nothing.
func TestTwoLiveSubscriptions(t *testing.T) {
	cheap := subOf(t, "sub_1", "2026-02-10 12:00", "2026-03-10 12:00", "active", "pro_m", 1)
	dear := subOf(t, "sub_2", "2026-02-10 12:00", "2026-03-10 12:00", "active", "max_m", 1)
	unpaid := subOf(t, "sub_2", "2026-02-10 12:00", "2026-03-10 12:00", "unpaid", "max_m", 1)
	derive := func(s ...subscriptions.Subscription) subscriptions.State {
		return subscriptions.Derive(subscriptions.Input{Subscriptions: s, Invoices: []subscriptions.Invoice{february(t, "paid")}, Catalog: catalog(), Now: at("2026-02-20 00:00")})
	}
	st := derive(cheap, dear)
	require.Equal(t, "sub_2", st.SubscriptionID, "the dearer plan")
	require.Equal(t, []string{"sub_1"}, st.Duplicates)
	require.Len(t, st.Grants, 1)
	require.Equal(t, "sub_1", derive(unpaid, cheap).SubscriptionID, "the one that is paid")
	later := dear
	later.ID, later.Created = "sub_0", dear.Created+1
	require.Equal(t, "sub_2", derive(later, dear).SubscriptionID, "the older")
}

// What follows from objects does not depend on their order, and a state that is seen late gives nothing that an earlier look did not
// leave to give: 10,000 random histories.
func TestOrderDoesNotMatter(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	statuses := []string{"incomplete", "trialing", "active", "past_due", "unpaid", "paused", "canceled", "incomplete_expired", "active", "active"}
	known := []string{"pro_m", "pro_y", "max_m", "team_m", "other"}
	bills := []string{"draft", "open", "paid", "paid", "void", "uncollectible"}
	for range 10_000 {
		var in subscriptions.Input
		for i := range 1 + dice.IntN(3) {
			from := at("2026-01-10 12:00").AddDate(0, dice.IntN(3), 0)
			s := subOf(t, fmt.Sprintf("sub_%d", i), from.Format("2006-01-02 15:04"), from.AddDate(0, 1, 0).Format("2006-01-02 15:04"),
				statuses[dice.IntN(len(statuses))], known[dice.IntN(len(known))], 1+dice.IntN(3))
			s.CancelAtPeriodEnd = dice.IntN(5) == 0
			in.Subscriptions = append(in.Subscriptions, s)
		}
		for i := range dice.IntN(5) {
			from := at("2026-01-10 12:00").AddDate(0, dice.IntN(3), 0).Format("2006-01-02 15:04")
			inv := invoice(t, fmt.Sprintf("in_%d", i), bills[dice.IntN(len(bills))], from, line(known[dice.IntN(len(known))], 1+dice.IntN(3), 100-int64(dice.IntN(200)), dice.IntN(2) == 0, from, "2026-04-10 12:00"))
			inv.Subscription = fmt.Sprintf("sub_%d", dice.IntN(3))
			in.Invoices = append(in.Invoices, inv)
		}
		in.Catalog, in.Now = catalog(), at("2026-01-10 12:00").Add(time.Duration(dice.IntN(100*24))*time.Hour)
		first := subscriptions.Derive(in)
		dice.Shuffle(len(in.Subscriptions), func(i, j int) { in.Subscriptions[i], in.Subscriptions[j] = in.Subscriptions[j], in.Subscriptions[i] })
		dice.Shuffle(len(in.Invoices), func(i, j int) { in.Invoices[i], in.Invoices[j] = in.Invoices[j], in.Invoices[i] })
		second := subscriptions.Derive(in)
		slices.Sort(first.Duplicates)
		slices.Sort(second.Duplicates)
		require.Equal(t, first, second)
		sources := map[string]bool{}
		for _, g := range first.Grants {
			require.Positive(t, g.Amount)
			require.False(t, sources[g.Source], "a source is due once")
			sources[g.Source] = true
			require.True(t, strings.HasPrefix(g.Source, subscriptions.SourceOf(first.SubscriptionID)))
		}
		if !first.Next.IsZero() {
			require.True(t, first.Next.After(in.Now))
		}
	}
}

func TestPack(t *testing.T) {
	session := func(fields, items string) subscriptions.Session {
		s, err := subscriptions.ParseSession(fmt.Appendf(nil, `{"id":"cs_1","created":%d,%s,"line_items":{"data":[%s]}}`, unix("2026-01-31 12:00"), fields, items))
		require.NoError(t, err)
		return s
	}
	const paid = `"mode":"payment","status":"complete","payment_status":"paid"`
	const pack, forever, other = `{"price":{"id":"pack"},"quantity":1}`, `{"price":{"id":"forever"},"quantity":2}`, `{"price":{"id":"other"},"quantity":1}`
	for name, c := range map[string]struct {
		session  subscriptions.Session
		want     string
		unmapped bool
	}{
		"paid":             {session: session(paid, pack), want: "pack:cs_1 21000000000 2027-01-31"},
		"without an end":   {session: session(paid, forever), want: "pack:cs_1 2000000000 0001-01-01"},
		"not paid yet":     {session: session(`"mode":"payment","status":"complete","payment_status":"unpaid"`, pack)},
		"open":             {session: session(`"mode":"payment","status":"open","payment_status":"unpaid"`, pack)},
		"a plan":           {session: session(`"mode":"subscription","status":"complete","payment_status":"paid"`, pack)},
		"an unknown price": {session: session(paid, other), unmapped: true},
		"a coupon of 100%": {session: session(`"mode":"payment","status":"complete","payment_status":"no_payment_required"`, pack), want: "pack:cs_1 21000000000 2027-01-31"},
	} {
		g, bought, unmapped := subscriptions.Pack(c.session, catalog())
		got := ""
		if bought {
			got = fmt.Sprintf("%s %d %s", g.Source, g.Amount, g.Expire.Format(time.DateOnly))
		}
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.unmapped, unmapped, name)
	}
}

// schedule is what changes a subscription at times: each phase begins at one and has a price and a quantity.
func schedule(t *testing.T, status string, phases ...string) subscriptions.Schedule {
	t.Helper()
	s, err := subscriptions.ParseSchedule([]byte(fmt.Sprintf(`{"id":"sub_sched_1","subscription":"sub_1","status":%q,"phases":[%s]}`, status, strings.Join(phases, ","))))
	require.NoError(t, err)
	return s
}

func phase(from, price string, quantity int) string {
	return fmt.Sprintf(`{"start_date":%d,"items":[{"price":%q,"quantity":%d}]}`, unix(from), price, quantity)
}

// A schedule shows what the subscription becomes, and counts by itself when Stripe's news of the renewal is late.
func TestSchedules(t *testing.T) {
	present, next := phase("2026-02-10 12:00", "max_m", 1), phase("2026-03-10 12:00", "pro_m", 1)
	for name, c := range map[string]struct {
		status    string
		phases    []string
		now       string
		plan      string // with the news of the present period, or without
		scheduled string
		advance   int64
	}{
		"a change":             {"active", []string{present, next}, "2026-02-20 12:00", "max@1", "pro@3 2026-03-10 12:00", 25 * dollar},
		"no change":            {"active", []string{present, phase("2026-03-10 12:00", "max_m", 1)}, "2026-02-20 12:00", "max@1", "", 25 * dollar},
		"seats only":           {"active", []string{present, phase("2026-03-10 12:00", "max_m", 2)}, "2026-02-20 12:00", "max@1", "max@1 2026-03-10 12:00", 25 * dollar},
		"the first of two":     {"active", []string{phase("2026-04-10 12:00", "team_m", 1), next, present}, "2026-02-20 12:00", "max@1", "pro@3 2026-03-10 12:00", 25 * dollar},
		"an unknown price":     {"active", []string{present, phase("2026-03-10 12:00", "other", 1)}, "2026-02-20 12:00", "max@1", "", 25 * dollar},
		"taken back":           {"released", []string{present, next}, "2026-02-20 12:00", "max@1", "", 25 * dollar},
		"late news":            {"active", []string{present, next}, "2026-03-10 12:00", "pro@3", "", 10 * dollar},
		"late news, no change": {"released", []string{present, next}, "2026-03-10 12:00", "max@1", "", 25 * dollar},
	} {
		t.Run(name, func(t *testing.T) {
			st := subscriptions.Derive(subscriptions.Input{
				Subscriptions: []subscriptions.Subscription{sub(t, "active", "max_m", `"schedule":"sub_sched_1"`)},
				Schedules:     []subscriptions.Schedule{schedule(t, c.status, c.phases...)}, Catalog: catalog(), Now: at(c.now),
			})
			require.Equal(t, c.plan, st.Plan.Ref())
			got := ""
			if !st.Scheduled.Time.IsZero() {
				got = st.Scheduled.Plan.Ref() + " " + st.Scheduled.Time.Format("2006-01-02 15:04")
				require.False(t, st.Next.After(st.Scheduled.Time))
			}
			require.Equal(t, c.scheduled, got)
			require.Len(t, st.Grants, 1, "the invoice of the period is not known")
			require.Equal(t, c.advance, st.Grants[0].Amount)
		})
	}
}
