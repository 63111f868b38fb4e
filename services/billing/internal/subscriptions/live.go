package subscriptions

import (
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

const (
	day = 24 * time.Hour
	// newsTime is how long the news of a renewal, or of the end of a trial, may take at least, also for a plan without grace. Until then nothing failed.
	newsTime = day
)

// live returns the state of a subscription that is not over.
func (in Input) live(c candidate) State {
	start, end := c.period(in.Now)
	late := !start.Equal(c.CurrentPeriodStart.time()) // Stripe's news of this period has not come
	if late {
		c = in.rescheduled(c, start)
		start, end = c.period(in.Now)
	}
	st := State{
		SubscriptionID: c.ID, Plan: c.plan, Interval: c.sale.Interval, Status: c.Status, Seats: c.seats(),
		PeriodStart: start, PeriodEnd: end, TrialEnd: c.TrialEnd.time(), CancelTime: c.cancelTime(),
	}
	since := st.PeriodStart
	if late {
		since = c.CurrentPeriodEnd.time() // several periods without news are not forgiven one by one
	}
	grace := in.graceStart(c, since).Add(time.Duration(c.plan.GraceDays) * day)
	if news := since.Add(newsTime); late && news.After(grace) && (c.Status == "active" || c.Status == "trialing") {
		grace = news
	}
	st.Access = in.access(c, late, grace)
	part := 0
	st.CreditStart, st.CreditEnd, part = c.month(st.PeriodStart, st.PeriodEnd, in.Now)
	st.Paid = in.base(c, st, late).paid
	st.Grants, st.Month = in.grants(c, st, part, late)
	st.Kept = in.kept(c, st)
	st.Scheduled = in.scheduled(c)
	for _, at := range []time.Time{st.PeriodEnd, st.CreditEnd, st.CancelTime, grace, trialWarning(st.TrialEnd), st.TrialEnd, st.Scheduled.Time} {
		if at.After(in.Now) && (st.Next.IsZero() || at.Before(st.Next)) {
			st.Next = at
		}
	}
	return st
}

// kept is the credit of a subscription that is not over: that of its present month, whatever its access is, and that of its trial. Trivet's clock ends a
// subscription at the time that Stripe named, and its credit with it. Stripe may have taken that time back meanwhile.
func (in Input) kept(c candidate, st State) (all []Kept) {
	if !st.TrialEnd.Before(st.PeriodStart) {
		all = append(all, Kept{Source: TrialSource(c.ID), Expire: st.TrialEnd, Exact: true})
	}
	if c.Status != "trialing" {
		all = append(all, Kept{Source: PeriodSource(c.ID, st.CreditStart), Expire: st.CreditEnd})
		for _, g := range in.replaced(c, st) {
			if g.Source != PeriodSource(c.ID, st.CreditStart) {
				all = append(all, Kept{Source: g.Source, Expire: g.Expire})
			}
		}
	}
	return all
}

// rescheduled is a subscription after the changes that its schedule has made by a time, of which the news has not come.
func (in Input) rescheduled(c candidate, by time.Time) candidate {
	for _, s := range in.Schedules {
		if s.ID != c.Schedule || s.Status != "active" {
			continue
		}
		for _, p := range s.Phases {
			if at := p.StartDate.time(); !at.After(c.CurrentPeriodStart.time()) || at.After(by) {
				continue
			}
			for _, i := range p.Items {
				if sale, ok := in.Catalog.ByPrice(i.Price); ok && sale.Plan != nil {
					c.sale, c.plan, c.quantity = sale, *sale.Plan, i.Quantity
				}
			}
		}
	}
	return c
}

// scheduled finds the next change that the subscription's schedule makes.
func (in Input) scheduled(c candidate) (next Scheduled) {
	for _, s := range in.Schedules {
		if s.ID != c.Schedule || s.Status != "active" && s.Status != "not_started" {
			continue
		}
		for _, p := range s.Phases {
			at := p.StartDate.time()
			if !at.After(in.Now) || !next.Time.IsZero() && !at.Before(next.Time) {
				continue
			}
			for _, i := range p.Items {
				sale, ok := in.Catalog.ByPrice(i.Price)
				if ok && sale.Plan != nil && (sale.Plan.Ref() != c.plan.Ref() || sale.Interval != c.sale.Interval || i.Quantity != c.quantity) {
					next = Scheduled{Plan: *sale.Plan, Interval: sale.Interval, Seats: seatsOf(*sale.Plan, i.Quantity), Time: at}
				}
			}
		}
	}
	return next
}

// access says what Stripe's status means. Time alone ends a trial and a time of grace.
func (in Input) access(c candidate, late bool, grace time.Time) Access {
	forgiven := Suspended
	if in.Now.Before(grace) {
		forgiven = Grace
	}
	switch c.Status {
	case "trialing":
		if in.Now.Before(c.TrialEnd.time()) {
			return Trial
		}
		return forgiven // whether a card pays is not known yet
	case "active":
		if late && forgiven == Suspended {
			return Suspended
		}
		return Active
	case "past_due":
		return forgiven
	}
	return Suspended // unpaid and paused, and what a later version of Stripe may add
}

// graceStart is when the oldest unpaid invoice was made, so that a renewal does not forgive the one before; or else since.
func (in Input) graceStart(c candidate, since time.Time) time.Time {
	for _, inv := range in.of(c) {
		if inv.Status == "open" {
			return inv.Created.time()
		}
	}
	return since
}

// period is the period that is billed now. When Stripe's news of a renewal is late, it is the one that follows.
func (c candidate) period(now time.Time) (start, end time.Time) {
	start, end = c.CurrentPeriodStart.time(), c.CurrentPeriodEnd.time()
	anchor := c.BillingCycleAnchor.time()
	if anchor.IsZero() || anchor.After(end) {
		anchor = end
	}
	step := 1
	if c.sale.Interval == plans.Year {
		step = 12
	}
	for n := 0; !now.Before(end) && n < 10_000; n++ {
		start, end = end, next(anchor, end, step)
	}
	return start, end
}

// next is the first time after one that is a whole number of steps, in months, after the anchor.
func next(anchor, after time.Time, step int) time.Time {
	months := (after.Year()-anchor.Year())*12 + int(after.Month()) - int(anchor.Month())
	for n := max(months/step-1, 0); ; n++ {
		if at := addMonths(anchor, n*step); at.After(after) {
			return at
		}
	}
}

// month is the month of credit at a time, and its number within the period: the whole period, or a part of a year.
func (c candidate) month(start, end, now time.Time) (from, to time.Time, part int) {
	if c.sale.Interval != plans.Year || c.Status == "trialing" && now.Before(c.TrialEnd.time()) {
		return start, end, 0
	}
	for n := 0; n < 12; n++ {
		from, to = addMonths(start, n), addMonths(start, n+1)
		if n == 11 || to.After(end) {
			to = end
		}
		if now.Before(to) {
			return from, to, n
		}
	}
	return from, to, 11
}

// addMonths keeps the time of day, and the day where the month has it; else it takes the month's last day.
func addMonths(t time.Time, months int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(months), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}
