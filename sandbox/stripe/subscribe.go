package stripe

import (
	"net/http"
	"time"
)

const day = int64(24 * time.Hour / time.Second)

func (f *Fake) createSubscription(c *call) (any, *apiError) {
	id, _ := c.form.text("customer")
	cus, bad := f.customerOf("customer", id)
	if bad != nil {
		return nil, bad
	}
	s := f.newSubscription(cus)
	items, bad := f.readItems(c.form, nil, s.Created)
	if bad != nil {
		return nil, bad
	}
	if len(items) == 0 && *c.form.err == nil {
		return nil, missingParam("items")
	}
	s.setItems(items)
	extra := c.form.list("add_invoice_items")
	behavior := c.form.oneOf("payment_behavior", "allow_incomplete", "allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
	proration := c.form.oneOf("proration_behavior", "create_prorations", "create_prorations", "none", "always_invoice")
	if anchor := c.form.integer("billing_cycle_anchor"); anchor != nil {
		s.BillingCycleAnchor = *anchor
	}
	readTrial(c.form, &s)
	var lines []Line
	for _, form := range extra {
		line, bad := f.readExtra(form, s)
		if bad != nil {
			return nil, bad
		}
		lines = append(lines, line)
	}
	if bad := f.readDiscount(c.form, &s, s.Created); bad != nil {
		return nil, bad
	}
	if bad := f.readSubscription(c.form, &s); bad != nil {
		return nil, bad
	}
	return asAny(f.subscribe(s, subscribing{behavior: behavior, lines: lines, partial: proration != "none", base: c.base}))
}

// subscribing is how a subscription begins.
type subscribing struct {
	behavior string // what happens when the first invoice is not paid
	lines    []Line // that the first invoice has beside those of the items
	partial  bool   // a first period that is shorter is charged in part
	onPage   bool   // the payer is there
	base     string
}

// readItems reads the items of a new subscription, or the changes of those of an old one.
func (f *Fake) readItems(form *form, have []SubscriptionItem, at int64) ([]SubscriptionItem, *apiError) {
	return f.readItemList(form.list("items"), have, at)
}

func (f *Fake) readItemList(list []*form, have []SubscriptionItem, at int64) ([]SubscriptionItem, *apiError) {
	items := have
	for _, in := range list {
		id, _ := in.text("id")
		priceID, byPrice := in.text("price")
		quantity := in.integer("quantity")
		var gone bool
		in.boolean("deleted", &gone)
		in.onlyFalse("clear_usage")
		in.lacks("tax_rates", "billing_thresholds")
		if n := orZero(quantity); n < 0 || n > 1_000_000 {
			return nil, invalidRequest(in.path("quantity"), "parameter_invalid_integer", "The quantity must be 0 to 1000000.")
		}
		at, bad := f.itemAt(in, &items, id, byPrice, at)
		if bad != nil {
			return nil, bad
		}
		if gone {
			items = append(items[:at:at], items[at+1:]...)
			continue
		}
		item := &items[at]
		item.Metadata = in.metadata(item.Metadata)
		if byPrice {
			price, bad := f.priceOfItem(in.path("price"), priceID)
			if bad != nil {
				return nil, bad
			}
			item.Price = price
		}
		if item.metered() {
			item.Quantity = nil
		} else if quantity != nil {
			item.Quantity = quantity
		} else if item.Quantity == nil {
			one := int64(1)
			item.Quantity = &one
		}
	}
	return items, sameRhythm(items)
}

// itemAt finds an item by its identifier, or makes a new one at the end.
func (f *Fake) itemAt(in *form, items *[]SubscriptionItem, id string, byPrice bool, at int64) (int, *apiError) {
	if id == "" {
		if !byPrice {
			return 0, missingParam(in.path("price"))
		}
		*items = append(*items, f.newItem(Price{}, 1, at))
		return len(*items) - 1, nil
	}
	for i, item := range *items {
		if item.ID == id {
			return i, nil
		}
	}
	return 0, noSuchParam("subscription_item", in.path("id"), id)
}

func (f *Fake) priceOfItem(param, id string) (Price, *apiError) {
	price, ok := f.prices.Get(id)
	switch {
	case !ok:
		return Price{}, noSuchParam("price", param, id)
	case price.Recurring == nil:
		return Price{}, invalidRequest(param, "", "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.")
	case !price.Active:
		return Price{}, invalidRequest(param, "", inactivePrice)
	}
	return price, nil
}

const inactivePrice = "The price specified is inactive. This field only accepts active prices."

// sameRhythm rejects items with different billing intervals or currencies.
func sameRhythm(items []SubscriptionItem) *apiError {
	for _, i := range items {
		first, other := items[0].Price, i.Price
		if other.Recurring == nil || first.Recurring == nil {
			continue
		}
		if other.Currency != first.Currency || other.Recurring.Interval != first.Recurring.Interval || other.Recurring.IntervalCount != first.Recurring.IntervalCount {
			return invalidRequest("items", "", "Currency and interval fields must match across all plans on this subscription.")
		}
	}
	return nil
}

// readExtra reads one of add_invoice_items.
func (f *Fake) readExtra(form *form, s Subscription) (Line, *apiError) {
	id, _ := form.text("price")
	price, bad := f.priceOnce(form.path("price"), id)
	if bad != nil {
		return Line{}, bad
	}
	quantity := int64(1)
	if n := form.integer("quantity"); n != nil {
		quantity = *n
	}
	return f.newLine("invoiceitem", &price, &quantity, price.amountOf(quantity), Period{s.Created, s.Created}), nil
}

// readTrial reads trial_end, trial_period_days and trial_from_plan.
func readTrial(form *form, s *Subscription) {
	var end *int64
	var fromPlan bool
	form.boolean("trial_from_plan", &fromPlan)
	if days := s.recurring().TrialPeriodDays; fromPlan && days != nil {
		at := s.Created + *days*day
		end = &at
	}
	if days := form.integer("trial_period_days"); days != nil && *days > 0 {
		at := s.Created + *days*day
		end = &at
	}
	if at, sent := form.text("trial_end"); sent && at != "now" {
		end = form.integer("trial_end")
	}
	if end != nil && *end > s.Created {
		start := s.Created
		s.TrialStart, s.TrialEnd, s.BillingCycleAnchor = &start, end, *end
	}
}

// readTrialSettings reads what a trial without a card becomes.
func readTrialSettings(form *form, fallback string) string {
	settings := form.child("trial_settings")
	if settings == nil {
		return fallback
	}
	end := settings.child("end_behavior")
	if end == nil {
		return fallback
	}
	return end.oneOf("missing_payment_method", orDefault(fallback, "create_invoice"), "cancel", "create_invoice", "pause")
}

// readSubscription reads what can be said of a new subscription and of an old one.
func (f *Fake) readSubscription(form *form, s *Subscription) *apiError {
	form.boolean("cancel_at_period_end", &s.CancelAtPeriodEnd)
	form.optional("description", &s.Description)
	s.CollectionMethod = form.oneOf("collection_method", s.CollectionMethod, "charge_automatically", "send_invoice")
	if n := form.integer("days_until_due"); n != nil {
		s.DaysUntilDue = n
	}
	if at, sent := form.text("cancel_at"); sent {
		s.CancelAt = nil
		if at != "" {
			s.CancelAt = form.integer("cancel_at")
		}
	}
	if id, sent := form.text("default_payment_method"); sent {
		s.DefaultPaymentMethod = nil
		if id != "" {
			m, bad := f.method(id, "default_payment_method")
			if bad != nil {
				return bad
			}
			s.DefaultPaymentMethod = &m.ID
		}
	}
	if settings := form.child("payment_settings"); settings != nil {
		s.PaymentSettings.SaveDefaultPaymentMethod = settings.oneOf("save_default_payment_method", s.PaymentSettings.SaveDefaultPaymentMethod, "off", "on_subscription")
		settings.onlyCards()
		settings.lacks("payment_method_options")
	}
	s.TrialSettings.EndBehavior.MissingPaymentMethod = readTrialSettings(form, s.TrialSettings.EndBehavior.MissingPaymentMethod)
	if details := form.child("cancellation_details"); details != nil {
		details.optional("comment", &s.CancellationDetails.Comment)
		details.optional("feedback", &s.CancellationDetails.Feedback)
	}
	if v, sent := form.text("pause_collection"); sent && v == "" {
		s.PauseCollection = nil
	}
	if pause := form.child("pause_collection"); pause != nil {
		s.PauseCollection = &PauseCollection{pause.oneOf("behavior", "void", "keep_as_draft", "mark_uncollectible", "void"), pause.integer("resumes_at")}
	}
	s.Metadata = form.metadata(s.Metadata)
	if tax := form.child("automatic_tax"); tax != nil {
		tax.boolean("enabled", &s.AutomaticTax.Enabled)
	}
	var offSession bool // nobody is there to answer the bank, whatever the caller says
	form.boolean("off_session", &offSession)
	if currency, sent := form.text("currency"); sent && len(s.Items.Data) > 0 && currency != s.Items.Data[0].Price.Currency {
		form.fail(invalidRequest("currency", "", "The sandbox's prices have one currency each; the items are in "+s.Items.Data[0].Price.Currency+"."))
	}
	if s.CollectionMethod == "send_invoice" && s.DaysUntilDue == nil && *form.err == nil {
		return missingParam("days_until_due")
	}
	return form.done()
}

// subscribe begins a subscription: its first period, its first invoice, and the charge for it.
func (f *Fake) subscribe(s Subscription, how subscribing) (Subscription, *apiError) {
	s.CurrentPeriodEnd = s.recurring().next(s.BillingCycleAnchor, s.Created)
	s.Currency = s.Items.Data[0].Price.Currency
	inv := f.firstInvoice(s, how)
	inv.SubscriptionDetails.Metadata = s.Metadata
	if bad := f.mayBegin(s, inv, how); bad != nil {
		return s, bad
	}
	switch {
	case s.TrialEnd != nil:
		s.Status, s.CurrentPeriodEnd = "trialing", *s.TrialEnd
	case s.CollectionMethod == "send_invoice":
		s.Status = "active"
	}
	s.noteCancellation(s.Created)
	if inv.Subtotal > 0 {
		s.useDiscount(s.Created)
	}
	s.LatestInvoice = &inv.ID
	if bad := save(f, f.subscriptions, s.ID, s, "customer.subscription.created"); bad != nil {
		return s, bad
	}
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.created"); bad != nil {
		return s, bad
	}
	inv, bad := f.finalize(inv, how.base)
	if bad != nil {
		return s, bad
	}
	f.chargeFirst(inv, s, how)
	return f.subscription(s.ID)
}

