// Package subscriptions works out what an account's mirrored objects of Stripe entitle it to. It is pure: the same objects, plan versions
// and time give the same result, whatever the order in which the objects came.
package subscriptions

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Access is what a subscription gives at a moment.
type Access string

// The kinds of access.
const (
	// None means that the objects say nothing: what the account has stays.
	None Access = ""
	// Active means that the plan is paid for.
	Active Access = "active"
	// Trial means that the plan is on trial.
	Trial Access = "trial"
	// Grace means that a payment failed and that the plan stays for some days.
	Grace Access = "grace"
	// Suspended means that the limits are those of the default plan. Bought credit stays.
	Suspended Access = "suspended"
	// Ended means that the account is on the default plan again.
	Ended Access = "ended"
)

// Catalog knows what prices sell.
type Catalog interface {
	ByPrice(id string) (plans.Sale, bool)
}

// Input is all that the result depends on.
type Input struct {
	Subscriptions []Subscription
	Invoices      []Invoice
	Schedules     []Schedule
	Catalog       Catalog
	Now           time.Time
}

// State is what an account is entitled to.
type State struct {
	Access Access
	// SubscriptionID is the subscription that entitles, or the last one that ended.
	SubscriptionID string
	// Plan is the version that was bought.
	Plan     plans.Plan
	Interval plans.Interval
	// Status is Stripe's.
	Status string
	Seats  int64
	// PeriodStart and PeriodEnd bound the period that is billed.
	PeriodStart, PeriodEnd time.Time
	// CreditStart and CreditEnd bound the month for which credit is granted: the period, or a part of a billed year.
	CreditStart, CreditEnd time.Time
	// Paid says that the invoice of the period is paid.
	Paid bool
	// TrialEnd and CancelTime are zero for none.
	TrialEnd, CancelTime time.Time
	// Scheduled is what the subscription becomes at a time; its Time is zero for no change.
	Scheduled Scheduled
	// Next is when time alone changes the state; zero for never.
	Next time.Time
	// Grants are due now, as far as nothing of them was given; see Due.
	Grants []Grant
	// Month is what the grants of the present month give together.
	Month Month
	// Kept is credit of all live subscriptions whose end is known.
	Kept []Kept
	// Endings are subscriptions that are over: their credit expires.
	Endings []Ending
	// Duplicates are further live subscriptions, which give nothing.
	Duplicates []string
	// OverageUnpaid says that an invoice of overage could not be collected. Until it is paid, no more overage is allowed.
	OverageUnpaid bool
	// Unmapped are live subscriptions whose price no plan has.
	Unmapped []string
}

// Grant is credit that is due.
type Grant struct {
	// Source says what it is for.
	Source string
	Amount int64
	Expire time.Time
	// Payment is what paid for it; empty while nothing has.
	Payment Payment
	// change says that it is for a change within the month.
	change bool
}

// IsChange tells whether it is for a change within a month: Month.Bought says what paid for it.
func (g Grant) IsChange() bool { return g.change }

// Kept is credit that a live subscription has given, if it was given.
type Kept struct {
	// Source is that of the credit. Those of further credit of the same month begin with it and a colon.
	Source string
	// Expire is when it ends at the earliest. When Exact, it does not end later, either.
	Expire time.Time
	Exact  bool
}

// Payment is what was paid for credit.
type Payment struct {
	// Invoice is the invoice's id, and Intent that of its payment intent, "" for one that was paid without.
	Invoice, Intent string
	// Total is what was charged, with tax, in the currency's smallest unit.
	Total int64
}

// Scheduled is a change that is going to happen.
type Scheduled struct {
	Plan     plans.Plan
	Interval plans.Interval
	Seats    int64
	Time     time.Time
}

// Ending is the end of a subscription.
type Ending struct {
	SubscriptionID string
	Time           time.Time
}

// neverBegun is the status of a subscription whose first invoice was not paid in time.
const neverBegun = "incomplete_expired"

// SourcePrefix begins the sources of grants that come from subscriptions.
const SourcePrefix = "sub:"

// SourceOf begins the sources of the grants of one subscription.
func SourceOf(subscriptionID string) string { return SourcePrefix + subscriptionID + ":" }

// PeriodSource is the source of the credit that a subscription includes in the period that begins at start.
func PeriodSource(subscriptionID string, start time.Time) string {
	return SourceOf(subscriptionID) + strconv.FormatInt(start.Unix(), 10)
}

// TrialSource is the source of the credit of a subscription's trial.
func TrialSource(subscriptionID string) string { return SourceOf(subscriptionID) + "trial" }

// replacingSource is the source of the credit of a month, or of a year's first month, when it has replaced a month that began in the same second.
func replacingSource(periodSource string, interval plans.Interval) string {
	return periodSource + ":" + string(interval)
}

// changesSource begins the sources of the credit that changes give for the rest of a month, before a colon.
func changesSource(periodSource string) string { return periodSource + ":up" }

