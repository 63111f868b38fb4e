package subscriptions

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Month is what a month of credit gives, once its invoice is paid. All of it is a function of the paid invoices that are known, and more of them never make
// it less. So it does not matter which of them was heard of first, as long as no more than the sum is given.
type Month struct {
	// Rest is what the month includes, without the part that was given in advance.
	Rest Grant
	// Included is that with the advance, and Total is that with what changes add.
	Included, Total int64
	// Sources are those of all grants that the month may have.
	Sources []string
	// Changes begins the sources of the grants for changes, before a colon. Their payments share these grants, because a later payment may be heard of first.
	Changes string
	// Bought is what the payment of each change has bought of the sum, which depends on the payments and not on the news of them.
	Bought []Grant
}

// Due lists the grants that are to be given. given has the amounts of the grants that the account has, by source.
func (st State) Due(given map[string]int64) (due []Grant) {
	have := map[string]int64{}
	maps.Copy(have, given)
	give := func(g Grant, amount int64) {
		if _, known := have[g.Source]; known || amount <= 0 {
			return
		}
		g.Amount = amount
		have[g.Source] = amount
		due = append(due, g)
	}
	missing := func() int64 {
		sum := st.Month.Total
		for _, source := range st.Month.Sources {
			sum -= have[source]
		}
		return sum
	}
	for _, g := range st.Grants {
		if !g.change && g.Source != st.Month.Rest.Source {
			give(g, g.Amount-have[AdvanceSource(g.Source)]) // of a month that was replaced, too
		}
	}
	// The advance may have been given for another plan or other seats than those that are paid.
	give(st.Month.Rest, st.Month.Included-have[AdvanceSource(st.Month.Rest.Source)])
	for _, g := range st.Grants {
		if g.change {
			give(g, min(g.Amount, missing()))
		}
	}
	// A later change to the same price and seats may have the source already.
	for _, g := range st.Grants {
		if g.change {
			g.Source = againSource(g.Source, g.Payment.Invoice)
			give(g, min(g.Amount, missing()))
		}
	}
	return due
}

// againSource is the source of the credit of a change when an earlier or later change of the month has the first.
func againSource(source, invoice string) string { return source + ":" + invoice }

// add adds the shares of the credit that changes within the month give for its rest, and returns them. A level of credit is given once in a month, from
// the first change on that reaches it. So going down and up again gives nothing, and changes of one second need no order.
func (m *Month) add(c candidate, st State, changes []change) (grants []Grant) {
	m.Total, m.Changes = m.Included, changesSource(PeriodSource(c.ID, st.CreditStart))
	reached, whole := levels{}, st.CreditEnd.Sub(st.CreditStart)
	reached.add(0, m.Included)
	sum := new(big.Int)
	for _, to := range changes {
		source := fmt.Sprintf("%s:%s:%d", m.Changes, to.price, to.quantity)
		again := againSource(source, to.by.Invoice)
		for _, s := range []string{source, again} {
			if !slices.Contains(m.Sources, s) {
				m.Sources = append(m.Sources, s)
			}
		}
		fresh, rest := reached.add(to.above, to.upTo), st.CreditEnd.Sub(to.at)
		if fresh == 0 {
			continue
		}
		before := up(sum, whole)
		sum.Add(sum, new(big.Int).Mul(big.NewInt(fresh), big.NewInt(int64(rest))))
		if slices.ContainsFunc(grants, func(g Grant) bool { return g.Source == source }) {
			source = again
		}
		g := Grant{Source: source, Amount: share(fresh, rest, whole), Expire: st.CreditEnd, Payment: to.by, change: true}
		grants = adding(grants, g)
		g.Amount = up(sum, whole) - before
		m.Bought = adding(m.Bought, g)
	}
	if len(grants) > 0 {
		m.Total += up(sum, whole)
	}
	return grants
}

// adding adds a grant, or its amount to the one that has its source.
func adding(grants []Grant, g Grant) []Grant {
	if i := slices.IndexFunc(grants, func(o Grant) bool { return o.Source == g.Source }); i >= 0 {
		grants[i].Amount += g.Amount
		return grants
	}
	return append(grants, g)
}

// levels are levels of credit: the parts do not touch each other.
type levels []struct{ above, upTo int64 }

// add adds the levels above one and up to another, and returns how many of them are new.
func (l *levels) add(above, upTo int64) (fresh int64) {
	if fresh = upTo - above; fresh <= 0 {
		return 0
	}
	apart := levels{}
	for _, o := range *l {
		shared := min(upTo, o.upTo) - max(above, o.above)
		if shared < 0 {
			apart = append(apart, o)
			continue
		}
		fresh -= shared
		above, upTo = min(above, o.above), max(upTo, o.upTo)
	}
	*l = append(apart, struct{ above, upTo int64 }{above, upTo})
	return fresh
}

