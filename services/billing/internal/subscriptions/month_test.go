package subscriptions_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// ladder is a catalog of plans whose months give 10, 40, 100 and 200 dollars, and a plan that gives 10 for each seat.
func ladder() prices {
	all := catalog()
	delete(all, "pro_y")
	for id, credit := range map[string]int64{"mini_m": 10, "ultra_m": 200} {
		all[id] = plans.Sale{
			Offer: plans.Offer{Plan: &plans.Plan{ID: strings.TrimSuffix(id, "_m"), Version: 1, IncludedCredit: credit * dollar, RenewalAdvance: 25, GraceDays: 7}}, Interval: plans.Month,
		}
	}
	return all
}

// change writes the two lines of a change at a time, the new one first.
func change(from string, fromSeats int, to string, seats int, at string) []string {
	return []string{line(to, seats, 2500, true, at, "2026-03-10 12:00"), line(from, fromSeats, -1000, true, at, "2026-03-10 12:00")}
}

// told gives what is due after each of the invoices, as the ledger does, and returns the amounts by source.
func told(s subscriptions.Subscription, invoices []subscriptions.Invoice, now string) map[string]int64 {
	given := map[string]int64{}
	for known := range len(invoices) + 1 {
		st := subscriptions.Derive(subscriptions.Input{
			Subscriptions: []subscriptions.Subscription{s}, Invoices: invoices[:known], Catalog: ladder(), Now: at(now),
		})
		for _, g := range st.Due(given) {
			given[g.Source] = g.Amount
		}
	}
	return given
}

func sumOf(given map[string]int64) (sum int64) {
	for _, amount := range given {
		sum += amount
	}
	return sum
}

// orders calls a function with each order of n things.
func orders(n int, call func(order []int)) {
	var rest func(order []int)
	rest = func(order []int) {
		if len(order) == n {
			call(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				rest(append(slices.Clone(order), i))
			}
		}
	}
	rest(nil)
}

// Changes within a month, also of one second, give the same credit whatever their ids are, and in whatever order their payments are heard of.
func TestChangesInAnyOrder(t *testing.T) {
	const begin, half = "2026-02-10 12:00", "2026-02-24 12:00"
	renewal := func(price string, seats int) []string {
		return []string{line(price, seats, 2000, false, begin, "2026-03-10 12:00")}
	}
	for name, c := range map[string]struct {
		price    string // what the subscription has in the end
		seats    int
		invoices [][]string // the lines of each
		want     int64      // dollars
	}{
		"two upgrades within a second":   {"ultra_m", 1, [][]string{renewal("pro_m", 1), change("pro_m", 1, "max_m", 1, half), change("max_m", 1, "ultra_m", 1, half)}, 40 + 30 + 50},
		"three upgrades within a second": {"ultra_m", 1, [][]string{renewal("mini_m", 1), change("mini_m", 1, "pro_m", 1, half), change("pro_m", 1, "max_m", 1, half), change("max_m", 1, "ultra_m", 1, half)}, 10 + 15 + 30 + 50},
		"two upgrades on one invoice":    {"ultra_m", 1, [][]string{renewal("pro_m", 1), slices.Concat(change("max_m", 1, "ultra_m", 1, half), change("pro_m", 1, "max_m", 1, half))}, 40 + 80},
		"on one invoice, up and down":    {"max_m", 1, [][]string{renewal("pro_m", 1), slices.Concat(change("ultra_m", 1, "max_m", 1, half), change("pro_m", 1, "ultra_m", 1, half))}, 40 + 30},
		"on one invoice, days apart": {
			"ultra_m", 1, [][]string{renewal("pro_m", 1), slices.Concat(change("max_m", 1, "ultra_m", 1, "2026-03-03 12:00"), change("pro_m", 1, "max_m", 1, half))}, 40 + 30 + 25,
		},
		"on one invoice, up and down days apart": {
			"max_m", 1, [][]string{renewal("pro_m", 1), slices.Concat(change("ultra_m", 1, "max_m", 1, "2026-03-03 12:00"), change("pro_m", 1, "ultra_m", 1, half))}, 40 + 30,
		},
		"seats and the plan within a second":     {"max_m", 1, [][]string{renewal("team_m", 2), change("team_m", 2, "team_m", 5, half), change("team_m", 5, "max_m", 1, half)}, 20 + 15 + 25},
		"a renewal and an upgrade in one second": {"max_m", 1, [][]string{renewal("pro_m", 1), change("pro_m", 1, "max_m", 1, begin)}, 40 + 60},
		"an upgrade in the second before a renewal": {
			"max_m", 1, [][]string{renewal("max_m", 1), {line("pro_m", 1, 0, true, begin, begin), line("max_m", 1, 0, true, begin, begin)}}, 100,
		},
		"an upgrade that was free of charge": {"ultra_m", 1, [][]string{renewal("pro_m", 1), change("max_m", 1, "ultra_m", 1, half)}, 40 + 50},
		"up, down and less up":               {"team_m", 9, [][]string{renewal("team_m", 2), change("team_m", 2, "team_m", 10, half), change("team_m", 10, "team_m", 2, "2026-02-26 12:00"), change("team_m", 2, "team_m", 9, "2026-03-03 12:00")}, 20 + 40},
		"up, down and as much up":            {"team_m", 10, [][]string{renewal("team_m", 2), change("team_m", 2, "team_m", 10, half), change("team_m", 10, "team_m", 2, "2026-02-26 12:00"), change("team_m", 2, "team_m", 10, "2026-03-03 12:00")}, 20 + 40},
		"up, down and more up":               {"team_m", 14, [][]string{renewal("team_m", 2), change("team_m", 2, "team_m", 10, half), change("team_m", 10, "team_m", 2, "2026-02-26 12:00"), change("team_m", 2, "team_m", 14, "2026-03-03 12:00")}, 20 + 40 + 10},
		"within a second":                    {"team_m", 12, [][]string{renewal("team_m", 2), change("team_m", 2, "team_m", 10, half), change("team_m", 10, "team_m", 3, half), change("team_m", 3, "team_m", 12, half)}, 20 + 50},
	} {
		t.Run(name, func(t *testing.T) {
			s := subOf(t, "sub_1", begin, "2026-03-10 12:00", "active", c.price, c.seats)
			orders(len(c.invoices), func(ids []int) {
				var invoices []subscriptions.Invoice
				for i, lines := range c.invoices {
					made := time.Unix(lineStart(lines), 0).UTC().Format("2006-01-02 15:04")
					invoices = append(invoices, invoice(t, fmt.Sprintf("in_%d", ids[i]), "paid", made, lines...))
				}
				orders(len(invoices), func(order []int) {
					var news []subscriptions.Invoice
					for _, i := range order {
						news = append(news, invoices[i])
					}
					require.Equal(t, c.want*dollar, sumOf(told(s, news, "2026-03-05 00:00")), "ids %v, news %v", ids, order)
				})
			})
		})
	}
}

