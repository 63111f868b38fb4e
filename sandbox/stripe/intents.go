package stripe

import "net/http"

// PaymentIntent is Stripe's payment intent, with the fields that the sandbox keeps. Amounts are cents.
type PaymentIntent struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Amount              int64             `json:"amount"`
	AmountCapturable    int64             `json:"amount_capturable"`
	AmountReceived      int64             `json:"amount_received"`
	CanceledAt          *int64            `json:"canceled_at"`
	CancellationReason  *string           `json:"cancellation_reason"`
	CaptureMethod       string            `json:"capture_method"`
	ClientSecret        string            `json:"client_secret"`
	ConfirmationMethod  string            `json:"confirmation_method"`
	Created             int64             `json:"created"`
	Currency            string            `json:"currency"`
	Customer            *string           `json:"customer"`
	Description         *string           `json:"description"`
	Invoice             *string           `json:"invoice"`
	LastPaymentError    *apiError         `json:"last_payment_error"`
	LatestCharge        *string           `json:"latest_charge"`
	Livemode            bool              `json:"livemode"`
	Metadata            map[string]string `json:"metadata"`
	NextAction          *NextAction       `json:"next_action"`
	PaymentMethod       *string           `json:"payment_method"`
	PaymentMethodTypes  []string          `json:"payment_method_types"`
	ReceiptEmail        *string           `json:"receipt_email"`
	SetupFutureUsage    *string           `json:"setup_future_usage"`
	StatementDescriptor *string           `json:"statement_descriptor"`
	Status              string            `json:"status"`
}

// NextAction says what the payer has to do.
type NextAction struct {
	Type string `json:"type"`
}

func (f *Fake) newIntent(amount int64, currency string, customer *string) PaymentIntent {
	pi := PaymentIntent{
		ID: f.ids.Next("pi_3", 23), Object: "payment_intent", Amount: amount, CaptureMethod: "automatic", ConfirmationMethod: "automatic",
		Created: f.now(), Currency: currency, Customer: customer, Metadata: map[string]string{}, PaymentMethodTypes: []string{"card"},
		Status: "requires_payment_method",
	}
	pi.ClientSecret = pi.ID + "_secret_" + f.ids.Next("", 24)
	return pi
}

func (f *Fake) createIntent(c *call) (any, *apiError) {
	amount, currency, bad := readAmount(c.form)
	if bad != nil {
		return nil, bad
	}
	pi := f.newIntent(amount, currency, nil)
	if bad := f.readIntent(c.form, &pi); bad != nil {
		return nil, bad
	}
	var confirm, offSession bool
	c.form.boolean("confirm", &confirm)
	c.form.boolean("off_session", &offSession)
	if auto := c.form.child("automatic_payment_methods"); auto != nil {
		enabled := true
		auto.boolean("enabled", &enabled)
		auto.oneOf("allow_redirects", "always", "always", "never") // cards do not redirect
	}
	c.form.onlyCards()
	c.form.oneOf("confirmation_method", "automatic", "automatic")
	c.form.oneOf("capture_method", "automatic", "automatic", "automatic_async")
	c.form.onlyFalse("error_on_requires_action")
	readNextAction(c.form)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if pi.PaymentMethod != nil {
		pi.Status = "requires_confirmation"
	}
	if bad := save(f, f.intents, pi.ID, pi, "payment_intent.created"); bad != nil {
		return nil, bad
	}
	if !confirm {
		return pi, nil
	}
	return asAny(f.confirm(pi, offSession))
}

// readAmount reads what a charge must have.
func readAmount(form *form) (int64, string, *apiError) {
	amount := form.integer("amount")
	currency, _ := form.text("currency")
	switch {
	case *form.err != nil:
		return 0, "", *form.err
	case amount == nil:
		return 0, "", missingParam("amount")
	case *amount < 50 || *amount > 99_999_999:
		return 0, "", invalidRequest("amount", "amount_too_small", "Amount must be between 50 and 99999999 cents.")
	case len(currency) != 3:
		return 0, "", missingParam("currency")
	}
	return *amount, currency, nil
}

func (f *Fake) readIntent(form *form, pi *PaymentIntent) *apiError {
	if id, ok := form.text("customer"); ok {
		cus, bad := f.customerOf("customer", id)
		if bad != nil {
			return bad
		}
		pi.Customer = &cus.ID
	}
	form.optional("description", &pi.Description)
	form.optional("receipt_email", &pi.ReceiptEmail)
	form.optional("statement_descriptor", &pi.StatementDescriptor)
	if usage := form.oneOf("setup_future_usage", "", "off_session", "on_session"); usage != "" {
		pi.SetupFutureUsage = &usage
	}
	pi.Metadata = form.metadata(pi.Metadata)
	return f.readIntentMethod(form, pi)
}

