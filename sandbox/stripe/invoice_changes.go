package stripe

import (
	"fmt"
	"slices"
)

func (f *Fake) createInvoice(c *call) (any, *apiError) {
	id, _ := c.form.text("customer")
	subID, bySub := c.form.text("subscription")
	var sub Subscription
	if bySub {
		var ok bool
		if sub, ok = f.subscriptions.Get(subID); !ok {
			return nil, noSuchParam("subscription", "subscription", subID)
		}
		id = sub.Customer
	}
	cus, bad := f.customerOf("customer", id)
	if bad != nil {
		return nil, bad
	}
	currency, sent := c.form.text("currency")
	if !sent {
		currency = orDefault(orEmpty(cus.Currency), "usd")
	}
	inv := f.newInvoice(cus, currency, "manual")
	inv.AutoAdvance = false
	if bySub {
		inv.Subscription, inv.SubscriptionDetails.Metadata = &sub.ID, sub.Metadata
	}
	pending := c.form.oneOf("pending_invoice_items_behavior", "exclude", "exclude", "include")
	if bad := f.readInvoice(c.form, &inv); bad != nil {
		return nil, bad
	}
	if pending == "include" || bySub {
		lines, bad := f.takePending(inv)
		if bad != nil {
			return nil, bad
		}
		inv.setLines(lines)
	}
	if inv.AutoAdvance {
		at := inv.Created + draftTime
		inv.NextPaymentAttempt = &at
	}
	return inv, save(f, f.invoices, inv.ID, inv, "invoice.created")
}

// readInvoice reads what can be said of a draft.
func (f *Fake) readInvoice(form *form, inv *Invoice) *apiError {
	form.boolean("auto_advance", &inv.AutoAdvance)
	form.optional("description", &inv.Description)
	form.optional("footer", &inv.Footer)
	inv.CollectionMethod = form.oneOf("collection_method", inv.CollectionMethod, "charge_automatically", "send_invoice")
	if days := form.integer("days_until_due"); days != nil {
		due := inv.Created + *days*24*3600
		inv.DueDate = &due
	}
	if due := form.integer("due_date"); due != nil {
		inv.DueDate = due
	}
	if id, ok := form.text("default_payment_method"); ok && id != "" {
		m, bad := f.method(id, "default_payment_method")
		if bad != nil {
			return bad
		}
		inv.DefaultPaymentMethod = &m.ID
	}
	inv.Metadata = form.metadata(inv.Metadata)
	if tax := form.child("automatic_tax"); tax != nil {
		tax.boolean("enabled", &inv.AutomaticTax.Enabled)
		inv.setLines(slices.Clone(inv.Lines.Data))
	}
	if settings := form.child("payment_settings"); settings != nil {
		settings.onlyCards()
		settings.lacks("payment_method_options", "default_mandate")
	}
	form.lacks("rendering", "rendering_options", "statement_descriptor", "custom_fields", "account_tax_ids")
	if bad := form.done(); bad != nil {
		return bad
	}
	if inv.CollectionMethod == "send_invoice" && inv.DueDate == nil {
		return missingParam("days_until_due")
	}
	return nil
}

func (f *Fake) updateInvoice(c *call) (any, *apiError) {
	inv, bad := f.invoice(c.id)
	if bad != nil {
		return nil, bad
	}
	if inv.Status != "draft" { // of a finalized one little can be changed
		inv.Metadata = c.form.metadata(inv.Metadata)
		c.form.boolean("auto_advance", &inv.AutoAdvance)
		bad = c.form.done()
	} else {
		bad = f.readInvoice(c.form, &inv)
	}
	if bad != nil {
		return nil, bad
	}
	return inv, save(f, f.invoices, inv.ID, inv, "invoice.updated")
}