// lineStart is when the first line of an invoice begins.
func lineStart(lines []string) (start int64) {
	_, after, _ := strings.Cut(lines[0], `"start":`)
	_, _ = fmt.Sscan(strings.NewReplacer(",", " ", "}", " ").Replace(after), &start)
	return start
}

// The advance of a renewal may be for another plan than the one that the renewal charges: an upgrade followed it within the hour, or the news of a downgrade
// is late. Then the rest is more, or less.
func TestTheRestAfterAnAdvance(t *testing.T) {
	const begin, end = "2026-02-10 12:00", "2026-03-10 12:00"
	for name, c := range map[string]struct {
		advanced, charged string
		want              map[string]int64
	}{
		"as charged": {"max_m", "max_m", map[string]int64{":advance": 25, "": 75}},
		"for more":   {"max_m", "pro_m", map[string]int64{":advance": 25, "": 15}},
		"for less":   {"pro_m", "max_m", map[string]int64{":advance": 10, "": 90}},
		"for all":    {"ultra_m", "mini_m", map[string]int64{":advance": 50}},
	} {
		t.Run(name, func(t *testing.T) {
			in := subscriptions.Input{Subscriptions: []subscriptions.Subscription{sub(t, "active", c.advanced)}, Catalog: ladder(), Now: at("2026-02-10 12:30")}
			given := map[string]int64{}
			for _, invoices := range [][]subscriptions.Invoice{nil, {invoice(t, "in_1", "paid", begin, line(c.charged, 1, 2000, false, begin, end))}} {
				in.Invoices = invoices
				for _, g := range subscriptions.Derive(in).Due(given) {
					given[g.Source] = g.Amount
				}
			}
			want := map[string]int64{}
			for key, dollars := range c.want {
				want[subscriptions.PeriodSource("sub_1", at(begin))+key] = dollars * dollar
			}
			require.Equal(t, want, given)
		})
	}
}