func (f *Fake) readIntentMethod(form *form, pi *PaymentIntent) *apiError {
	id, ok := form.text("payment_method")
	if !ok {
		return nil
	}
	m, bad := f.method(id, "payment_method")
	if bad != nil {
		return bad
	}
	if m.Customer != nil && orEmpty(pi.Customer) != *m.Customer {
		return invalidRequest("payment_method", "", "The PaymentMethod "+m.ID+" belongs to another Customer; it must be used with the Customer that it belongs to.")
	}
	pi.PaymentMethod = &m.ID
	return nil
}

func (f *Fake) confirmIntent(c *call) (any, *apiError) {
	pi, bad := f.intent(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := f.readIntentMethod(c.form, &pi); bad != nil {
		return nil, bad
	}
	var offSession bool
	c.form.boolean("off_session", &offSession)
	readNextAction(c.form)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.confirm(pi, offSession))
}

// confirm charges the intent's card. A card that is refused leaves the intent for another try.
func (f *Fake) confirm(pi PaymentIntent, offSession bool) (PaymentIntent, *apiError) {
	switch {
	case pi.Status == "succeeded" || pi.Status == "canceled":
		return pi, invalidRequest("", "payment_intent_unexpected_state", "You cannot confirm this PaymentIntent because it has a status of "+pi.Status+".")
	case pi.PaymentMethod == nil:
		return pi, invalidRequest("", "payment_intent_unexpected_state", "You cannot confirm this PaymentIntent because it's missing a payment method.")
	}
	m, bad := f.method(*pi.PaymentMethod, "payment_method")
	if bad != nil {
		return pi, bad
	}
	card := m.testCard()
	switch {
	case card.decline != "":
		return f.refuse(pi, m, declined(card.decline))
	case card.asks && offSession:
		bad := declined("authentication_required")
		bad.Code, bad.Message = "authentication_required", "Your card was declined. This transaction requires authentication."
		return f.refuse(pi, m, bad)
	case card.asks:
		pi.Status, pi.NextAction = "requires_action", &NextAction{"use_stripe_sdk"}
		return pi, save(f, f.intents, pi.ID, pi, "payment_intent.requires_action")
	}
	return f.settle(pi, m)
}

// settle charges a card that is good.
func (f *Fake) settle(pi PaymentIntent, m PaymentMethod) (PaymentIntent, *apiError) {
	ch := f.newCharge(pi, m)
	if bad := save(f, f.charges, ch.ID, ch, "charge.succeeded"); bad != nil {
		return pi, bad
	}
	pi.LatestCharge, pi.LastPaymentError, pi.NextAction = &ch.ID, nil, nil
	pi.AmountReceived, pi.Status = pi.Amount, "succeeded"
	if pi.SetupFutureUsage != nil && pi.Customer != nil && m.Customer == nil {
		if _, bad := f.attach(m, *pi.Customer); bad != nil {
			return pi, bad
		}
	}
	return pi, save(f, f.intents, pi.ID, pi, "payment_intent.succeeded")
}

// refuse notes that a charge has failed; its error goes to the caller.
func (f *Fake) refuse(pi PaymentIntent, m PaymentMethod, why *apiError) (PaymentIntent, *apiError) {
	ch := f.newCharge(pi, m)
	ch.Paid, ch.Captured, ch.AmountCaptured, ch.BalanceTransaction, ch.Status = false, false, 0, nil, "failed"
	ch.FailureCode, ch.FailureMessage = &why.Code, &why.Message
	ch.Outcome = Outcome{NetworkStatus: "declined_by_network", Reason: &why.DeclineCode, RiskLevel: "normal", SellerMessage: "The bank did not approve the charge.", Type: "issuer_declined"}
	if bad := save(f, f.charges, ch.ID, ch, "charge.failed"); bad != nil {
		return pi, bad
	}
	note := *why
	note.PaymentMethod = &m
	note.Charge = ch.ID
	pi.LatestCharge, pi.LastPaymentError, pi.PaymentMethod, pi.Status = &ch.ID, &note, nil, "requires_payment_method"
	if bad := save(f, f.intents, pi.ID, pi, "payment_intent.payment_failed"); bad != nil {
		return pi, bad
	}
	told := note
	told.PaymentIntent = &pi
	return pi, &told
}

