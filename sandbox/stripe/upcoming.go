package stripe

import "slices"

// upcoming is an invoice that does not exist. It has no identifier.
type upcoming struct {
	Invoice
	ID *string `json:"id,omitempty"`
}

// upcomingInvoice shows what a change of a subscription would cost, or its next invoice.
func (f *Fake) upcomingInvoice(c *call) (any, *apiError) {
	id, _ := c.form.text("subscription")
	s, ok := f.subscriptions.Get(id)
	if !ok {
		return nil, noSuchParam("subscription", "subscription", id)
	}
	if owner, sent := c.form.text("customer"); sent && owner != s.Customer {
		return nil, noSuchParam("subscription", "subscription", id)
	}
	if s.over() {
		return nil, noUpcoming(s.Customer)
	}
	cus, _ := f.customers.Get(s.Customer)
	now := f.timeOf(cus)
	items, bad := f.readItemList(c.form.list("subscription_items"), slices.Clone(s.Items.Data), now)
	if bad != nil {
		return nil, bad
	}
	proration := c.form.oneOf("subscription_proration_behavior", "create_prorations", "create_prorations", "none", "always_invoice")
	ch := change{old: s, fresh: s, now: now, prorate: proration != "none", invoice: proration == "always_invoice"}
	ch.date = prorationDate(c.form, "subscription_proration_date", s, now)
	trialEnd, _ := c.form.text("subscription_trial_end")
	if trialEnd != "" && trialEnd != "now" {
		c.form.fail(invalidRequest("subscription_trial_end", "", "The sandbox previews the end of a trial only now."))
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	ch.fresh.setItems(items)
	ch.restart = s.changesInterval(ch.fresh) || trialEnd == "now" && s.Status == "trialing"
	lines := f.upcomingLines(ch)
	if len(lines) == 0 {
		return nil, noUpcoming(s.Customer)
	}
	inv := f.newInvoice(cus, s.Currency, "upcoming")
	inv.bill(ch.fresh)
	inv.ID = ""
	inv.setLines(lines)
	inv.Lines.URL = "/v1/invoices/upcoming/lines?subscription=" + s.ID
	return upcoming{Invoice: inv}, nil
}

func noUpcoming(customer string) *apiError {
	bad := invalidRequest("", "invoice_upcoming_none", "No upcoming invoices for customer: "+customer)
	bad.status = 404
	return bad
}

// upcomingLines has what waits for an invoice, what the change adds, and the period that the invoice begins.
func (f *Fake) upcomingLines(ch change) []Line {
	s := ch.fresh
	var lines []Line
	for _, i := range f.items.All(func(i InvoiceItem) bool {
		return i.Invoice == nil && i.Customer == s.Customer && i.Currency == s.Currency && (i.Subscription == nil || orEmpty(i.Subscription) == s.ID)
	}) {
		lines = append(lines, f.lineOf(i))
	}
	if ch.prorate && ch.old.Status == "active" {
		for _, i := range f.prorations(ch) {
			lines = append(lines, f.lineOf(i))
		}
	}
	from := s.CurrentPeriodEnd
	switch {
	case ch.restart:
		from = ch.now
		s.BillingCycleAnchor = ch.now
	case ch.invoice || s.CancelAtPeriodEnd:
		return lines
	}
	for _, item := range s.Items.Data {
		lines = append(lines, f.itemLine(s, item, Period{from, s.recurring().next(s.BillingCycleAnchor, from)}))
	}
	return lines
}
