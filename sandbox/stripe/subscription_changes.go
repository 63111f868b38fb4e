package stripe

import (
	"fmt"
	"slices"
)

func (f *Fake) updateSubscription(c *call) (any, *apiError) {
	old, bad := f.subscription(c.id)
	if bad != nil {
		return nil, bad
	}
	if old.over() {
		return nil, invalidRequest("", "", "A canceled subscription can only update its cancellation_details and metadata.")
	}
	cus, _ := f.customers.Get(old.Customer)
	now := f.timeOf(cus)
	s := old
	items, bad := f.readItems(c.form, slices.Clone(old.Items.Data), now)
	if bad != nil {
		return nil, bad
	}
	if len(items) == 0 {
		return nil, invalidRequest("items", "", "A subscription must have at least one active plan. To cancel it, delete it.")
	}
	s.setItems(items)
	proration := c.form.oneOf("proration_behavior", "create_prorations", "create_prorations", "none", "always_invoice")
	behavior := c.form.oneOf("payment_behavior", "allow_incomplete", "allow_incomplete", "default_incomplete", "pending_if_incomplete")
	date := prorationDate(c.form, "proration_date", old, now)
	anchor := c.form.oneOf("billing_cycle_anchor", "unchanged", "now", "unchanged")
	trialEnd, trial := c.form.text("trial_end")
	_, byPeriodEnd := c.form.values["cancel_at_period_end"]
	if trial && trialEnd != "now" {
		s.TrialEnd = c.form.integer("trial_end")
	}
	if bad := f.readDiscount(c.form, &s, now); bad != nil {
		return nil, bad
	}
	if bad := f.readSubscription(c.form, &s); bad != nil {
		return nil, bad
	}
	if old.Schedule != nil && (byPeriodEnd || s.CancelAt != old.CancelAt) {
		return nil, invalidRequest("cancel_at_period_end", "", "The subscription is managed by the subscription schedule `"+*old.Schedule+
			"`, and updating any cancelation behavior directly is not allowed. Please update the schedule instead.")
	}
	if byPeriodEnd && !s.CancelAtPeriodEnd && old.CancelAtPeriodEnd {
		s.CancelAt = nil
	}
	s.noteCancellation(now)
	ch := change{old: old, fresh: s, now: now, date: date, pending: behavior == "pending_if_incomplete", prorate: proration != "none", invoice: proration == "always_invoice", base: c.base}
	ch.restart = anchor == "now" || (trial && trialEnd == "now" && old.Status == "trialing") || old.changesInterval(s)
	if trial && trialEnd != "now" && s.TrialEnd != nil && *s.TrialEnd > now {
		ch.fresh.Status, ch.fresh.BillingCycleAnchor, ch.fresh.CurrentPeriodEnd = "trialing", *s.TrialEnd, *s.TrialEnd
		if s.TrialStart == nil {
			ch.fresh.TrialStart = &now
		}
	}
	return asAny(f.change(ch))
}

// changesInterval tells whether a change to another interval begins a new period. A trial continues.
func (s Subscription) changesInterval(fresh Subscription) bool {
	return s.Status != "trialing" && !sameInterval(s.recurring(), fresh.recurring())
}

func sameInterval(a, b Recurring) bool {
	return a.Interval == b.Interval && a.IntervalCount == b.IntervalCount
}

// change is an update of a subscription.
type change struct {
	old, fresh Subscription
	now        int64
	date       int64  // from which on the old is given back and the new is charged
	pending    bool   // the change waits until its invoice is paid
	prorate    bool   // what was paid and not used is given back, what is used from now on is charged
	restart    bool   // a new period begins now
	invoice    bool   // at once, not with the next period
	base       string // of the fake, for links
}

