package subscriptions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// A month that is changed to a year in the very second of its beginning has given its credit already, under the key of that second. The credit of the year
// has a key of its own, whatever is known of the month's invoice. A later change keeps the key that it always had.
func TestAYearThatReplacesAMonth(t *testing.T) {
	const half = `"billing_cycle_anchor":%d,"start_date":%d`
	for name, c := range map[string]struct {
		begin, monthBegin, monthEnd, yearEnd string // the year's beginning, the month that it replaces, and the year's end
		since, price, now                    string
		fields                               []string
		known                                bool // whether the year's invoice is
		want                                 []string
	}{
		"with its first second":   {begin: "2026-02-10 12:00", monthBegin: "2026-02-10 12:00", monthEnd: "2026-03-10 12:00", yearEnd: "2027-02-10 12:00", since: "2026-02-10 12:00", price: "pro_y", now: "2026-02-10 12:00", known: true, want: []string{"%d:year 40000000000 until 2026-03-10 12:00"}},
		"to another plan":         {begin: "2026-02-10 12:00", monthBegin: "2026-02-10 12:00", monthEnd: "2026-03-10 12:00", yearEnd: "2027-02-10 12:00", since: "2026-02-10 12:00", price: "max_y", now: "2026-02-10 12:00", known: true, want: []string{"%d:year 100000000000 until 2026-03-10 12:00"}},
		"with a renewal":          {begin: "2026-02-10 12:00", monthBegin: "2026-02-10 12:00", monthEnd: "2026-03-10 12:00", yearEnd: "2027-02-10 12:00", since: "2026-01-10 12:00", price: "pro_y", now: "2026-02-10 12:00", known: true, want: []string{"%d:year 40000000000 until 2026-03-10 12:00"}},
		"a short month":           {begin: "2026-01-31 12:00", monthBegin: "2026-01-31 12:00", monthEnd: "2026-02-28 12:00", yearEnd: "2027-01-31 12:00", since: "2026-01-31 12:00", price: "pro_y", now: "2026-01-31 12:00", known: true, want: []string{"%d:year 40000000000 until 2026-02-28 12:00"}},
		"after a short month":     {begin: "2026-02-28 12:00", monthBegin: "2026-02-28 12:00", monthEnd: "2026-03-31 12:00", yearEnd: "2027-02-28 12:00", since: "2026-01-31 12:00", price: "pro_y", now: "2026-02-28 12:00", known: true, want: []string{"%d:year 40000000000 until 2026-03-28 12:00"}},
		"before its invoice":      {begin: "2026-02-10 12:00", monthBegin: "2026-02-10 12:00", monthEnd: "2026-03-10 12:00", yearEnd: "2027-02-10 12:00", since: "2026-01-10 12:00", price: "pro_y", now: "2026-02-10 12:00"},
		"later":                   {begin: "2026-02-10 12:00", monthBegin: "2026-02-09 12:00", monthEnd: "2026-03-09 12:00", yearEnd: "2027-02-10 12:00", since: "2026-01-09 12:00", price: "pro_y", now: "2026-02-10 12:00", known: true, want: []string{"%d:advance 10000000000 until 2026-03-10 12:00", "%d 30000000000 until 2026-03-10 12:00"}},
		"later, before":           {begin: "2026-02-10 12:00", monthBegin: "2026-02-09 12:00", monthEnd: "2026-03-09 12:00", yearEnd: "2027-02-10 12:00", since: "2026-01-09 12:00", price: "pro_y", now: "2026-02-10 12:00"},
		"the last second of each": {begin: "2026-02-10 12:00", monthBegin: "2026-02-10 12:00", monthEnd: "2026-03-10 12:00", yearEnd: "2027-02-10 12:00", since: "2026-02-10 12:00", price: "pro_y", now: "2026-03-10 11:59", known: true, want: []string{"%d:year 40000000000 until 2026-03-10 12:00"}},
		"after a trial, before": {
			begin: "2026-02-10 12:00", monthBegin: "2026-02-10 12:00", monthEnd: "2026-03-10 12:00", yearEnd: "2027-02-10 12:00", since: "2026-01-27 12:00", price: "pro_y", now: "2026-02-10 12:00",
			fields: []string{fmt.Sprintf(`"trial_end":%d`, unix("2026-02-10 12:00"))}, want: []string{"%d:advance 10000000000 until 2026-03-10 12:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := subOf(t, "sub_1", c.begin, c.yearEnd, "active", c.price, 1, append(c.fields, fmt.Sprintf(half, unix(c.begin), unix(c.since)))...)
			month := invoice(t, "in_1", "paid", c.monthBegin, line("pro_m", 1, 2000, false, c.monthBegin, c.monthEnd))
			year := invoice(t, "in_2", "paid", c.begin, line("pro_m", 1, -2000, true, c.begin, c.monthEnd), line(c.price, 1, 20000, false, c.begin, c.yearEnd))
			news := [][]subscriptions.Invoice{{month}, nil}
			if c.known {
				news = [][]subscriptions.Invoice{{month, year}, {year, month}, {year}}
			}
			var want []string
			for _, w := range c.want {
				want = append(want, "sub:sub_1:"+fmt.Sprintf(w, unix(c.begin)))
			}
			for _, invoices := range news {
				st := subscriptions.Derive(subscriptions.Input{Subscriptions: []subscriptions.Subscription{s}, Invoices: invoices, Catalog: catalog(), Now: at(c.now)})
				replaced := subscriptions.Grant{
					Source: subscriptions.PeriodSource("sub_1", at(c.monthBegin)), Amount: 40 * dollar, Expire: at(c.monthEnd), Payment: subscriptions.Payment{Invoice: "in_1"},
				}
				known := slices.ContainsFunc(invoices, func(inv subscriptions.Invoice) bool { return inv.ID == "in_1" })
				i := slices.Index(st.Grants, replaced)
				require.Equal(t, known && replaced.Expire.After(at(c.now)) && (c.known || c.monthBegin != c.begin), i >= 0, "the month's own credit lasts until its end")
				if i >= 0 {
					st.Grants = slices.Delete(st.Grants, i, i+1)
				}
				require.Equal(t, want, given(st))
				require.Equal(t, c.known, st.Paid)
				for _, g := range st.Grants {
					require.Equal(t, c.known, g.Payment.Invoice == "in_2")
				}
			}
		})
	}
}

