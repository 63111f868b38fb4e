package stripe

import (
	"strings"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// null is a field that the sandbox never fills.
type null = *struct{}

// PaymentMethod is Stripe's payment method; the sandbox has cards.
type PaymentMethod struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	BillingDetails BillingDetails    `json:"billing_details"`
	Card           *Card             `json:"card"`
	Created        int64             `json:"created"`
	Customer       *string           `json:"customer"`
	Livemode       bool              `json:"livemode"`
	Metadata       map[string]string `json:"metadata"`
	Type           string            `json:"type"`
}

// BillingDetails are the payer's.
type BillingDetails struct {
	Address Address `json:"address"`
	Email   *string `json:"email"`
	Name    *string `json:"name"`
	Phone   *string `json:"phone"`
}

// Card is what is shown of a card.
type Card struct {
	Brand       string `json:"brand"`
	Country     string `json:"country"`
	ExpMonth    int64  `json:"exp_month"`
	ExpYear     int64  `json:"exp_year"`
	Fingerprint string `json:"fingerprint"`
	Funding     string `json:"funding"`
	Last4       string `json:"last4"`
	Wallet      null   `json:"wallet"`
}

func (f *Fake) newPaymentMethod(card testCard) PaymentMethod {
	return PaymentMethod{
		ID: f.ids.Next("pm_1", 23), Object: "payment_method", Created: f.now(), Metadata: map[string]string{}, Type: "card",
		Card: &Card{
			Brand: card.brand, Country: "US", ExpMonth: 12, ExpYear: int64(f.cfg.Now().Year()) + 4, Funding: "credit", Last4: card.last4(),
			Fingerprint: ident.Derive(16, "card", card.number),
		},
	}
}

func (f *Fake) createPaymentMethod(c *call) (any, *apiError) {
	if kind := c.form.oneOf("type", "", "card"); kind == "" && *c.form.err == nil {
		return nil, missingParam("type")
	}
	form := c.form.child("card")
	if form == nil {
		return nil, missingParam("card")
	}
	card, bad := readCard(form)
	if bad != nil {
		return nil, bad
	}
	m := f.newPaymentMethod(card)
	if n := form.integer("exp_month"); n != nil {
		m.Card.ExpMonth = *n
	}
	if n := form.integer("exp_year"); n != nil {
		m.Card.ExpYear = *n
	}
	form.text("cvc") // test cards take any
	if bad := readPaymentMethod(c.form, &m); bad != nil {
		return nil, bad
	}
	return m, stored(f.methods.Insert(m.ID, m))
}

// readCard finds a test card by its number or token. It rejects other numbers, so that no real card is ever entered.
func readCard(form *form) (testCard, *apiError) {
	number, _ := form.text("number")
	token, _ := form.text("token")
	number = strings.ReplaceAll(number, " ", "")
	if card, ok := cardBy(func(c testCard) bool { return c.number == number }); ok {
		return card, nil
	}
	if card, ok := cardNamed("tok_", token); ok {
		return card, nil
	}
	if token != "" {
		return testCard{}, noSuchParam("token", "card[token]", token)
	}
	return testCard{}, &apiError{
		status: 402, Type: typeCard, Code: "card_declined", DeclineCode: "test_mode_live_card", Param: "card[number]",
		Message: "Your card was declined. The sandbox takes test cards only, such as 4242424242424242.",
	}
}

func readPaymentMethod(form *form, m *PaymentMethod) *apiError {
	m.Metadata = form.metadata(m.Metadata)
	if d := form.child("billing_details"); d != nil {
		d.optional("email", &m.BillingDetails.Email)
		d.optional("name", &m.BillingDetails.Name)
		d.optional("phone", &m.BillingDetails.Phone)
		address := &m.BillingDetails.Address
		readAddress(d, &address)
		if address != nil {
			m.BillingDetails.Address = *address
		}
	}
	form.lacks("allow_redisplay", "radar_options")
	return form.done()
}

// method finds a saved payment method, or makes one of a test card's name.
func (f *Fake) method(id, param string) (PaymentMethod, *apiError) {
	if m, ok := f.methods.Get(id); ok {
		return m, nil
	}
	if card, ok := cardNamed("pm_card_", id); ok {
		m := f.newPaymentMethod(card)
		return m, stored(f.methods.Insert(m.ID, m))
	}
	return PaymentMethod{}, noSuchParam("PaymentMethod", param, id)
}