func (f *Fake) intent(id string) (PaymentIntent, *apiError) {
	pi, ok := f.intents.Get(id)
	if !ok {
		return PaymentIntent{}, noSuch("payment_intent", "intent", id)
	}
	return pi, nil
}

// readNextAction reads where a payer returns to. The sandbox's banks ask without a redirect, as for callers that use Stripe's script.
func readNextAction(form *form) {
	form.text("return_url")
	scripted := true
	form.boolean("use_stripe_sdk", &scripted)
}

func (f *Fake) getIntent(c *call) (any, *apiError) {
	if secret, sent := c.form.text("client_secret"); sent {
		if pi, ok := f.intents.Get(c.id); ok && pi.ClientSecret != secret {
			return nil, wrongSecret("PaymentIntent")
		}
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.intent(c.id))
}

func (f *Fake) updateIntent(c *call) (any, *apiError) {
	pi, bad := f.intent(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := f.readIntent(c.form, &pi); bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if pi.Status == "requires_payment_method" && pi.PaymentMethod != nil {
		pi.Status = "requires_confirmation"
	}
	return pi, stored(f.intents.Insert(pi.ID, pi))
}

func (f *Fake) cancelIntent(c *call) (any, *apiError) {
	pi, bad := f.intent(c.id)
	if bad != nil {
		return nil, bad
	}
	reason := c.form.oneOf("cancellation_reason", "", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if pi.Status == "succeeded" || pi.Status == "canceled" {
		return nil, invalidRequest("", "payment_intent_unexpected_state", "You cannot cancel this PaymentIntent because it has a status of "+pi.Status+".")
	}
	return asAny(f.abandon(pi, reason))
}

// abandon cancels an intent.
func (f *Fake) abandon(pi PaymentIntent, reason string) (PaymentIntent, *apiError) {
	at := f.now()
	pi.Status, pi.CanceledAt, pi.NextAction = "canceled", &at, nil
	if reason != "" {
		pi.CancellationReason = &reason
	}
	return pi, save(f, f.intents, pi.ID, pi, "payment_intent.canceled")
}

func (f *Fake) listIntents(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	customer, byCustomer := c.form.text("customer")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.intents, page, "payment_intent", "/v1/payment_intents", func(pi PaymentIntent) string { return pi.ID }, func(pi PaymentIntent) bool {
		return created(pi.Created) && (!byCustomer || orEmpty(pi.Customer) == customer)
	}))
}

// Authenticate answers for the payer when the bank asks. The error says that it does not.
func (f *Fake) Authenticate(intent string, agrees bool) (PaymentIntent, error) {
	return act(f, func() (PaymentIntent, *apiError) {
		pi, bad := f.intent(intent)
		if bad != nil {
			return pi, bad
		}
		if pi, bad = f.authenticate(pi, agrees); bad != nil {
			return pi, bad
		}
		return pi, f.authenticated(pi)
	})
}

// authenticated continues with the invoice that the intent pays.
func (f *Fake) authenticated(pi PaymentIntent) *apiError {
	inv, ok := f.invoices.Get(orEmpty(pi.Invoice))
	if !ok || inv.Status != "open" {
		return nil
	}
	if pi.Status == "succeeded" {
		_, bad := f.markPaid(inv, pi.LatestCharge, false)
		return bad
	}
	why := declined("authentication_required")
	if _, bad := f.notPaid(inv, why); bad != why {
		return bad
	}
	return nil
}

// authenticate is what the payer does when the bank asks.
func (f *Fake) authenticate(pi PaymentIntent, agrees bool) (PaymentIntent, *apiError) {
	if pi.Status != "requires_action" || pi.PaymentMethod == nil {
		return pi, invalidRequest("", "payment_intent_unexpected_state", "The payment intent "+pi.ID+" does not wait for the payer: it has a status of "+pi.Status+".")
	}
	m, bad := f.method(*pi.PaymentMethod, "payment_method")
	if bad != nil {
		return pi, bad
	}
	if agrees {
		return f.settle(pi, m)
	}
	why := declined("authentication_required")
	why.Code, why.Message = "payment_intent_authentication_failure", "The provided PaymentMethod has failed authentication."
	pi, bad = f.refuse(pi, m, why)
	if bad.status == http.StatusPaymentRequired {
		bad = nil // it is what was asked for
	}
	return pi, bad
}
