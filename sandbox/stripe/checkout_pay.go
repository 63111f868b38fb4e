package stripe

import "strings"

// Payer is who pays on the page of a checkout session.
type Payer struct {
	// Card is the name of a test card, such as "visa". Without one, only what costs nothing can be had.
	Card, Email string
	// Country is that of the address, such as "DE", and TaxID the tax id of a business there; both may be empty.
	Country, TaxID string
	// Code is a promotion code; may be empty.
	Code string
}

// Pay pays a checkout session as a person would on its page, with a test card such as "visa". It returns where the
// person is sent then. The error says why not: the card was declined, the session is not open.
func (f *Fake) Pay(session, card, email string) (string, error) {
	return f.PayAs(session, Payer{Card: card, Email: email})
}

// PayAs is Pay for a payer who enters more than a card and an address.
func (f *Fake) PayAs(session string, p Payer) (string, error) {
	return act(f, func() (string, *apiError) {
		co, bad := f.checkout(session)
		if bad != nil {
			return "", bad
		}
		co, bad = f.payCheckout(co, p, f.cfg.PublicURL)
		return co.returnURL(), bad
	})
}

// returnURL is where a payer goes, with the session's identifier in the place of its placeholder.
func (co checkout) returnURL() string {
	return strings.ReplaceAll(orEmpty(co.Session.SuccessURL), "{CHECKOUT_SESSION_ID}", co.Session.ID)
}

func (f *Fake) payCheckout(co checkout, p Payer, base string) (checkout, *apiError) {
	if co.Session.Status != "open" {
		return co, invalidRequest("", "", "This checkout session is "+co.Session.Status+".")
	}
	if bad := f.enterCode(&co, p.Code); bad != nil {
		return co, bad
	}
	m, bad := f.cardOfPayer(co, p)
	if bad != nil {
		return co, bad
	}
	cus, bad := f.payer(co, p.Email)
	if bad != nil {
		return co, bad
	}
	if bad := f.enterAddress(co, cus, p); bad != nil {
		return co, bad
	}
	if co.Session.Mode != "setup" {
		if bad := f.priceCheckout(&co, cus); bad != nil {
			return co, bad
		}
	}
	if m != nil {
		m.BillingDetails.Email = co.payerEmail(cus, p.Email)
		if bad := stored(f.methods.Insert(m.ID, *m)); bad != nil {
			return co, bad
		}
	}
	pay := f.payOnce
	switch co.Session.Mode {
	case "subscription":
		pay = f.payAndSubscribe
	case "setup":
		pay = func(co checkout, cus *Customer, m *PaymentMethod, _ string) (checkout, *apiError) {
			return f.setUp(co, cus, m)
		}
	}
	if co, bad = pay(co, cus, m, base); bad != nil {
		return co, bad
	}
	s := &co.Session
	s.CustomerDetails = &CustomerDetails{Email: co.payerEmail(cus, p.Email), TaxExempt: "none", TaxIDs: []struct{}{}}
	s.Status, s.URL = "complete", nil
	s.PaymentStatus = map[bool]string{true: "no_payment_required", false: "paid"}[s.AmountTotal == 0]
	if cus != nil {
		s.Customer, s.CustomerDetails.Name, s.CustomerDetails.Address = &cus.ID, cus.Name, cus.Address
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

func (f *Fake) payOnce(co checkout, cus *Customer, m *PaymentMethod, base string) (checkout, *apiError) {
	if co.Session.AmountTotal == 0 || m == nil {
		if !co.MakesInvoices || cus == nil {
			return co, nil
		}
		return f.invoicePaid(co, *cus, nil, base)
	}
	pi := f.newIntent(co.Session.AmountTotal, co.Session.Currency, nil)
	if cus != nil {
		pi.Customer = &cus.ID
	}
	pi.PaymentMethod, pi.Description, pi.Metadata, pi.SetupFutureUsage = &m.ID, co.Description, co.Metadata, co.FutureUsage
	co.Session.PaymentIntent = &pi.ID
	if bad := save(f, f.intents, pi.ID, pi, "payment_intent.created"); bad != nil {
		return co, bad
	}
	pi, bad := f.settle(pi, *m) // the payer is there, and agrees when the bank asks
	if bad != nil || !co.MakesInvoices || cus == nil {
		return co, bad
	}
	return f.invoicePaid(co, *cus, &pi, base)
}

// invoicePaid makes the invoice of a payment that has been made; nil when nothing was to be paid.
func (f *Fake) invoicePaid(co checkout, cus Customer, pi *PaymentIntent, base string) (checkout, *apiError) {
	inv, bad := f.checkoutInvoice(co, cus)
	if bad != nil {
		return co, bad
	}
	if bad := f.redeemed(inv.Discount, co); bad != nil {
		return co, bad
	}
	inv.AutoAdvance, inv.Description, inv.EndingBalance = false, co.Description, new(int64)
	if inv, bad = f.open(inv, base); bad != nil {
		return co, bad
	}
	var charge *string
	if pi != nil {
		pi.Invoice, inv.PaymentIntent, charge = &inv.ID, &pi.ID, pi.LatestCharge
		if bad := save(f, f.intents, pi.ID, *pi); bad != nil {
			return co, bad
		}
	}
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.created", "invoice.finalized"); bad != nil {
		return co, bad
	}
	co.Session.Invoice = &inv.ID
	_, bad = f.markPaid(inv, charge, false)
	return co, bad
}

func (f *Fake) payAndSubscribe(co checkout, cus *Customer, m *PaymentMethod, base string) (checkout, *apiError) {
	s := f.newSubscription(*cus)
	if m != nil {
		attached, bad := f.attach(*m, cus.ID)
		if bad != nil {
			return co, bad
		}
		s.DefaultPaymentMethod = &attached.ID
	}
	s.Metadata, s.Description, s.AutomaticTax.Enabled = co.Metadata, co.Description, co.Session.AutomaticTax.Enabled
	s.TrialSettings.EndBehavior.MissingPaymentMethod = orDefault(co.WithoutCard, s.TrialSettings.EndBehavior.MissingPaymentMethod)
	o, bad := f.checkoutOffer(co, cus.ID)
	if bad != nil {
		return co, bad
	}
	if o != nil {
		d, bad := f.redeem(*o, s.Created)
		if bad != nil {
			return co, bad
		}
		d.CheckoutSession = &co.Session.ID
		s.discount(d)
	}
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