// chargeFirst charges an invoice if it is due now. A declined card shows in the status.
func (f *Fake) chargeFirst(inv Invoice, s Subscription, how subscribing) {
	switch {
	case inv.AmountDue == 0:
		_, _ = f.markPaid(inv, nil, false)
	case s.CollectionMethod == "send_invoice":
		f.emit("invoice.sent", inv.ID, inv)
	case how.behavior != "default_incomplete":
		_, _ = f.collect(inv, "", !how.onPage)
	}
}

// mayBegin rejects, before anything is created, what Stripe rejects: a missing or a declined card.
func (f *Fake) mayBegin(s Subscription, inv Invoice, how subscribing) *apiError {
	if inv.AmountDue == 0 || s.CollectionMethod == "send_invoice" || how.behavior == "default_incomplete" {
		return nil
	}
	cus, _ := f.customers.Get(s.Customer)
	id := orDefault(orEmpty(s.DefaultPaymentMethod), orEmpty(cus.InvoiceSettings.DefaultPaymentMethod))
	if id == "" {
		bad := invalidRequest("", "resource_missing", "This customer has no attached payment source or default payment method. Please consider adding a default payment method.")
		return bad
	}
	m, bad := f.method(id, "default_payment_method")
	if bad != nil {
		return bad
	}
	if card := m.testCard(); how.behavior == "error_if_incomplete" && (card.decline != "" || card.asks) {
		bad := declined(orDefault(card.decline, "authentication_required"))
		bad.status = http.StatusPaymentRequired
		return bad
	}
	return nil
}