func (f *Fake) getPaymentMethod(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	m, ok := f.methods.Get(c.id)
	if !ok {
		return nil, noSuch("PaymentMethod", "payment_method", c.id)
	}
	return m, nil
}

func (f *Fake) updatePaymentMethod(c *call) (any, *apiError) {
	m, ok := f.methods.Get(c.id)
	if !ok {
		return nil, noSuch("PaymentMethod", "payment_method", c.id)
	}
	if form := c.form.child("card"); form != nil && m.Card != nil {
		card := *m.Card // not to be changed in what is stored
		m.Card = &card
		if n := form.integer("exp_month"); n != nil {
			card.ExpMonth = *n
		}
		if n := form.integer("exp_year"); n != nil {
			card.ExpYear = *n
		}
	}
	if bad := readPaymentMethod(c.form, &m); bad != nil {
		return nil, bad
	}
	return m, save(f, f.methods, m.ID, m, "payment_method.updated")
}

func (f *Fake) attachPaymentMethod(c *call) (any, *apiError) {
	customer, _ := c.form.text("customer")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	cus, bad := f.customerOf("customer", customer)
	if bad != nil {
		return nil, bad
	}
	m, bad := f.method(c.id, "payment_method")
	if bad != nil {
		bad.status = 404
		return nil, bad
	}
	return asAny(f.attach(m, cus.ID))
}

// attach saves a card with a customer.
func (f *Fake) attach(m PaymentMethod, customer string) (PaymentMethod, *apiError) {
	if m.Customer != nil && *m.Customer != customer {
		return m, invalidRequest("", "payment_method_unexpected_state", "The payment method you provided has already been attached to a customer.")
	}
	if card := m.testCard(); card.decline != "" && !card.attaches {
		return m, declined(card.decline)
	}
	if m.Customer != nil {
		return m, nil
	}
	m.Customer = &customer
	return m, save(f, f.methods, m.ID, m, "payment_method.attached")
}

func (f *Fake) detachPaymentMethod(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	m, ok := f.methods.Get(c.id)
	if !ok {
		return nil, noSuch("PaymentMethod", "payment_method", c.id)
	}
	if m.Customer == nil {
		return nil, invalidRequest("", "payment_method_unexpected_state", "The payment method you provided is not attached to a customer so detachment is impossible.")
	}
	customer := *m.Customer
	m.Customer = nil
	if bad := stored(f.methods.Insert(m.ID, m)); bad != nil {
		return nil, bad
	}
	f.emitChange("payment_method.detached", m.ID, m, []byte(`{"customer":"`+customer+`"}`))
	if cus, ok := f.customers.Get(customer); ok && orEmpty(cus.InvoiceSettings.DefaultPaymentMethod) == m.ID {
		cus.InvoiceSettings.DefaultPaymentMethod = nil
		if bad := save(f, f.customers, cus.ID, cus, "customer.updated"); bad != nil {
			return nil, bad
		}
	}
	for _, s := range f.subscriptions.All(func(s Subscription) bool { return orEmpty(s.DefaultPaymentMethod) == m.ID && !s.over() }) {
		s.DefaultPaymentMethod = nil
		if bad := save(f, f.subscriptions, s.ID, s, "customer.subscription.updated"); bad != nil {
			return nil, bad
		}
	}
	return m, nil
}

func (f *Fake) listPaymentMethods(c *call) (any, *apiError) {
	customer, _ := c.form.text("customer")
	if c.id != "" {
		customer = c.id
	}
	page := c.form.cursor()
	kind, byKind := c.form.text("type")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.methods, page, "PaymentMethod", "/v1/payment_methods", func(m PaymentMethod) string { return m.ID }, func(m PaymentMethod) bool {
		return customer != "" && orEmpty(m.Customer) == customer && (!byKind || m.Type == kind)
	}))
}

// customerOf finds the customer that a parameter names.
func (f *Fake) customerOf(param, id string) (Customer, *apiError) {
	if id == "" {
		return Customer{}, missingParam(param)
	}
	cus, ok := f.customers.Get(id)
	if !ok || cus.Deleted {
		return Customer{}, noSuchParam("customer", param, id)
	}
	return cus, nil
}
