package subscriptions

import (
	"cmp"
	"math/big"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// maxGrant is the most that the ledger takes as one grant.
const maxGrant = 1_000_000_000_000_000

// grants lists what is due in the present month of credit, and what that month gives. part is its number within the period.
func (in Input) grants(c candidate, st State, part int, late bool) ([]Grant, Month) {
	switch st.Access {
	case Trial:
		if t := c.plan.Trial; t != nil && t.Credit > 0 {
			return []Grant{{Source: TrialSource(c.ID), Amount: t.Credit, Expire: st.TrialEnd}}, Month{}
		}
		return nil, Month{}
	case Active, Grace:
	default:
		return nil, Month{}
	}
	if c.Status == "trialing" {
		return nil, Month{} // the trial is over, and whether a card pays is not known yet
	}
	base := in.base(c, st, late)
	plan, quantity := base.plan, base.quantity
	if part > 0 { // a later month of a year is granted by what the subscription was when it began
		plan, quantity = c.plan, c.quantity
	}
	changes, first := in.changes(c, st)
	key := PeriodSource(c.ID, st.CreditStart)
	if part == 0 && base.replacesMonth {
		key = replacingSource(key, c.sale.Interval)
	}
	whole, advance := credit(plan, quantity, plan.IncludedCredit), credit(plan, quantity, plan.Advance())
	if part > 0 || base.replacesMonth || st.PeriodStart.Equal(c.StartDate.time()) || !base.found && c.beginsYear(st) {
		advance = 0 // it bridges the hour until a renewal's invoice is paid
	}
	if part > 0 && first >= 0 {
		whole = first
	}
	grants, month := []Grant{{Source: AdvanceSource(key), Amount: advance, Expire: st.CreditEnd, Payment: base.by}}, Month{}
	if base.paid {
		month = Month{Rest: Grant{Source: key, Amount: whole - advance, Expire: st.CreditEnd, Payment: base.by}, Included: whole, Sources: []string{key, AdvanceSource(key)}}
		grants = append(append(grants, month.Rest), month.add(c, st, changes)...)
	}
	grants = append(grants, in.replaced(c, st)...)
	return slices.DeleteFunc(grants, func(g Grant) bool { return g.Amount <= 0 }), month
}

// credit is an amount for each seat, at most what one grant may be.
func credit(p plans.Plan, quantity, each int64) int64 {
	n := seatsOf(p, quantity)
	if each > maxGrant/n {
		return maxGrant
	}
	return each * n
}

// beginsYear tells whether the period is the first year after a change from months, which began with the change and not with a renewal.
func (c candidate) beginsYear(st State) bool {
	return c.sale.Interval == plans.Year && st.PeriodStart.Equal(c.BillingCycleAnchor.time()) && !st.PeriodStart.Equal(st.TrialEnd)
}

// charged is what the period's invoice charges. Without an invoice it is what the subscription is.
type charged struct {
	plan     plans.Plan
	quantity int64
	// found says that there is an invoice, and paid that it is paid, by what.
	found, paid bool
	by          Payment
	// replacesMonth says that it gives back a month that began in the same second as the year or the month that it charges. That month's credit has
	// the key of this second already.
	replacesMonth bool
}

func (in Input) base(c candidate, st State, late bool) charged {
	base := charged{plan: c.plan, quantity: c.quantity}
	if late {
		return base
	}
	for _, inv := range in.of(c) {
		for _, l := range inv.Lines.Data {
			if l.Proration || l.Type != "subscription" || l.Price.metered() || !l.Period.Start.time().Equal(st.PeriodStart) {
				continue
			}
			if l.Amount == 0 && c.TrialEnd != 0 {
				continue // it is the line of a trial, which may have ended in the second in which it began
			}
			sale, ok := in.Catalog.ByPrice(l.Price.ID)
			if !ok || sale.Plan == nil || sale.Interval != c.sale.Interval {
				continue
			}
			replacesMonth := in.givesMonthBack(inv, st.PeriodStart)
			if base.paid && (!replacesMonth || !c.isPaid(inv)) {
				continue
			}
			base = charged{
				plan: *sale.Plan, quantity: l.Quantity, found: true, paid: c.isPaid(inv), by: inv.payment(),
				replacesMonth: replacesMonth,
			}
		}
	}
	return base
}

// replaced lists the credit of paid months that a year or another month has replaced before their end. It lasts until then, whatever was heard of first.
func (in Input) replaced(c candidate, st State) (all []Grant) {
	for _, inv := range in.of(c) {
		for _, l := range inv.Lines.Data {
			start, end := l.Period.Start.time(), l.Period.End.time()
			sale, ok := in.Catalog.ByPrice(l.Price.ID)
			if !ok || sale.Plan == nil || sale.Interval != plans.Month || l.Proration || l.Type != "subscription" || l.Price.metered() || inv.Status != "paid" {
				continue
			}
			if l.Amount == 0 && c.TrialEnd != 0 || !end.After(in.Now) || !in.isReplaced(c, inv, start, st.PeriodStart) {
				continue
			}
			all = append(all, Grant{
				Source: PeriodSource(c.ID, start), Amount: credit(*sale.Plan, l.Quantity, sale.Plan.IncludedCredit), Expire: end, Payment: inv.payment(),
			})
		}
	}
	return all
}

// isReplaced tells whether a month that an invoice charges from a time on was replaced by the present period. One that began in the same second was, if another
// invoice gives it back.
func (in Input) isReplaced(c candidate, inv Invoice, start, present time.Time) bool {
	if !start.Equal(present) {
		return start.Before(present)
	}
	return !in.givesMonthBack(inv, start) && slices.ContainsFunc(in.of(c), func(o Invoice) bool { return o.Status == "paid" && in.givesMonthBack(o, start) })
}

// givesMonthBack tells whether an invoice charges a period that replaces a month which began in the same second. An invoice that also charges a part of that
// month is for a change within it.
func (in Input) givesMonthBack(inv Invoice, start time.Time) bool {
	back, charges := false, false
	for _, l := range inv.Lines.Data {
		sale, ok := in.Catalog.ByPrice(l.Price.ID)
		if !ok || sale.Plan == nil {
			continue
		}
		from, end := l.Period.Start.time(), l.Period.End.time()
		month := l.Proration && sale.Interval == plans.Month && (addMonths(start, 1).Equal(end) || addMonths(end, -1).Equal(start))
		switch {
		case month && l.Amount > 0:
			return false
		case month:
			back = true
		case !l.Proration && l.Type == "subscription" && from.Equal(start):
			charges = true
		}
	}
	return back && charges
}

// payment is what a paid invoice charged.
func (inv Invoice) payment() Payment {
	if inv.Status != "paid" {
		return Payment{}
	}
	return Payment{Invoice: inv.ID, Intent: inv.PaymentIntent, Total: inv.Total}
}

// of returns the invoices of a subscription, the oldest first.
func (in Input) of(c candidate) []Invoice {
	mine := slices.DeleteFunc(slices.Clone(in.Invoices), func(inv Invoice) bool { return inv.Subscription != c.ID })
	slices.SortFunc(mine, func(a, b Invoice) int { return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID)) })
	return mine
}

