package stripe

import (
	"slices"
	"strings"
)

// PortalSession is Stripe's billing portal session.
type PortalSession struct {
	ID            string  `json:"id"`
	Object        string  `json:"object"`
	Configuration string  `json:"configuration"`
	Created       int64   `json:"created"`
	Customer      string  `json:"customer"`
	Flow          null    `json:"flow"`
	Livemode      bool    `json:"livemode"`
	Locale        *string `json:"locale"`
	OnBehalfOf    null    `json:"on_behalf_of"`
	ReturnURL     *string `json:"return_url"`
	URL           string  `json:"url"`
}

func (f *Fake) createPortal(c *call) (any, *apiError) {
	id, _ := c.form.text("customer")
	cus, bad := f.customerOf("customer", id)
	if bad != nil {
		return nil, bad
	}
	p := PortalSession{
		ID: f.ids.Next("bps_1", 23), Object: "billing_portal.session", Configuration: "bpc_1TrivetSandbox", Created: f.now(), Customer: cus.ID,
	}
	p.URL = c.base + "/portal/" + p.ID
	c.form.optional("return_url", &p.ReturnURL)
	c.form.optional("locale", &p.Locale)
	p.Configuration = textOr(c.form, "configuration", p.Configuration)
	if c.form.child("flow_data") != nil {
		return nil, invalidRequest("flow_data", "", "The sandbox's portal has no flows.")
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if u := orEmpty(p.ReturnURL); u != "" && !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
		return nil, invalidRequest("return_url", "url_invalid", "Not a valid URL")
	}
	if configured, ok := f.portalConfiguration(p.Configuration); !ok || !configured.Active {
		return nil, noSuchParam("configuration", "configuration", p.Configuration)
	}
	return p, save(f, f.portals, p.ID, p, "billing_portal.session.created")
}

// portalChange is what a person can do in the portal.
type portalChange struct {
	action, subscription, invoice, card string
	// taxID is the value of one to add, or the id of one to remove.
	taxKind, taxID string
}

func (f *Fake) applyPortal(p PortalSession, in portalChange) *apiError {
	cus, bad := f.customerOf("customer", p.Customer)
	if bad != nil {
		return bad
	}
	if !f.featuresOf(p).allow(in.action) {
		return invalidRequest("action", "", "The configuration of this portal does not allow the action "+in.action+".")
	}
	switch in.action {
	case "card":
		return f.replaceCard(cus, in.card)
	case "pay":
		return f.payFromPortal(cus, in)
	case "add_tax_id":
		_, bad := f.newTaxID(cus.ID, in.taxKind, in.taxID)
		return bad
	case "remove_tax_id":
		return f.dropTaxID(cus.ID, in.taxID)
	}
	s, bad := f.subscription(in.subscription)
	if bad != nil {
		return bad
	}
	if s.Customer != cus.ID || s.over() {
		return noSuch("subscription", "subscription", in.subscription)
	}
	now := f.timeOf(cus)
	switch in.action {
	case "cancel":
		s.CancelAtPeriodEnd = true
	case "resume":
		s.CancelAtPeriodEnd, s.CancelAt = false, nil
	case "cancel_now":
		_, bad := f.cancel(s, now)
		return bad
	default:
		return invalidRequest("action", "", "The portal has no action "+in.action+".")
	}
	s.noteCancellation(now)
	return save(f, f.subscriptions, s.ID, s, "customer.subscription.updated")
}

// featuresOf returns the features of a session's configuration.
func (f *Fake) featuresOf(p PortalSession) PortalFeatures {
	configured, _ := f.portalConfiguration(p.Configuration)
	return configured.Features
}

// allow tells whether an action of the page is on.
func (p PortalFeatures) allow(action string) bool {
	switch action {
	case "card":
		return p.PaymentMethodUpdate.Enabled
	case "pay":
		return p.InvoiceHistory.Enabled
	case "cancel", "resume", "cancel_now":
		return p.SubscriptionCancel.Enabled
	case "add_tax_id", "remove_tax_id":
		return p.EditTaxIDs()
	}
	return true
}

// EditTaxIDs tells whether a person can add and remove tax ids.
func (p PortalFeatures) EditTaxIDs() bool {
	return p.CustomerUpdate.Enabled && slices.Contains(p.CustomerUpdate.AllowedUpdates, "tax_id")
}

// replaceCard saves a test card as the customer's default.
func (f *Fake) replaceCard(cus Customer, name string) *apiError {
	m, bad := f.method("pm_card_"+name, "card")
	if bad != nil {
		return bad
	}
	if m, bad = f.attach(m, cus.ID); bad != nil {
		return bad
	}
	cus.InvoiceSettings.DefaultPaymentMethod = &m.ID
	if bad := save(f, f.customers, cus.ID, cus, "customer.updated"); bad != nil {
		return bad
	}
	for _, s := range f.subscriptions.All(func(s Subscription) bool { return s.Customer == cus.ID && !s.over() && s.DefaultPaymentMethod != nil }) {
		s.DefaultPaymentMethod = &m.ID
		if bad := save(f, f.subscriptions, s.ID, s, "customer.subscription.updated"); bad != nil {
			return bad
		}
	}
	return nil
}

func (f *Fake) payFromPortal(cus Customer, in portalChange) *apiError {
	inv, bad := f.invoice(in.invoice)
	if bad != nil {
		return bad
	}
	if inv.Customer != cus.ID || inv.Status != "open" {
		return noSuch("open invoice", "invoice", in.invoice)
	}
	method := ""
	if in.card != "" {
		method = "pm_card_" + in.card
	}
	inv, bad = f.collect(inv, method, false)
	if bad != nil {
		return bad
	}
	if pi, ok := f.intents.Get(orEmpty(inv.PaymentIntent)); ok && pi.Status == "requires_action" {
		if pi, bad = f.authenticate(pi, true); bad != nil {
			return bad
		}
		_, bad = f.markPaid(inv, pi.LatestCharge, false)
	}
	return bad
}

// headlineOf returns the headline of a session's configuration; "" without one.
func (f *Fake) headlineOf(p PortalSession) string {
	configured, _ := f.portalConfiguration(p.Configuration)
	return orEmpty(configured.BusinessProfile.Headline)
}
