package stripe

import (
	"cmp"
	"math"
	"slices"
)

const (
	hour = int64(3600)
	// draftTime is how long the invoice of a renewal stays a draft.
	draftTime = hour
	// warnTrial is how long before its end a trial is announced, and warnInvoice a renewal.
	warnTrial, warnInvoice = 3 * day, 7 * day
)

// due is what is to be done at a time. A notice changes no object.
type due struct {
	at     int64
	notice bool
	do     func() *apiError
}

// told is a notice that was sent.
type told struct {
	At int64 `json:"at"`
}

// nextDue finds what is to be done first for the subscriptions of a test clock, or of none, until a time.
func (f *Fake) nextDue(clock string, to int64) (due, bool) {
	var all []due
	for _, s := range f.subscriptions.All(func(s Subscription) bool { return orEmpty(s.TestClock) == clock && !s.over() }) {
		all = append(all, f.dueOf(s)...)
	}
	for _, inv := range f.invoices.All(func(inv Invoice) bool { return orEmpty(inv.TestClock) == clock && inv.NextPaymentAttempt != nil }) {
		all = append(all, due{at: *inv.NextPaymentAttempt, do: func() *apiError { return f.attempt(inv) }})
	}
	all = slices.DeleteFunc(all, func(d due) bool { return d.at > to })
	if len(all) == 0 {
		return due{}, false
	}
	return slices.MinFunc(all, func(a, b due) int { return cmp.Compare(a.at, b.at) }), true
}

// dueOf is what is to be done about a subscription.
func (f *Fake) dueOf(s Subscription) []due {
	all := []due{{at: s.dueAt(), do: func() *apiError {
		_, bad := f.renew(s)
		return bad
	}}}
	if s.PendingUpdate != nil {
		all = append(all, due{at: s.PendingUpdate.ExpiresAt, do: func() *apiError { return f.expirePending(s) }})
	}
	if s.Status == "trialing" && s.TrialEnd != nil {
		all = append(all, f.notice("customer.subscription.trial_will_end", s, max(*s.TrialEnd-warnTrial, s.Created), *s.TrialEnd, func() any { return s })...)
	}
	if s.Status == "active" && s.CancelAt == nil {
		all = append(all, f.notice("invoice.upcoming", s, max(s.CurrentPeriodEnd-warnInvoice, s.Created), s.CurrentPeriodEnd, func() any { return f.renewalOf(s) })...)
	}
	return all
}

// notice is an event that is sent once before a time.
func (f *Fake) notice(kind string, s Subscription, at, before int64, object func() any) []due {
	key := kind + " " + s.ID
	if sent, ok := f.told.Get(key); ok && sent.At == before || at >= before {
		return nil
	}
	return []due{{at: at, notice: true, do: func() *apiError {
		id := s.ID
		if kind == "invoice.upcoming" {
			id = "" // it does not exist yet
		}
		f.emit(kind, id, object())
		return stored(f.told.Insert(key, told{before}))
	}}}
}

// renewalOf is the invoice that the next renewal will make.
func (f *Fake) renewalOf(s Subscription) upcoming {
	cus, _ := f.customers.Get(s.Customer)
	inv := f.newInvoice(cus, s.Currency, "upcoming")
	inv.bill(s)
	inv.ID = ""
	inv.setLines(f.upcomingLines(change{old: s, fresh: s, now: f.timeOf(cus)}))
	return upcoming{Invoice: inv}
}

// attempt finalizes a draft whose time is over, or charges an open invoice again.
func (f *Fake) attempt(inv Invoice) *apiError {
	inv.NextPaymentAttempt = nil
	if cus, _ := f.customers.Get(inv.Customer); cus.Deleted && inv.Status == "draft" {
		inv.AutoAdvance = false // nobody can be charged
	} else if inv.Status == "draft" {
		return f.finalizeDraft(inv, f.cfg.PublicURL)
	}
	if inv.Status == "open" && inv.AutoAdvance && inv.CollectionMethod == "charge_automatically" {
		_, _ = f.collect(inv, "", true) // what the bank says is told by events
		return nil
	}
	return save(f, f.invoices, inv.ID, inv, "invoice.updated")
}

// finalizeDraft makes a subscription's draft final, with the usage that has been metered until now, and charges it.
func (f *Fake) finalizeDraft(inv Invoice, base string) *apiError {
	f.countUsage(&inv)
	inv, bad := f.finalize(inv, base)
	if bad != nil {
		return bad
	}
	s, _ := f.subscriptions.Get(orEmpty(inv.Subscription))
	if s.PauseCollection != nil {
		return f.closeQuietly(inv, s.PauseCollection.Behavior)
	}
	f.chargeFirst(inv, s, subscribing{})
	return nil
}

