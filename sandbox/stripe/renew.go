package stripe

// maxRenewals bounds how many periods one advance goes through.
const maxRenewals = 10_000

// Renew moves a subscription into its next period, whatever the time: it charges the invoice at once, without the hour as a draft, or ends the
// subscription if it was due to end. It fails if the subscription does not exist or has ended.
func (f *Fake) Renew(id string) (Subscription, error) {
	return act(f, func() (Subscription, *apiError) {
		s, bad := f.subscription(id)
		if bad != nil {
			return s, bad
		}
		if s.over() || s.Status == "incomplete" {
			return s, invalidRequest("", "", "The subscription "+id+" is "+s.Status+" and has no next period.")
		}
		s, bad = f.renew(s)
		if bad != nil {
			return s, bad
		}
		inv, ok := f.invoices.Get(orEmpty(s.LatestInvoice))
		if !ok || inv.Status != "draft" || inv.NextPaymentAttempt == nil {
			return s, nil
		}
		if bad := f.attempt(inv); bad != nil {
			return s, bad
		}
		return f.subscription(s.ID)
	})
}

// Advance does what is due by now, each at its own time: the next periods of all subscriptions outside of test clocks, the ends of drafts, further
// attempts to charge, and the ends of checkout sessions, of pending changes and of subscriptions whose first invoice was never paid. It returns how many
// objects it changed.
func (f *Fake) Advance() (int, error) {
	return act(f, func() (int, *apiError) {
		defer func() { f.at = 0 }()
		done, bad := f.advance(f.now(), "")
		f.at = 0
		if bad != nil {
			return done, bad
		}
		return done + f.expireSessions(), nil
	})
}

// advance does what is due for the subscriptions of a test clock, or of none, in the order in which it is due.
func (f *Fake) advance(to int64, clock string) (done int, bad *apiError) {
	for range maxRenewals {
		next, ok := f.nextDue(clock, to)
		if !ok {
			return done, nil
		}
		if clock == "" {
			f.at = next.at
		}
		if bad := f.setClock(clock, next.at); bad != nil {
			return done, bad
		}
		if bad := next.do(); bad != nil {
			return done, bad
		}
		if !next.notice {
			done++
		}
	}
	return done, invalidRequest("frozen_time", "", "That is more than 10000 changes; advance in smaller steps.")
}

// never is after all times.
const never = int64(1) << 60

// dueAt is when something is to be done about a subscription.
func (s Subscription) dueAt() int64 {
	switch {
	case s.over(), s.Status == "paused":
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
	if s.PendingUpdate != nil {
		if bad := f.expirePending(s); bad != nil {
			return s, bad
		}
		s.PendingUpdate = nil
	}
	used := Period{s.CurrentPeriodStart, s.CurrentPeriodEnd}
	if s.CancelAt != nil && *s.CancelAt <= at {
		usage := f.usageLines(s, used)
		s, bad := f.cancel(s, at)
		if bad != nil || len(usage) == 0 {
			return s, bad
		}
		if bad := f.invoiceNow(s, "subscription_cycle", usage, f.cfg.PublicURL); bad != nil {
			return s, bad
		}
		return f.subscription(s.ID)
	}
	if s.Status == "trialing" {
		ended, over, bad := f.endTrial(s, at)
		if bad != nil || over {
			return ended, bad
		}
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
	lines := append(f.usageLines(s, used), f.periodLines(s)...)
	if bad := f.invoiceNow(s, "subscription_cycle", lines, f.cfg.PublicURL); bad != nil {
		return s, bad
	}
	return f.subscription(s.ID)
}