func (f *Fake) change(ch change) (Subscription, *apiError) {
	if ch.restart || ch.invoice && ch.old.Status == "active" { // the new invoice replaces that of a change that waits
		if bad := f.dropPending(&ch.old); bad != nil {
			return ch.old, bad
		}
		ch.fresh.PendingUpdate = nil
	}
	s := ch.fresh
	if ch.prorate && ch.old.Status == "active" {
		for _, i := range f.prorations(ch) {
			if bad := save(f, f.items, i.ID, i, "invoiceitem.created"); bad != nil {
				return s, bad
			}
		}
	}
	if ch.restart {
		s.BillingCycleAnchor, s.CurrentPeriodStart = ch.now, ch.now
		s.CurrentPeriodEnd = s.recurring().next(ch.now, ch.now)
		if s.Status == "trialing" {
			s.Status, s.TrialEnd = "active", &ch.now
		}
	}
	if bad := save(f, f.subscriptions, s.ID, s, "customer.subscription.updated"); bad != nil {
		return s, bad
	}
	if !ch.restart && (!ch.invoice || ch.old.Status != "active") {
		return s, nil
	}
	var lines []Line
	if ch.restart {
		for _, item := range s.Items.Data {
			lines = append(lines, f.itemLine(s, item, Period{s.CurrentPeriodStart, s.CurrentPeriodEnd}))
		}
	}
	if bad := f.invoiceNow(s, "subscription_update", lines, ch.base); bad != nil {
		return s, bad
	}
	if ch.pending {
		return f.awaitPayment(ch)
	}
	return f.subscription(s.ID)
}

// pendingTime is how long a change waits for its payment, if its period does not end before.
const pendingTime = 23 * hour

// pendingInvoice is the invoice that pays for a pending update. Stripe's objects do not name it.
type pendingInvoice struct {
	ID string `json:"id"`
}

// paysPending tells whether an invoice is the one that a subscription's pending update waits for.
func (f *Fake) paysPending(s Subscription, inv Invoice) bool {
	due, _ := f.pending.Get(s.ID)
	return s.PendingUpdate != nil && due.ID == inv.ID
}

// dropPending drops a change that was not paid, and voids its invoice. The caller saves the subscription.
func (f *Fake) dropPending(s *Subscription) *apiError {
	if s.PendingUpdate == nil {
		return nil
	}
	s.PendingUpdate = nil
	due, _ := f.pending.Get(s.ID)
	inv, ok := f.invoices.Get(due.ID)
	if !ok || inv.Status != "open" {
		return nil
	}
	inv.NextPaymentAttempt = nil
	return f.closeQuietly(inv, "void")
}

// awaitPayment takes a change back whose invoice is not paid. It is applied when the invoice is paid.
func (f *Fake) awaitPayment(ch change) (Subscription, *apiError) {
	s, bad := f.subscription(ch.fresh.ID)
	if bad != nil {
		return s, bad
	}
	inv, ok := f.invoices.Get(orEmpty(s.LatestInvoice))
	if !ok || inv.Status != "open" || inv.ID == orEmpty(ch.old.LatestInvoice) {
		return s, nil
	}
	if bad := stored(f.pending.Insert(s.ID, pendingInvoice{inv.ID})); bad != nil {
		return s, bad
	}
	back := ch.old
	back.LatestInvoice = s.LatestInvoice
	expires := min(ch.now+pendingTime, back.CurrentPeriodEnd)
	if back.Status == "trialing" && back.TrialEnd != nil {
		expires = min(expires, *back.TrialEnd)
	}
	back.PendingUpdate = &PendingUpdate{ExpiresAt: expires, SubscriptionItems: slices.Clone(ch.fresh.Items.Data)}
	if ch.restart { // the invoice charges a period from now on, whenever it is paid
		back.PendingUpdate.BillingCycleAnchor = &ch.now
	}
	return back, save(f, f.subscriptions, s.ID, back, "customer.subscription.updated")
}

// applyPending does a change whose invoice is paid.
func (f *Fake) applyPending(s Subscription) *apiError {
	s.setItems(slices.Clone(s.PendingUpdate.SubscriptionItems))
	if anchor := s.PendingUpdate.BillingCycleAnchor; anchor != nil {
		s.BillingCycleAnchor, s.CurrentPeriodStart, s.CurrentPeriodEnd = *anchor, *anchor, s.recurring().next(*anchor, *anchor)
		if s.Status == "trialing" {
			s.Status, s.TrialEnd = "active", anchor
		}
	}
	s.PendingUpdate = nil
	return save(f, f.subscriptions, s.ID, s, "customer.subscription.updated", "customer.subscription.pending_update_applied")
}

// prorationDate is when a change counts from; now if it is not sent.
func prorationDate(form *form, name string, s Subscription, now int64) int64 {
	at := form.integer(name)
	if at == nil {
		return now
	}
	if *at < s.CurrentPeriodStart || *at > s.CurrentPeriodEnd {
		form.fail(invalidRequest(name, "", "Cannot specify a proration date outside of the current billing period."))
	}
	return *at
}