// A month of a year begins with what the first change gives back, also when several changes of that second have ids in another order.
func TestTheFirstLevelOfAMonthOfAYear(t *testing.T) {
	const begin, end, half = "2026-01-10 12:00", "2027-01-10 12:00", "2026-02-24 12:00"
	all := ladder()
	for _, id := range []string{"mini", "pro", "ultra"} {
		sale := all[id+"_m"]
		sale.Interval = plans.Year
		all[id+"_y"] = sale
	}
	step := func(from, to, at string) []string {
		return []string{line(from, 1, -17000, true, at, end), line(to, 1, 40000, true, at, end)}
	}
	for name, c := range map[string]struct {
		price string
		steps [][]string
		want  int64
	}{
		"two upgrades":       {"ultra_y", [][]string{step("pro_y", "max_y", half), step("max_y", "ultra_y", half)}, 40 + 80},
		"down and up":        {"max_y", [][]string{step("ultra_y", "pro_y", half), step("pro_y", "max_y", half)}, 200},
		"up and down again":  {"pro_y", [][]string{step("pro_y", "max_y", half), step("max_y", "pro_y", half)}, 40 + 30},
		"and a later change": {"ultra_y", [][]string{step("mini_y", "pro_y", half), step("pro_y", "ultra_y", "2026-03-03 12:00")}, 10 + 15 + 40},
		"of the month after": {"ultra_y", [][]string{step("pro_y", "ultra_y", "2026-03-11 12:00")}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := subOf(t, "sub_1", begin, end, "active", c.price, 1)
			orders(len(c.steps), func(ids []int) {
				invoices := []subscriptions.Invoice{invoice(t, "in_y", "paid", begin, line("pro_y", 1, 20000, false, begin, end))}
				for i, lines := range c.steps {
					invoices = append(invoices, invoice(t, fmt.Sprintf("in_%d", ids[i]), "paid", half, lines...))
				}
				st := subscriptions.Derive(subscriptions.Input{Subscriptions: []subscriptions.Subscription{s}, Invoices: invoices, Catalog: all, Now: at("2026-03-05 00:00")})
				sum := int64(0)
				for _, g := range st.Due(nil) {
					sum += g.Amount
				}
				require.Equal(t, c.want*dollar, sum)
			})
		})
	}
}

// 10,000 random months of changes, many of them within one second or on one invoice: whatever the ids of their invoices are, and in whatever order their
// payments and the news of the subscription are heard of, they give what they give in the true order, to the nano. No source is given twice.
func TestOrderOfPaymentsDoesNotMatter(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	known := []string{"mini_m", "pro_m", "max_m", "ultra_m", "team_m"}
	begin, end := at("2026-02-10 12:00"), at("2026-03-10 12:00")
	all := ladder()
	for _, sale := range all {
		if sale.Plan != nil {
			sale.Plan.IncludedCredit += dice.Int64N(1000) // so that shares are rounded
		}
	}
	type state struct {
		price string
		seats int
	}
	draw := func() state { return state{known[dice.IntN(len(known))], 1 + dice.IntN(9)} }
	level := func(s state) int64 {
		if s.price == "team_m" {
			return all[s.price].Plan.IncludedCredit * int64(s.seats)
		}
		return all[s.price].Plan.IncludedCredit
	}
	for n := range 10_000 {
		states := []state{draw()}
		type bill struct {
			lines  []string
			made   time.Time
			levels []int64
			times  []time.Time
		}
		bills := []bill{{made: begin, lines: []string{line(states[0].price, states[0].seats, 2000, false, "2026-02-10 12:00", "2026-03-10 12:00")}}}
		now := begin
		for range dice.IntN(6) {
			from, to := states[len(states)-1], draw()
			states = append(states, to)
			now = now.Add(time.Duration(dice.IntN(2)*dice.IntN(100)) * time.Minute)
			lines := change(from.price, from.seats, to.price, to.seats, now.Format("2006-01-02 15:04"))
			if last := len(bills) - 1; last > 0 && dice.IntN(4) == 0 {
				bills[last].lines = append(bills[last].lines, lines...)
				bills[last].levels, bills[last].times = append(bills[last].levels, level(to)), append(bills[last].times, now)
				dice.Shuffle(len(bills[last].lines), func(i, j int) {
					bills[last].lines[i], bills[last].lines[j] = bills[last].lines[j], bills[last].lines[i]
				})
				continue
			}
			bills = append(bills, bill{lines: lines, made: now, levels: []int64{level(to)}, times: []time.Time{now}})
		}
		// In the true order, each change gives its share of what is above all levels before.
		highest, sum := level(states[0]), new(big.Int)
		for _, b := range bills {
			last := len(b.levels) - 1
			for i, l := range b.levels { // what an invoice gives back of its own changes counts no more
				l = min(l, b.levels[last])
				if l > highest && (i == last || b.times[i+1].After(b.times[i])) {
					sum.Add(sum, new(big.Int).Mul(big.NewInt(l-highest), big.NewInt(int64(end.Sub(b.times[i])))))
					highest = l
				}
			}
		}
		whole := big.NewInt(int64(end.Sub(begin)))
		sum.Add(sum, new(big.Int).Sub(whole, big.NewInt(1)))
		want := level(states[0]) + sum.Div(sum, whole).Int64()

		var invoices []subscriptions.Invoice
		for i, id := range dice.Perm(len(bills)) {
			invoices = append(invoices, invoice(t, fmt.Sprintf("in_%d", id), "paid", bills[i].made.Format("2006-01-02 15:04"), bills[i].lines...))
		}
		dice.Shuffle(len(invoices), func(i, j int) { invoices[i], invoices[j] = invoices[j], invoices[i] })
		given, advance := map[string]int64{}, int64(0)
		for i := range len(invoices) + 1 {
			has := states[dice.IntN(len(states))] // the news of the subscription come in any order, too
			s := subOf(t, "sub_1", "2026-02-10 12:00", "2026-03-10 12:00", "active", has.price, has.seats)
			st := subscriptions.Derive(subscriptions.Input{
				Subscriptions: []subscriptions.Subscription{s}, Invoices: invoices[:i], Catalog: all, Now: now.Add(time.Hour),
			})
			for _, g := range st.Due(given) {
				require.Positive(t, g.Amount)
				require.NotContains(t, given, g.Source)
				given[g.Source] = g.Amount
				if strings.HasSuffix(g.Source, ":advance") {
					advance = g.Amount
				}
			}
			require.Empty(t, st.Due(given), "what was given is not due again")
			require.LessOrEqual(t, sumOf(given), max(want, advance), "history %d", n)
		}
		require.Equal(t, max(want, advance), sumOf(given), "history %d", n)
	}
}