func (f *Fake) deleteInvoice(c *call) (any, *apiError) {
	inv, bad := f.invoice(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if inv.Status != "draft" {
		return nil, invalidRequest("", "", "You can only delete draft invoices; this one is "+inv.Status+". Void it instead.")
	}
	if bad := stored(f.invoices.Delete(inv.ID)); bad != nil {
		return nil, bad
	}
	f.emit("invoice.deleted", inv.ID, inv)
	return deletedObject{inv.ID, "invoice", true}, nil
}

func (f *Fake) finalizeInvoice(c *call) (any, *apiError) {
	inv, bad := f.invoice(c.id)
	if bad != nil {
		return nil, bad
	}
	c.form.boolean("auto_advance", &inv.AutoAdvance)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if inv.Status != "draft" {
		return nil, invalidRequest("", "", "This invoice is already finalized, you can't re-finalize a non-draft invoice.")
	}
	inv.NextPaymentAttempt = nil
	f.countUsage(&inv)
	if inv, bad = f.finalize(inv, c.base); bad != nil {
		return nil, bad
	}
	if inv.AmountDue == 0 {
		return asAny(f.markPaid(inv, nil, false))
	}
	if inv.AutoAdvance && inv.CollectionMethod == "charge_automatically" {
		inv, _ = f.collect(inv, "", false) // what the bank says is told by events
	}
	return inv, nil
}

// finalize opens a draft, with a payment intent when something is to be charged.
func (f *Fake) finalize(inv Invoice, base string) (Invoice, *apiError) {
	inv, bad := f.useBalance(inv)
	if bad != nil {
		return inv, bad
	}
	if inv, bad = f.open(inv, base); bad != nil {
		return inv, bad
	}
	if inv.AmountDue > 0 {
		pi := f.newIntent(inv.AmountDue, inv.Currency, &inv.Customer)
		pi.Invoice = &inv.ID
		what := map[bool]string{true: "Subscription creation", false: "Payment for Invoice"}[inv.BillingReason == "subscription_create"]
		pi.Description = &what
		inv.PaymentIntent = &pi.ID
		if bad := save(f, f.intents, pi.ID, pi, "payment_intent.created"); bad != nil {
			return inv, bad
		}
	}
	return inv, save(f, f.invoices, inv.ID, inv, "invoice.updated", "invoice.finalized")
}

// useBalance pays for a draft with the customer's credit, or adds the customer's debt to it. The caller stores it.
func (f *Fake) useBalance(inv Invoice) (Invoice, *apiError) {
	cus, ok := f.customers.Get(inv.Customer)
	if !ok || cus.Deleted {
		return inv, noSuchParam("customer", "customer", inv.Customer)
	}
	inv.StartingBalance = cus.Balance
	inv.owe()
	ending := min(inv.Total+inv.StartingBalance, 0)
	inv.EndingBalance = &ending
	if cus.Balance == ending {
		return inv, nil
	}
	cus.Balance = ending
	return inv, save(f, f.customers, cus.ID, cus, "customer.updated")
}

// open gives a draft its number and its pages. The caller stores it.
func (f *Fake) open(inv Invoice, base string) (Invoice, *apiError) {
	cus, ok := f.customers.Get(inv.Customer)
	if !ok || cus.Deleted {
		return inv, noSuchParam("customer", "customer", inv.Customer)
	}
	now := f.timeOf(cus)
	number := fmt.Sprintf("%s-%04d", cus.InvoicePrefix, cus.NextInvoiceSequence)
	cus.NextInvoiceSequence++
	var kinds []string // a change of the next number alone sends no event
	if cus.Currency == nil {
		cus.Currency = &inv.Currency
		kinds = []string{"customer.updated"}
	}
	if bad := save(f, f.customers, cus.ID, cus, kinds...); bad != nil {
		return inv, bad
	}
	hosted, pdf := base+"/invoice/"+inv.ID, base+"/invoice/"+inv.ID+"/pdf"
	inv.Status, inv.Number, inv.EffectiveAt, inv.StatusTransitions.FinalizedAt = "open", &number, &now, &now
	inv.HostedInvoiceURL, inv.InvoicePDF = &hosted, &pdf
	return inv, nil
}

func (f *Fake) payInvoice(c *call) (any, *apiError) {
	inv, bad := f.invoice(c.id)
	if bad != nil {
		return nil, bad
	}
	method, _ := c.form.text("payment_method")
	var elsewhere, forgive bool
	offSession := true
	c.form.boolean("paid_out_of_band", &elsewhere)
	c.form.boolean("off_session", &offSession)
	c.form.boolean("forgive", &forgive)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	switch inv.Status {
	case "paid":
		return nil, invalidRequest("", "", "Invoice is already paid")
	case "void", "uncollectible":
		if inv.Status == "void" || !elsewhere {
			return nil, invalidRequest("", "", "Invoice is "+inv.Status+" and can no longer be paid.")
		}
	case "draft":
		inv.NextPaymentAttempt = nil
		f.countUsage(&inv)
		if inv, bad = f.finalize(inv, c.base); bad != nil {
			return nil, bad
		}
	}
	if elsewhere || inv.AmountDue == 0 {
		return asAny(f.markPaid(inv, nil, elsewhere))
	}
	return asAny(f.collect(inv, method, offSession))
}

// collect charges an open invoice. When the card is refused the invoice stays open, and the error is the bank's.
func (f *Fake) collect(inv Invoice, method string, offSession bool) (Invoice, *apiError) {
	pi, bad := f.intent(orEmpty(inv.PaymentIntent))
	if bad != nil {
		return inv, bad
	}
	if method == "" {
		method = f.defaultMethod(inv)
	}
	if method == "" {
		bad := invalidRequest("", "resource_missing", "This customer has no attached payment source or default payment method. Please consider adding a default payment method.")
		return f.notPaid(inv, bad)
	}
	m, bad := f.method(method, "payment_method")
	if bad != nil {
		return inv, bad
	}
	pi.PaymentMethod = &m.ID
	pi, bad = f.confirm(pi, offSession)
	if bad != nil {
		return f.notPaid(inv, bad)
	}
	if pi.Status == "requires_action" {
		inv.Attempted, inv.AttemptCount = true, inv.AttemptCount+1
		return inv, save(f, f.invoices, inv.ID, inv, "invoice.updated", "invoice.payment_action_required")
	}
	return f.markPaid(inv, pi.LatestCharge, false)
}

// defaultMethod is the invoice's own, the subscription's, or the customer's.
func (f *Fake) defaultMethod(inv Invoice) string {
	sub, _ := f.subscriptions.Get(orEmpty(inv.Subscription))
	cus, _ := f.customers.Get(inv.Customer)
	for _, m := range []*string{inv.DefaultPaymentMethod, sub.DefaultPaymentMethod, cus.InvoiceSettings.DefaultPaymentMethod} {
		if orEmpty(m) != "" {
			return *m
		}
	}
	return ""
}

// markPaid closes an invoice, and wakes its subscription.
func (f *Fake) markPaid(inv Invoice, charge *string, elsewhere bool) (Invoice, *apiError) {
	cus, _ := f.customers.Get(inv.Customer)
	now := f.timeOf(cus)
	inv.Status, inv.Paid, inv.PaidOutOfBand, inv.Attempted = "paid", true, elsewhere, true
	if charge != nil {
		inv.AttemptCount++
	}
	inv.AmountPaid, inv.AmountRemaining, inv.Charge, inv.NextPaymentAttempt = inv.AmountDue, 0, charge, nil
	inv.StatusTransitions.PaidAt = &now
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.updated", "invoice.paid", "invoice.payment_succeeded"); bad != nil {
		return inv, bad
	}
	pi, has := f.intents.Get(orEmpty(inv.PaymentIntent))
	if has && pi.Status != "succeeded" && pi.Status != "canceled" { // paid elsewhere
		if _, bad := f.abandon(pi, ""); bad != nil {
			return inv, bad
		}
	}
	return inv, f.invoiceSettled(inv)
}