// The later months of a year that replaced a month, and its renewal, have the keys of every year.
func TestMonthsOfAYearThatReplacedAMonth(t *testing.T) {
	const begin, end = "2026-02-10 12:00", "2027-02-10 12:00"
	fields := fmt.Sprintf(`"billing_cycle_anchor":%d,"start_date":%[1]d`, unix(begin))
	invoices := []subscriptions.Invoice{
		invoice(t, "in_1", "paid", begin, line("pro_m", 1, 2000, false, begin, "2026-03-10 12:00")),
		invoice(t, "in_2", "paid", begin, line("pro_m", 1, -2000, true, begin, "2026-03-10 12:00"), line("pro_y", 1, 20000, false, begin, end)),
	}
	renewed := append(slices.Clone(invoices), invoice(t, "in_3", "draft", end, line("pro_y", 1, 20000, false, end, "2028-02-10 12:00")))
	for _, c := range []struct {
		from, to, now string
		invoices      []subscriptions.Invoice
		want          []string
	}{
		{begin, end, "2026-03-10 12:00", invoices, []string{fmt.Sprintf("sub:sub_1:%d 40000000000 until 2026-04-10 12:00", unix("2026-03-10 12:00"))}},
		{end, "2028-02-10 12:00", end, invoices, []string{fmt.Sprintf("sub:sub_1:%d:advance 10000000000 until 2027-03-10 12:00", unix(end))}},
		{end, "2028-02-10 12:00", end, renewed, []string{fmt.Sprintf("sub:sub_1:%d:advance 10000000000 until 2027-03-10 12:00", unix(end))}},
		{begin, end, end, invoices, []string{fmt.Sprintf("sub:sub_1:%d:advance 10000000000 until 2027-03-10 12:00", unix(end))}},
	} {
		s := subOf(t, "sub_1", c.from, c.to, "active", "pro_y", 1, fields)
		st := subscriptions.Derive(subscriptions.Input{Subscriptions: []subscriptions.Subscription{s}, Invoices: c.invoices, Catalog: catalog(), Now: at(c.now)})
		require.Equal(t, c.want, given(st), c.now)
	}
}

// A month is replaced by a year, or by a month that an operator has begun anew, in its own second or later. Each period gives the credit of its invoice, in
// whatever order the payments and the news of the subscription are heard of; nothing is due twice.
func TestAReplacedMonthGivesItsCredit(t *testing.T) {
	const begin, later, end = "2026-02-10 12:00", "2026-02-20 12:00", "2026-03-10 12:00"
	for name, c := range map[string]struct{ at, end, price string }{
		"a year in the same second":                    {begin, "2027-02-10 12:00", "max_y"},
		"a year later":                                 {later, "2027-02-20 12:00", "max_y"},
		"a month in the same second":                   {begin, end, "max_m"},
		"a month later":                                {later, "2026-03-20 12:00", "max_m"},
		"a month of the same price in the same second": {begin, end, "pro_m"},
	} {
		t.Run(name, func(t *testing.T) {
			all := catalog()
			credit := int64(40 * dollar)
			if strings.HasPrefix(c.price, "max") {
				credit = 100 * dollar
			}
			orders(3, func(order []int) {
				given := map[string]int64{}
				var invoices []subscriptions.Invoice
				s := subOf(t, "sub_1", begin, end, "active", "pro_m", 1, fmt.Sprintf(`"start_date":%d,"billing_cycle_anchor":%[1]d`, unix(begin)))
				for _, n := range order {
					switch n {
					case 0:
						invoices = append(invoices, invoice(t, "in_1", "paid", begin, line("pro_m", 1, 2000, false, begin, end)))
					case 1:
						invoices = append(invoices, invoice(t, "in_2", "paid", c.at, line("pro_m", 1, -2000, true, c.at, end), line(c.price, 1, 20000, false, c.at, c.end)))
					case 2:
						s = subOf(t, "sub_1", c.at, c.end, "active", c.price, 1, fmt.Sprintf(`"start_date":%d,"billing_cycle_anchor":%d`, unix(begin), unix(c.at)))
					}
					in := subscriptions.Input{Subscriptions: []subscriptions.Subscription{s}, Invoices: invoices, Catalog: all, Now: at("2026-02-20 12:30")}
					st := subscriptions.Derive(in)
					for _, g := range st.Due(given) {
						require.NotContains(t, given, g.Source)
						given[g.Source] = g.Amount
					}
					require.Empty(t, st.Due(given))
				}
				require.Equal(t, 40*dollar+credit, sumOf(given), "order %v: %v", order, given)
			})
		})
	}
}