// What a live subscription has given ends when it says, whether the account has access or not. The time of a trial may move.
func TestCreditThatIsKept(t *testing.T) {
	const month = "sub:sub_1:1770724800 2026-03-10 12:00 false"
	for name, c := range map[string]struct {
		sub  subscriptions.Subscription
		now  string
		want []string
	}{
		"active":              {sub(t, "active", "pro_m"), "2026-02-20 00:00", []string{month}},
		"unpaid":              {sub(t, "unpaid", "pro_m"), "2026-02-20 00:00", []string{month}},
		"before its end":      {sub(t, "active", "pro_m", fmt.Sprintf(`"cancel_at":%d`, unix("2026-02-21 00:00"))), "2026-02-20 00:00", []string{month}},
		"at its end":          {sub(t, "active", "pro_m", fmt.Sprintf(`"cancel_at":%d`, unix("2026-02-20 00:00"))), "2026-02-20 00:00", nil},
		"canceled":            {sub(t, "canceled", "pro_m"), "2026-02-20 00:00", nil},
		"without news":        {sub(t, "active", "pro_m"), "2026-03-10 12:00", []string{"sub:sub_1:1773144000 2026-04-10 12:00 false"}},
		"trialing":            {sub(t, "trialing", "pro_m", fmt.Sprintf(`"trial_end":%d`, unix("2026-03-10 12:00"))), "2026-02-20 00:00", []string{"sub:sub_1:trial 2026-03-10 12:00 true"}},
		"after a trial":       {sub(t, "active", "pro_m", fmt.Sprintf(`"trial_end":%d`, unix("2026-02-10 12:00"))), "2026-02-20 00:00", []string{"sub:sub_1:trial 2026-02-10 12:00 true", month}},
		"long after a trial":  {sub(t, "active", "pro_m", fmt.Sprintf(`"trial_end":%d`, unix("2026-01-24 12:00"))), "2026-02-20 00:00", []string{month}},
		"a month of a year":   {subOf(t, "sub_1", "2026-01-10 12:00", "2027-01-10 12:00", "active", "pro_y", 1), "2026-02-20 00:00", []string{month}},
		"an unknown price":    {sub(t, "active", "other"), "2026-02-20 00:00", nil},
		"its first invoice":   {sub(t, "incomplete", "pro_m"), "2026-02-20 00:00", nil},
		"a trial without end": {sub(t, "trialing", "pro_m"), "2026-02-20 00:00", nil},
	} {
		t.Run(name, func(t *testing.T) {
			st := subscriptions.Derive(subscriptions.Input{Subscriptions: []subscriptions.Subscription{c.sub}, Catalog: catalog(), Now: at(c.now)})
			require.Equal(t, c.want, keptOf(st))
		})
	}
	other := subOf(t, "sub_2", "2026-02-10 12:00", "2026-03-10 12:00", "active", "max_m", 1)
	st := subscriptions.Derive(subscriptions.Input{Subscriptions: []subscriptions.Subscription{sub(t, "active", "pro_m"), other}, Catalog: catalog(), Now: at("2026-02-20 00:00")})
	require.Equal(t, []string{"sub:sub_2:1770724800 2026-03-10 12:00 false", month}, keptOf(st), "of each live subscription")
}

func keptOf(st subscriptions.State) (all []string) {
	for _, k := range st.Kept {
		all = append(all, fmt.Sprintf("%s %s %t", k.Source, k.Expire.Format("2006-01-02 15:04"), k.Exact))
	}
	return all
}
