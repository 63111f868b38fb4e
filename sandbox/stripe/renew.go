package stripe

import "slices"

// maxRenewals bounds how many periods one advance goes through.
const maxRenewals = 10_000

// Renew moves a subscription into its next period, whatever the time: it charges the invoice, or ends the subscription if
// it was due to end. It fails if the subscription does not exist or has ended.
func (f *Fake) Renew(id string) (Subscription, error) {
	return act(f, func() (Subscription, *apiError) {
		s, bad := f.subscription(id)
		if bad != nil {
			return s, bad
		}
		if s.over() || s.Status == "incomplete" {
			return s, invalidRequest("", "", "The subscription "+id+" is "+s.Status+" and has no next period.")
		}
		return f.renew(s)
	})
}

// Advance does what is due by now: the next periods of all subscriptions outside of test clocks, and the ends of
// checkout sessions and of subscriptions whose first invoice was never paid. It returns how many objects it changed.
func (f *Fake) Advance() (int, error) {
	return act(f, func() (int, *apiError) {
		done, bad := f.advance(f.now(), "")
		if bad != nil {
			return done, bad
		}
		return done + f.expireSessions(), nil
	})
}

// advance renews the subscriptions of a test clock, or of none, in the order in which they are due.
func (f *Fake) advance(to int64, clock string) (int, *apiError) {
	for done := range maxRenewals {
		due := f.subscriptions.All(func(s Subscription) bool { return orEmpty(s.TestClock) == clock && s.dueAt() <= to })
		if len(due) == 0 {
			return done, nil
		}
		s := slices.MinFunc(due, func(a, b Subscription) int { return int(a.dueAt() - b.dueAt()) })
		if bad := f.setClock(clock, s.dueAt()); bad != nil {
			return done, bad
		}
		if _, bad := f.renew(s); bad != nil {
			return done, bad
		}
	}
	return maxRenewals, invalidRequest("frozen_time", "", "That is more than 10000 periods; advance in smaller steps.")
}

// never is after all times.
const never = int64(1) << 60

// dueAt is when something is to be done about a subscription.
func (s Subscription) dueAt() int64 {
	switch {
	case s.over():
		return never
	case s.Status == "incomplete":
		return s.Created + 23*3600 // then Stripe gives it up
	case s.CancelAt != nil:
		return min(*s.CancelAt, s.CurrentPeriodEnd)
	}
	return s.CurrentPeriodEnd
}

// renew does what is due about a subscription.
func (f *Fake) renew(s Subscription) (Subscription, *apiError) {
	at := s.dueAt()
	if s.Status == "incomplete" {
		s.Status, s.EndedAt = "incomplete_expired", &at
		return s, save(f, f.subscriptions, s.ID, s, "customer.subscription.updated")
	}
	if s.CancelAt != nil && *s.CancelAt <= at {
		return f.cancel(s, at)
	}
	used := Period{s.CurrentPeriodStart, s.CurrentPeriodEnd}
	if s.Status == "trialing" {
		s.Status = "active"
	}
	if bad := f.enterPhase(&s, at); bad != nil {
		return s, bad
	}
	s.CurrentPeriodStart = at
	s.CurrentPeriodEnd = s.recurring().next(s.BillingCycleAnchor, at)
	if bad := save(f, f.subscriptions, s.ID, s, "customer.subscription.updated"); bad != nil {
		return s, bad
	}
	var lines []Line
	for _, item := range s.Items.Data {
		if item.metered() {
			lines = append(lines, f.usageLine(s, item, used))
		} else {
			lines = append(lines, f.itemLine(s, item, Period{s.CurrentPeriodStart, s.CurrentPeriodEnd}))
		}
	}
	if bad := f.invoiceNow(s, "subscription_cycle", lines, f.cfg.PublicURL); bad != nil {
		return s, bad
	}
	return f.subscription(s.ID)
}
