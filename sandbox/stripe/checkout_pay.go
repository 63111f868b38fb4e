package stripe

import "strings"

// payment is what a payer enters on the page.
type payment struct {
	card  string // the name of a test card: "visa"
	email string
}

// Pay pays a checkout session as a person would on its page, with a test card such as "visa". It returns where the
// person is sent then. The error says why not: the card was declined, the session is not open.
func (f *Fake) Pay(session, card, email string) (string, error) {
	return act(f, func() (string, *apiError) {
		co, bad := f.checkout(session)
		if bad != nil {
			return "", bad
		}
		co, bad = f.payCheckout(co, payment{card, email}, f.cfg.PublicURL)
		return co.returnURL(), bad
	})
}

// returnURL is where a payer goes, with the session's identifier in the place of its placeholder.
func (co checkout) returnURL() string {
	return strings.ReplaceAll(orEmpty(co.Session.SuccessURL), "{CHECKOUT_SESSION_ID}", co.Session.ID)
}

func (f *Fake) payCheckout(co checkout, p payment, base string) (checkout, *apiError) {
	if co.Session.Status != "open" {
		return co, invalidRequest("", "", "This checkout session is "+co.Session.Status+".")
	}
	card, ok := cardNamed("", p.card)
	if !ok {
		return co, invalidRequest("card", "", "Unknown test card: "+p.card+".")
	}
	if card.decline != "" {
		return co, declined(card.decline)
	}
	cus, bad := f.payer(co, p.email)
	if bad != nil {
		return co, bad
	}
	m := f.newPaymentMethod(card)
	m.BillingDetails.Email = co.payerEmail(cus, p.email)
	if bad := stored(f.methods.Insert(m.ID, m)); bad != nil {
		return co, bad
	}
	pay := f.payOnce
	if co.Session.Mode == "subscription" {
		pay = f.payAndSubscribe
	}
	if co, bad = pay(co, cus, m, base); bad != nil {
		return co, bad
	}
	s := &co.Session
	s.CustomerDetails = &CustomerDetails{Email: m.BillingDetails.Email, TaxExempt: "none", TaxIDs: []struct{}{}}
	s.Status, s.URL = "complete", nil
	s.PaymentStatus = map[bool]string{true: "no_payment_required", false: "paid"}[s.AmountTotal == 0]
	if cus != nil {
		s.Customer, s.CustomerDetails.Name = &cus.ID, cus.Name
	}
	return co, save(f, f.checkouts, s.ID, co, "checkout.session.completed")
}

func (co checkout) payerEmail(cus *Customer, typed string) *string {
	if typed != "" {
		return &typed
	}
	if co.Session.CustomerEmail != nil {
		return co.Session.CustomerEmail
	}
	if cus != nil {
		return cus.Email
	}
	return nil
}

// payer is the session's customer, or a new one; a guest is nil.
func (f *Fake) payer(co checkout, typed string) (*Customer, *apiError) {
	if co.Session.Customer != nil {
		cus, bad := f.customerOf("customer", *co.Session.Customer)
		return &cus, bad
	}
	if !co.NewCustomer {
		return nil, nil
	}
	cus := f.newCustomer()
	cus.Email = co.payerEmail(nil, typed)
	return &cus, save(f, f.customers, cus.ID, cus, "customer.created")
}

func (f *Fake) payOnce(co checkout, cus *Customer, m PaymentMethod, base string) (checkout, *apiError) {
	pi := f.newIntent(co.Session.AmountTotal, co.Session.Currency, nil)
	if cus != nil {
		pi.Customer = &cus.ID
	}
	pi.PaymentMethod, pi.Description, pi.Metadata, pi.SetupFutureUsage = &m.ID, co.Description, co.Metadata, co.FutureUsage
	co.Session.PaymentIntent = &pi.ID
	if bad := save(f, f.intents, pi.ID, pi, "payment_intent.created"); bad != nil {
		return co, bad
	}
	pi, bad := f.settle(pi, m) // the payer is there, and agrees when the bank asks
	if bad != nil || !co.MakesInvoices || cus == nil {
		return co, bad
	}
	return f.invoicePaid(co, *cus, pi, base)
}

// invoicePaid makes the invoice of a payment that has been made.
func (f *Fake) invoicePaid(co checkout, cus Customer, pi PaymentIntent, base string) (checkout, *apiError) {
	inv := f.newInvoice(cus, co.Session.Currency, "manual")
	var lines []Line
	for _, l := range co.Lines {
		quantity := l.Quantity
		lines = append(lines, f.newLine("invoiceitem", &l.Price, &quantity, l.AmountTotal, Period{inv.Created, inv.Created}))
	}
	inv.setLines(lines)
	inv.AutoAdvance, inv.Description = false, co.Description
	inv, bad := f.open(inv, base)
	if bad != nil {
		return co, bad
	}
	pi.Invoice, inv.PaymentIntent = &inv.ID, &pi.ID
	if bad := save(f, f.intents, pi.ID, pi); bad != nil {
		return co, bad
	}
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.created", "invoice.finalized"); bad != nil {
		return co, bad
	}
	co.Session.Invoice = &inv.ID
	_, bad = f.markPaid(inv, pi.LatestCharge, false)
	return co, bad
}

func (f *Fake) payAndSubscribe(co checkout, cus *Customer, m PaymentMethod, base string) (checkout, *apiError) {
	m, bad := f.attach(m, cus.ID)
	if bad != nil {
		return co, bad
	}
	s := f.newSubscription(*cus)
	s.DefaultPaymentMethod, s.Metadata, s.Description = &m.ID, co.Metadata, co.Description
	how := subscribing{onPage: true, base: base, partial: true}
	var items []SubscriptionItem
	for _, l := range co.Lines {
		if l.Price.Recurring != nil {
			items = append(items, f.newItem(l.Price, l.Quantity, s.Created))
			continue
		}
		quantity := l.Quantity
		how.lines = append(how.lines, f.newLine("invoiceitem", &l.Price, &quantity, l.AmountTotal, Period{s.Created, s.Created}))
	}
	s.setItems(items)
	if end := max(co.TrialEnd, s.Created+co.TrialDays*day); end > s.Created {
		s.TrialStart, s.TrialEnd, s.BillingCycleAnchor = &s.Created, &end, end
	}
	if s, bad = f.subscribe(s, how); bad != nil {
		return co, bad
	}
	inv, bad := f.invoice(orEmpty(s.LatestInvoice))
	if bad != nil {
		return co, bad
	}
	if pi, ok := f.intents.Get(orEmpty(inv.PaymentIntent)); ok && pi.Status == "requires_action" {
		if pi, bad = f.authenticate(pi, true); bad != nil {
			return co, bad
		}
		if _, bad := f.markPaid(inv, pi.LatestCharge, false); bad != nil {
			return co, bad
		}
	}
	co.Session.Subscription, co.Session.Invoice = &s.ID, s.LatestInvoice
	return co, nil
}