// countUsage counts the lines of metered prices of a draft again.
func (f *Fake) countUsage(inv *Invoice) {
	lines := slices.Clone(inv.Lines.Data)
	for i, l := range lines {
		if l.Type != "subscription" || l.Price == nil || l.Price.Recurring == nil || l.Price.Recurring.Meter == nil {
			continue
		}
		m, known := f.meters.Get(*l.Price.Recurring.Meter)
		price, priced := f.prices.Get(l.Price.ID)
		if !known || !priced {
			continue
		}
		quantity := f.used(m, inv.Customer, l.Period, math.MaxInt64)
		lines[i].Quantity, lines[i].Amount = &quantity, price.amountOf(quantity)
	}
	inv.setLines(lines)
}

// retryDays are the pauses between the attempts to charge an invoice.
func retryDays() []int64 { return []int64{3, 5, 7} }

// nextAttempt is when an invoice is charged again after that many attempts; nil for never.
func nextAttempt(attempts, now int64) *int64 {
	days := retryDays()
	if attempts < 1 || attempts > int64(len(days)) {
		return nil
	}
	at := now + days[attempts-1]*day
	return &at
}

// giveUp does with a subscription what the account's settings say when the last attempt to charge it has failed.
func (f *Fake) giveUp(inv Invoice) *apiError {
	s, ok := f.subscriptions.Get(orEmpty(inv.Subscription))
	if !ok || s.over() || s.Status != "past_due" {
		return nil
	}
	switch f.cfg.AfterRetries {
	case "past_due":
		return nil
	case "unpaid":
		s.Status = "unpaid"
		return save(f, f.subscriptions, s.ID, s, "customer.subscription.updated")
	}
	cus, _ := f.customers.Get(s.Customer)
	_, bad := f.cancelFor(s, f.timeOf(cus), "payment_failed")
	return bad
}

// expirePending drops a change that was not paid in time, and voids its invoice.
func (f *Fake) expirePending(s Subscription) *apiError {
	if bad := f.dropPending(&s); bad != nil {
		return bad
	}
	return save(f, f.subscriptions, s.ID, s, "customer.subscription.updated", "customer.subscription.pending_update_expired")
}

// endTrial does what a trial's settings say when it ends without a card. It returns false when the subscription goes ahead.
func (f *Fake) endTrial(s Subscription, at int64) (Subscription, bool, *apiError) {
	if f.defaultMethod(Invoice{Subscription: &s.ID, Customer: s.Customer}) != "" || s.CollectionMethod == "send_invoice" {
		return s, false, nil
	}
	switch s.TrialSettings.EndBehavior.MissingPaymentMethod {
	case "pause":
		s.Status = "paused"
		return s, true, save(f, f.subscriptions, s.ID, s, "customer.subscription.updated", "customer.subscription.paused")
	case "cancel":
		s, bad := f.cancel(s, at)
		return s, true, bad
	}
	return s, false, nil
}

// resumeSubscription begins a paused subscription with a new period, which is charged at once.
func (f *Fake) resumeSubscription(c *call) (any, *apiError) {
	s, bad := f.subscription(c.id)
	if bad != nil {
		return nil, bad
	}
	anchor := c.form.oneOf("billing_cycle_anchor", "now", "now", "unchanged")
	c.form.oneOf("proration_behavior", "create_prorations", "create_prorations", "none", "always_invoice")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if s.Status != "paused" {
		return nil, invalidRequest("", "", "You can only resume a paused subscription; this one is "+s.Status+".")
	}
	cus, _ := f.customers.Get(s.Customer)
	now := f.timeOf(cus)
	s.Status, s.CurrentPeriodStart = "active", now
	if anchor == "now" {
		s.BillingCycleAnchor = now
	}
	s.CurrentPeriodEnd = s.recurring().next(s.BillingCycleAnchor, now)
	if bad := save(f, f.subscriptions, s.ID, s, "customer.subscription.updated", "customer.subscription.resumed"); bad != nil {
		return nil, bad
	}
	if bad := f.invoiceNow(s, "subscription_cycle", f.periodLines(s), c.base); bad != nil {
		return nil, bad
	}
	return asAny(f.subscription(s.ID))
}

// periodLines charge the items for the present period, except those that are metered.
func (f *Fake) periodLines(s Subscription) (lines []Line) {
	for _, item := range s.Items.Data {
		if !item.metered() {
			lines = append(lines, f.itemLine(s, item, Period{s.CurrentPeriodStart, s.CurrentPeriodEnd}))
		}
	}
	return lines
}

// usageLines charge what was metered in a period.
func (f *Fake) usageLines(s Subscription, used Period) (lines []Line) {
	for _, item := range s.Items.Data {
		if item.metered() {
			lines = append(lines, f.usageLine(s, item, used))
		}
	}
	return lines
}