// firstInvoice has a line for each item: nothing during a trial, and part of the amount when the period is shorter.
func (f *Fake) firstInvoice(s Subscription, how subscribing) Invoice {
	cus, _ := f.customers.Get(s.Customer)
	inv := f.newInvoice(cus, s.Currency, "subscription_create")
	inv.bill(s)
	lines := how.lines
	period := Period{s.Created, s.CurrentPeriodEnd}
	short := s.CurrentPeriodEnd == s.BillingCycleAnchor && s.BillingCycleAnchor > s.Created
	for _, item := range s.Items.Data {
		line := f.itemLine(s, item, period)
		switch {
		case s.TrialEnd != nil:
			line = trialLine(line, Period{s.Created, *s.TrialEnd})
		case short && !how.partial:
			line.Amount = 0
		case short:
			r := s.recurring()
			line.Amount, line.Proration = share(line.Amount, period.End-period.Start, r.boundary(period.Start, 1)-period.Start), true
		}
		line.AmountExclTax = line.Amount
		lines = append(lines, line)
	}
	inv.setLines(lines)
	return inv
}

func trialLine(l Line, period Period) Line {
	what := "Trial period"
	l.Amount, l.Period, l.Description = 0, period, &what
	return l
}

// bill makes an invoice one of a subscription.
func (inv *Invoice) bill(s Subscription) {
	inv.Subscription, inv.SubscriptionDetails.Metadata, inv.CollectionMethod = &s.ID, s.Metadata, s.CollectionMethod
	inv.Discount, inv.AutomaticTax.Enabled = s.Discount.current(inv.Created), s.AutomaticTax.Enabled
	if s.CollectionMethod == "send_invoice" {
		due := inv.Created + orZero(s.DaysUntilDue)*day
		inv.DueDate, inv.AutoAdvance = &due, true
	}
}