// isPaid counts an invoice that pausing the collection has voided as paid: the operator gives the period away.
func (c candidate) isPaid(inv Invoice) bool {
	return inv.Status == "paid" || inv.Status == "void" && c.PauseCollection != nil && c.PauseCollection.Behavior == "void"
}

// share is amount × rest ÷ whole, rounded up.
func share(amount int64, rest, whole time.Duration) int64 {
	if whole <= 0 || rest >= whole {
		return amount
	}
	return up(new(big.Int).Mul(big.NewInt(amount), big.NewInt(int64(rest))), whole)
}

// up is an amount ÷ whole, rounded up.
func up(amount *big.Int, whole time.Duration) int64 {
	n := new(big.Int).Add(amount, big.NewInt(int64(whole)-1))
	return n.Div(n, big.NewInt(int64(whole))).Int64()
}

// PackPrefix begins the sources of grants for packs.
const PackPrefix = "pack:"

// PackSource is the source of the grant that a checkout session's pack is for.
func PackSource(sessionID string) string { return PackPrefix + sessionID }

// Pack returns the credit that a paid session bought; false when it bought none, or is not paid. unmapped is true when it is paid and has
// a price that no pack has.
func Pack(s Session, catalog Catalog) (g Grant, bought, unmapped bool) {
	if s.Mode != "payment" || s.Status != "complete" || s.PaymentStatus != "paid" && s.PaymentStatus != "no_payment_required" {
		return Grant{}, false, false
	}
	g = Grant{Source: PackSource(s.ID), Payment: Payment{Invoice: s.Invoice, Intent: s.PaymentIntent, Total: s.AmountTotal}}
	for _, item := range s.LineItems.Data {
		if !g.addPack(item.Price.ID, item.Quantity, s.Created.time(), catalog) {
			unmapped = true
		}
	}
	return g, g.Amount > 0, unmapped
}

// addPack adds the credit of a pack that was bought at a time. It returns false for a price that no pack has.
func (g *Grant) addPack(price string, quantity int64, at time.Time, catalog Catalog) bool {
	sale, ok := catalog.ByPrice(price)
	if !ok || sale.Pack == nil {
		return false
	}
	each := min(sale.Pack.Credit, maxGrant)
	g.Amount = min(g.Amount+each*min(max(quantity, 1), maxGrant/each), maxGrant)
	if months := sale.Pack.ExpireMonths; months > 0 {
		g.Expire = addMonths(at, int(months))
	}
	return true
}

// TopUpPrefix begins the sources of grants for automatic top-ups.
const TopUpPrefix = "topup:"

// TopUp returns the credit that the paid invoice of an automatic top-up bought; false when it bought none, or is not paid. unmapped is true when it is
// paid and has a price that no pack has.
func TopUp(inv Invoice, catalog Catalog) (g Grant, bought, unmapped bool) {
	if inv.Metadata[MetadataTopUp] == "" || inv.Status != "paid" {
		return Grant{}, false, false
	}
	g = Grant{Source: TopUpPrefix + inv.ID, Payment: inv.payment()}
	for _, l := range inv.Lines.Data {
		if !g.addPack(l.Price.ID, l.Quantity, inv.Created.time(), catalog) && l.Amount > 0 {
			unmapped = true
		}
	}
	return g, g.Amount > 0, unmapped
}