// change is a change of price or seats within a month, which raises the credit of a month from a level up to another.
type change struct {
	price       string
	quantity    int64
	above, upTo int64
	at          time.Time
	by          Payment
}

// level is what one side of a change gives in a month.
type level struct {
	price    string
	quantity int64
	credit   int64
}

// moment is what an invoice gives back, and what it charges, from a time on. A change of seats and one of the plan within a second are two of both: what
// one charges, the other gives back.
type moment struct {
	at         time.Time
	old, fresh []level
}

// changes are the paid changes within the month, the oldest first, and the level with which the month began; -1 for a month without changes.
func (in Input) changes(c candidate, st State) (all []change, began int64) {
	var moments []moment
	for _, inv := range in.of(c) {
		if inv.Status != "paid" {
			continue
		}
		of := in.moments(inv, c, st)
		most := int64(0) // a later change of the same invoice may have taken some back
		for _, m := range of {
			if len(m.fresh) > 0 {
				most = m.fresh[0].credit
			}
		}
		for _, m := range of {
			to := change{at: m.at, by: inv.payment()}
			if len(m.old) > 0 {
				to.above = m.old[0].credit
			}
			if len(m.fresh) > 0 {
				to.price, to.quantity, to.upTo = m.fresh[0].price, m.fresh[0].quantity, min(m.fresh[0].credit, most)
			}
			if to.upTo > to.above {
				all = append(all, to)
			}
		}
		moments = append(moments, of...)
	}
	slices.SortStableFunc(all, func(a, b change) int { return a.at.Compare(b.at) })
	return all, firstLevel(moments)
}

// firstLevel is the level that the first of all changes gives back, and that no other one of the same second has charged. Going down and up again within
// a second leaves none: then it is the lowest. -1 when nothing is given back.
func firstLevel(moments []moment) int64 {
	first := moment{}
	for _, m := range moments {
		if order := m.at.Compare(first.at); first.at.IsZero() || order < 0 {
			first = moment{at: m.at, old: slices.Clone(m.old), fresh: slices.Clone(m.fresh)}
		} else if order == 0 {
			first.old, first.fresh = append(first.old, m.old...), append(first.fresh, m.fresh...)
		}
	}
	lowest := int64(-1)
	for _, l := range first.old {
		if lowest < 0 || l.credit < lowest {
			lowest = l.credit
		}
	}
	if first.cancel(); len(first.old) > 0 {
		return first.old[0].credit
	}
	return lowest
}

// moments reads the changes of price or seats that an invoice charges, the oldest first, without what is on both sides of one.
func (in Input) moments(inv Invoice, c candidate, st State) (all []moment) {
	for _, l := range inv.Lines.Data {
		at := l.Period.Start.time()
		sale, ok := in.Catalog.ByPrice(l.Price.ID)
		if !ok || sale.Plan == nil || !l.Proration || l.Price.metered() || at.Before(st.CreditStart) || !at.Before(st.CreditEnd) {
			continue
		}
		if sale.Interval != c.sale.Interval || !l.Period.End.time().After(at) {
			continue // it changes a month to a year, which begins a period of its own, or is of the second in which the period before ended
		}
		i := slices.IndexFunc(all, func(m moment) bool { return m.at.Equal(at) })
		if i < 0 {
			i = len(all)
			all = append(all, moment{at: at})
		}
		if side := levelOf(*sale.Plan, l); l.Amount < 0 {
			all[i].old = append(all[i].old, side)
		} else {
			all[i].fresh = append(all[i].fresh, side)
		}
	}
	for i := range all {
		all[i].cancel()
	}
	slices.SortFunc(all, func(a, b moment) int { return a.at.Compare(b.at) })
	return all
}

func levelOf(p plans.Plan, l Line) level {
	return level{l.Price.ID, l.Quantity, credit(p, l.Quantity, p.IncludedCredit)}
}

// cancel removes what is charged and given back, and leaves the higher levels first.
func (m *moment) cancel() {
	m.fresh = slices.DeleteFunc(m.fresh, func(l level) bool {
		i := slices.Index(m.old, l)
		if i >= 0 {
			m.old = slices.Delete(m.old, i, i+1)
		}
		return i >= 0
	})
	for _, side := range [][]level{m.old, m.fresh} {
		slices.SortFunc(side, func(a, b level) int {
			return cmp.Or(cmp.Compare(b.credit, a.credit), cmp.Compare(a.price, b.price), cmp.Compare(a.quantity, b.quantity))
		})
	}
}