// prorations are the items that give back and charge what a change costs for the rest of the period.
func (f *Fake) prorations(ch change) (all []InvoiceItem) {
	left, whole := ch.old.CurrentPeriodEnd-ch.date, ch.old.CurrentPeriodEnd-ch.old.CurrentPeriodStart
	if left <= 0 {
		return nil
	}
	for _, was := range ch.old.Items.Data {
		at := slices.IndexFunc(ch.fresh.Items.Data, func(i SubscriptionItem) bool { return i.ID == was.ID })
		if at >= 0 && sameCost(was, ch.fresh.Items.Data[at]) && !ch.restart {
			continue
		}
		all = f.addProration(all, ch, was, "Unused time on", -1, left, whole)
		if at >= 0 && !ch.restart {
			all = f.addProration(all, ch, ch.fresh.Items.Data[at], "Remaining time on", 1, left, whole)
		}
	}
	if ch.restart {
		return all
	}
	for _, is := range ch.fresh.Items.Data {
		if slices.ContainsFunc(ch.old.Items.Data, func(i SubscriptionItem) bool { return i.ID == is.ID }) {
			continue
		}
		all = f.addProration(all, ch, is, "Remaining time on", 1, left, whole)
	}
	return all
}

func sameCost(a, b SubscriptionItem) bool {
	return a.Price.ID == b.Price.ID && orZero(a.Quantity) == orZero(b.Quantity)
}

func (f *Fake) addProration(all []InvoiceItem, ch change, item SubscriptionItem, what string, sign, left, whole int64) []InvoiceItem {
	if item.metered() {
		return all
	}
	cus, _ := f.customers.Get(ch.fresh.Customer)
	line := f.itemLine(ch.fresh, item, Period{ch.date, ch.old.CurrentPeriodEnd})
	i := f.newInvoiceItem(cus, ch.fresh.Currency)
	i.Amount, i.Proration, i.Price, i.Plan = sign*share(line.Amount, left, whole), true, line.Price, line.Plan
	i.Quantity, i.Subscription, i.SubscriptionItem, i.Period = orZero(item.Quantity), &ch.fresh.ID, &item.ID, line.Period
	text := fmt.Sprintf("%s %d × %s", what, i.Quantity, orEmpty(line.Description))
	i.Description, i.UnitAmount = &text, item.Price.UnitAmount
	return append(all, i)
}

// invoiceNow makes an invoice of lines and of what is pending, and charges it.
func (f *Fake) invoiceNow(s Subscription, reason string, lines []Line, base string) *apiError {
	cus, _ := f.customers.Get(s.Customer)
	inv := f.newInvoice(cus, s.Currency, reason)
	inv.bill(s)
	pending, bad := f.takePending(inv)
	if bad != nil {
		return bad
	}
	if len(pending)+len(lines) == 0 {
		return nil
	}
	inv.setLines(append(pending, lines...))
	s.LatestInvoice = &inv.ID
	s.useDiscount(inv.Created)
	inv.staysDraft(s)
	if bad := save(f, f.subscriptions, s.ID, s, "customer.subscription.updated"); bad != nil {
		return bad
	}
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.created"); bad != nil {
		return bad
	}
	if inv.NextPaymentAttempt != nil || !inv.AutoAdvance {
		return nil // it stays a draft
	}
	return f.finalizeDraft(inv, base)
}

// staysDraft has the invoice of a renewal stay a draft for an hour, and that of a paused or an unpaid subscription for good.
func (inv *Invoice) staysDraft(s Subscription) {
	switch {
	case s.Status == "unpaid", s.PauseCollection != nil && s.PauseCollection.Behavior == "keep_as_draft":
		inv.AutoAdvance = false
	case inv.BillingReason == "subscription_cycle":
		at := inv.Created + draftTime
		inv.AutoAdvance, inv.NextPaymentAttempt = true, &at
	}
}

// closeQuietly is what pause_collection does to an invoice.
func (f *Fake) closeQuietly(inv Invoice, behavior string) *apiError {
	now := f.now()
	kind := "invoice.voided"
	inv.Status, inv.StatusTransitions.VoidedAt = "void", &now
	if behavior == "mark_uncollectible" {
		kind, inv.Status = "invoice.marked_uncollectible", "uncollectible"
		inv.StatusTransitions.VoidedAt, inv.StatusTransitions.MarkedUncollectibleAt = nil, &now
	}
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.updated", kind); bad != nil {
		return bad
	}
	return f.restoreBalance(inv)
}