// itemLine is what an item costs for a period; a metered one costs nothing before it is used.
func (f *Fake) itemLine(s Subscription, item SubscriptionItem, period Period) Line {
	price := item.Price
	if whole, ok := f.prices.Get(price.ID); ok {
		price = whole // with its tiers
	}
	quantity, amount := item.Quantity, int64(0)
	if item.metered() {
		none := int64(0)
		quantity = &none
	} else {
		amount = price.amountOf(orZero(quantity))
	}
	line := f.newLine("subscription", &price, quantity, amount, period)
	product, _ := f.products.Get(price.Product)
	what := product.Name
	line.Description, line.Subscription, line.SubscriptionItem, line.Metadata = &what, &s.ID, &item.ID, s.Metadata
	return line
}

// noteCancellation keeps canceled_at, cancel_at and cancel_at_period_end together.
func (s *Subscription) noteCancellation(now int64) {
	if s.CancelAtPeriodEnd {
		end := s.CurrentPeriodEnd
		s.CancelAt = &end
	}
	switch {
	case s.CancelAt == nil && !s.over():
		s.CanceledAt, s.CancellationDetails.Reason = nil, nil
	case s.CancelAt != nil && s.CanceledAt == nil:
		reason := "cancellation_requested"
		s.CanceledAt, s.CancellationDetails.Reason = &now, &reason
	}
}

// subscribeInBulk gives a customer a card and an active subscription.
func (f *Fake) subscribeInBulk(cus Customer, priceID string) *apiError {
	price, bad := f.priceOfItem("price", priceID)
	if bad != nil {
		return bad
	}
	m, bad := f.method("pm_card_visa", "")
	if bad != nil {
		return bad
	}
	if m, bad = f.attach(m, cus.ID); bad != nil {
		return bad
	}
	s := f.newSubscription(cus)
	s.DefaultPaymentMethod = &m.ID
	s.setItems([]SubscriptionItem{f.newItem(price, 1, s.Created)})
	_, bad = f.subscribe(s, subscribing{})
	return bad
}