// notPaid notes that a charge failed, and returns why.
func (f *Fake) notPaid(inv Invoice, why *apiError) (Invoice, *apiError) {
	cus, _ := f.customers.Get(inv.Customer)
	inv.Attempted, inv.AttemptCount = true, inv.AttemptCount+1
	if inv.AutoAdvance && inv.BillingReason != "subscription_create" {
		inv.NextPaymentAttempt = nextAttempt(inv.AttemptCount, f.timeOf(cus))
	}
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.updated", "invoice.payment_failed"); bad != nil {
		return inv, bad
	}
	if bad := f.invoiceFailed(inv); bad != nil {
		return inv, bad
	}
	if inv.NextPaymentAttempt == nil && inv.AttemptCount > int64(len(retryDays())) {
		if bad := f.giveUp(inv); bad != nil {
			return inv, bad
		}
	}
	return inv, why
}

func (f *Fake) voidInvoice(c *call) (any, *apiError) {
	return f.closeInvoice(c, "void", "invoice.voided", func(inv *Invoice, now *int64) { inv.StatusTransitions.VoidedAt = now })
}

func (f *Fake) markUncollectible(c *call) (any, *apiError) {
	return f.closeInvoice(c, "uncollectible", "invoice.marked_uncollectible", func(inv *Invoice, now *int64) {
		inv.StatusTransitions.MarkedUncollectibleAt = now
	})
}

func (f *Fake) closeInvoice(c *call, status, event string, note func(*Invoice, *int64)) (any, *apiError) {
	inv, bad := f.invoice(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if inv.Status != "open" && (inv.Status != "uncollectible" || status != "void") {
		return nil, invalidRequest("", "", "You can only pass in open invoices. This invoice isn't open.")
	}
	cus, _ := f.customers.Get(inv.Customer)
	now := f.timeOf(cus)
	inv.Status, inv.NextPaymentAttempt = status, nil
	note(&inv, &now)
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.updated", event); bad != nil {
		return nil, bad
	}
	if bad := f.restoreBalance(inv); bad != nil {
		return nil, bad
	}
	if pi, ok := f.intents.Get(orEmpty(inv.PaymentIntent)); ok && status == "void" && pi.Status != "succeeded" && pi.Status != "canceled" {
		if _, bad := f.abandon(pi, "void_invoice"); bad != nil {
			return nil, bad
		}
	}
	return inv, f.invoiceSettled(inv)
}

// restoreBalance returns what an invoice that was voided has changed of the customer's balance.
func (f *Fake) restoreBalance(inv Invoice) *apiError {
	if inv.Status != "void" || orZero(inv.EndingBalance) == inv.StartingBalance {
		return nil
	}
	return f.credit(inv.Customer, orZero(inv.EndingBalance)-inv.StartingBalance)
}

func (f *Fake) sendInvoice(c *call) (any, *apiError) {
	inv, bad := f.invoice(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if inv.CollectionMethod != "send_invoice" {
		return nil, invalidRequest("", "", "You can only manually send an invoice if its collection method is 'send_invoice'.")
	}
	if inv.Status == "draft" {
		if inv, bad = f.finalize(inv, c.base); bad != nil {
			return nil, bad
		}
	}
	f.emit("invoice.sent", inv.ID, inv)
	return inv, nil
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