func (f *Fake) cancelSubscription(c *call) (any, *apiError) {
	s, bad := f.subscription(c.id)
	if bad != nil {
		return nil, bad
	}
	var invoiceNow, prorate bool
	c.form.boolean("invoice_now", &invoiceNow)
	c.form.boolean("prorate", &prorate)
	if bad := f.readSubscription(c.form, &s); bad != nil {
		return nil, bad
	}
	if s.over() {
		return nil, noSuch("subscription", "id", c.id)
	}
	cus, _ := f.customers.Get(s.Customer)
	now := f.timeOf(cus)
	if prorate && s.Status == "active" {
		gone := s
		gone.Items.Data = nil
		for _, i := range f.prorations(change{old: s, fresh: gone, now: now, date: now}) {
			if bad := save(f, f.items, i.ID, i, "invoiceitem.created"); bad != nil {
				return nil, bad
			}
		}
	}
	usage := f.usageLines(s, Period{s.CurrentPeriodStart, now})
	if s, bad = f.cancel(s, now); bad != nil {
		return nil, bad
	}
	if invoiceNow {
		if bad := f.invoiceNow(s, "subscription_update", usage, c.base); bad != nil {
			return nil, bad
		}
		return asAny(f.subscription(s.ID))
	}
	return s, nil
}

// cancel ends a subscription as its customer has asked.
func (f *Fake) cancel(s Subscription, at int64) (Subscription, *apiError) {
	return f.cancelFor(s, at, "cancellation_requested")
}

// stopCollecting has what a subscription owes be charged no more by itself.
func (f *Fake) stopCollecting(s Subscription) *apiError {
	for _, inv := range f.invoices.All(func(inv Invoice) bool {
		return orEmpty(inv.Subscription) == s.ID && inv.AutoAdvance && (inv.Status == "open" || inv.Status == "draft")
	}) {
		inv.AutoAdvance, inv.NextPaymentAttempt = false, nil
		if bad := save(f, f.invoices, inv.ID, inv, "invoice.updated"); bad != nil {
			return bad
		}
	}
	return nil
}

// cancelFor ends a subscription.
func (f *Fake) cancelFor(s Subscription, at int64, reason string) (Subscription, *apiError) {
	s.Status, s.EndedAt = "canceled", &at
	if s.CanceledAt == nil {
		s.CanceledAt = &at
	}
	s.CancellationDetails.Reason = &reason
	if bad := f.dropPending(&s); bad != nil {
		return s, bad
	}
	if bad := f.stopCollecting(s); bad != nil {
		return s, bad
	}
	if bad := f.endSchedule(&s, "canceled", at); bad != nil {
		return s, bad
	}
	return s, save(f, f.subscriptions, s.ID, s, "customer.subscription.deleted")
}

// invoiceSettled activates the subscription of an invoice that is settled.
func (f *Fake) invoiceSettled(inv Invoice) *apiError {
	s, ok := f.subscriptions.Get(orEmpty(inv.Subscription))
	if !ok {
		return nil
	}
	if f.paysPending(s, inv) {
		if inv.Status == "paid" {
			return f.applyPending(s)
		}
		s.PendingUpdate = nil
		return save(f, f.subscriptions, s.ID, s, "customer.subscription.updated")
	}
	if orEmpty(s.LatestInvoice) != inv.ID {
		return nil
	}
	switch s.Status {
	case "incomplete":
		s.Status = "active"
		if inv.Status == "void" {
			s.Status = "incomplete_expired"
		}
	case "past_due", "unpaid":
		s.Status = "active"
	default:
		return nil
	}
	if pi, ok := f.intents.Get(orEmpty(inv.PaymentIntent)); ok && s.PaymentSettings.SaveDefaultPaymentMethod == "on_subscription" && pi.PaymentMethod != nil {
		s.DefaultPaymentMethod = pi.PaymentMethod
	}
	return save(f, f.subscriptions, s.ID, s, "customer.subscription.updated")
}

// invoiceFailed marks the subscription of an unpaid invoice as past due, except that of a pending update, which leaves it as it is.
func (f *Fake) invoiceFailed(inv Invoice) *apiError {
	s, ok := f.subscriptions.Get(orEmpty(inv.Subscription))
	if !ok || s.Status != "active" || orEmpty(s.LatestInvoice) != inv.ID || f.paysPending(s, inv) {
		return nil
	}
	s.Status = "past_due"
	return save(f, f.subscriptions, s.ID, s, "customer.subscription.updated")
}