// AdvanceSource is the source of the part of a period's credit that is given before the period is paid.
func AdvanceSource(periodSource string) string { return periodSource + ":advance" }

// candidate is a subscription with what it sells.
type candidate struct {
	Subscription
	sale     plans.Sale
	plan     plans.Plan
	quantity int64
	state    State
}

// Derive returns what the objects entitle to.
func Derive(in Input) State {
	var live []candidate
	var out State
	ended := candidate{}
	for _, s := range in.Subscriptions {
		c, mapped := in.candidate(s)
		over, at := s.over(in.Now)
		switch {
		case over:
			out.Endings = append(out.Endings, Ending{SubscriptionID: s.ID, Time: at})
			if !mapped { // it ends what the account had, whatever its price is by now
				c = candidate{Subscription: s}
			}
			if ended.ID == "" || c.after(ended) {
				ended = c
			}
		case s.Status == "incomplete":
		case !mapped:
			out.Unmapped = append(out.Unmapped, s.ID)
		default:
			c.state = in.live(c)
			live = append(live, c)
		}
	}
	slices.SortFunc(out.Endings, func(a, b Ending) int { return strings.Compare(a.SubscriptionID, b.SubscriptionID) })
	slices.Sort(out.Unmapped)
	slices.SortFunc(live, better)
	switch {
	case len(live) > 0:
		state := live[0].state
		state.Endings, state.Unmapped = out.Endings, out.Unmapped
		state.OverageUnpaid = slices.ContainsFunc(in.Invoices, Invoice.unpaidOverage)
		for _, other := range live[1:] {
			state.Duplicates = append(state.Duplicates, other.ID)
			state.Kept = append(state.Kept, other.state.Kept...)
		}
		return state
	case ended.ID != "" && len(out.Unmapped) == 0:
		_, at := ended.over(in.Now)
		out.Access, out.SubscriptionID, out.Status, out.Seats = Ended, ended.ID, ended.Status, ended.seats()
		out.Plan, out.Interval, out.CancelTime = ended.plan, ended.sale.Interval, at
		out.PeriodStart, out.PeriodEnd = ended.CurrentPeriodStart.time(), ended.CurrentPeriodEnd.time()
	}
	return out
}

// after tells whether a subscription that is over is the one to report instead of another: first those that have begun, and then those that an
// applied plan has.
func (c candidate) after(other candidate) bool {
	if begun, othersBegun := c.Status != neverBegun, other.Status != neverBegun; begun != othersBegun {
		return begun
	}
	if mapped, othersMapped := c.sale.Plan != nil, other.sale.Plan != nil; mapped != othersMapped {
		return mapped
	}
	return c.Created > other.Created || c.Created == other.Created && c.ID > other.ID
}

// candidate finds the version that a subscription bought.
func (in Input) candidate(s Subscription) (candidate, bool) {
	for _, item := range s.Items.Data {
		if sale, ok := in.Catalog.ByPrice(item.Price.ID); ok && sale.Plan != nil {
			return candidate{Subscription: s, sale: sale, plan: *sale.Plan, quantity: item.Quantity}, true
		}
	}
	return candidate{}, false
}

// PlanOf returns the reference of the version that a subscription bought; false when no applied plan has its price.
func PlanOf(s Subscription, catalog Catalog) (ref string, known bool) {
	c, known := Input{Catalog: catalog}.candidate(s)
	return c.plan.Ref(), known
}

// over tells whether a subscription has ended by now, and when. A subscription that was never paid did not begin.
func (s Subscription) over(now time.Time) (bool, time.Time) {
	if s.Status == "canceled" || s.Status == neverBegun {
		return true, s.EndedAt.time()
	}
	if s.CustomerDeleted {
		return true, now
	}
	if at := s.cancelTime(); !at.IsZero() && !now.Before(at) {
		return true, at
	}
	return false, time.Time{}
}

// cancelTime is when it is going to end; zero for never.
func (s Subscription) cancelTime() time.Time {
	if s.CancelAt != 0 {
		return s.CancelAt.time()
	}
	if s.CancelAtPeriodEnd {
		return s.CurrentPeriodEnd.time()
	}
	return time.Time{}
}

// better orders live subscriptions: the one that gives its plan, then the dearer plan, then the older.
func better(a, b candidate) int {
	given := func(c candidate) int {
		if c.state.Access == Suspended {
			return 1
		}
		return 0
	}
	if d := given(a) - given(b); d != 0 {
		return d
	}
	switch {
	case a.plan.Price != b.plan.Price:
		return compare(b.plan.Price, a.plan.Price)
	case a.Created != b.Created:
		return compare(int64(a.Created), int64(b.Created))
	}
	return strings.Compare(a.ID, b.ID)
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// seats is the number of seats that were bought; 1 for a plan that is not sold by seat.
func (c candidate) seats() int64 { return seatsOf(c.plan, c.quantity) }

func seatsOf(p plans.Plan, quantity int64) int64 {
	if p.Seats == nil {
		return 1
	}
	return max(quantity, 1)
}
