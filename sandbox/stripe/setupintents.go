package stripe

// SetupIntent is Stripe's setup intent: a card is saved for later without a payment.
type SetupIntent struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	CancellationReason *string           `json:"cancellation_reason"`
	ClientSecret       string            `json:"client_secret"`
	Created            int64             `json:"created"`
	Customer           *string           `json:"customer"`
	Description        *string           `json:"description"`
	LastSetupError     *apiError         `json:"last_setup_error"`
	LatestAttempt      *string           `json:"latest_attempt"`
	Livemode           bool              `json:"livemode"`
	Mandate            *string           `json:"mandate"`
	Metadata           map[string]string `json:"metadata"`
	NextAction         *NextAction       `json:"next_action"`
	PaymentMethod      *string           `json:"payment_method"`
	PaymentMethodTypes []string          `json:"payment_method_types"`
	Status             string            `json:"status"`
	Usage              string            `json:"usage"`
}

// beginSetup makes the setup intent of a checkout session. It succeeds when the payer has entered a card.
func (f *Fake) beginSetup(co *checkout) *apiError {
	si := SetupIntent{
		ID: f.ids.Next("seti_1", 23), Object: "setup_intent", Created: f.now(), Customer: co.Session.Customer, Description: co.Description,
		Metadata: co.Metadata, PaymentMethodTypes: []string{"card"}, Status: "requires_payment_method", Usage: "off_session",
	}
	si.ClientSecret = si.ID + "_secret_" + f.ids.Next("", 24)
	co.Session.SetupIntent = &si.ID
	return save(f, f.setups, si.ID, si, "setup_intent.created")
}

// setUp saves the payer's card. The payer is there, and agrees when the bank asks.
func (f *Fake) setUp(co checkout, cus *Customer, m *PaymentMethod) (checkout, *apiError) {
	si, ok := f.setups.Get(orEmpty(co.Session.SetupIntent))
	if !ok {
		return co, noSuch("setupintent", "intent", orEmpty(co.Session.SetupIntent))
	}
	if m == nil {
		return co, missingParam("card")
	}
	if cus != nil {
		attached, bad := f.attach(*m, cus.ID)
		if bad != nil {
			return co, bad
		}
		m, si.Customer = &attached, &cus.ID
	}
	si.PaymentMethod, si.Status = &m.ID, "succeeded"
	return co, save(f, f.setups, si.ID, si, "setup_intent.succeeded")
}

func (f *Fake) getSetupIntent(c *call) (any, *apiError) {
	secret, sent := c.form.text("client_secret")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	si, ok := f.setups.Get(c.id)
	switch {
	case !ok:
		return nil, noSuch("setupintent", "intent", c.id)
	case sent && secret != si.ClientSecret:
		return nil, wrongSecret("SetupIntent")
	}
	return si, nil
}

func wrongSecret(kind string) *apiError {
	return invalidRequest("client_secret", "", "The client_secret provided does not match the client_secret associated with this "+kind+".")
}

func (f *Fake) listSetupIntents(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	customer, byCustomer := c.form.text("customer")
	method, byMethod := c.form.text("payment_method")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.setups, page, "setupintent", "/v1/setup_intents", func(si SetupIntent) string { return si.ID }, func(si SetupIntent) bool {
		return created(si.Created) && (!byCustomer || orEmpty(si.Customer) == customer) && (!byMethod || orEmpty(si.PaymentMethod) == method)
	}))
}
