package stripe

// Charge is Stripe's charge. Amounts are cents.
type Charge struct {
	ID                            string            `json:"id"`
	Object                        string            `json:"object"`
	Amount                        int64             `json:"amount"`
	AmountCaptured                int64             `json:"amount_captured"`
	AmountRefunded                int64             `json:"amount_refunded"`
	BalanceTransaction            *string           `json:"balance_transaction"`
	BillingDetails                BillingDetails    `json:"billing_details"`
	CalculatedStatementDescriptor string            `json:"calculated_statement_descriptor"`
	Captured                      bool              `json:"captured"`
	Created                       int64             `json:"created"`
	Currency                      string            `json:"currency"`
	Customer                      *string           `json:"customer"`
	Description                   *string           `json:"description"`
	Disputed                      bool              `json:"disputed"`
	FailureCode                   *string           `json:"failure_code"`
	FailureMessage                *string           `json:"failure_message"`
	Invoice                       *string           `json:"invoice"`
	Livemode                      bool              `json:"livemode"`
	Metadata                      map[string]string `json:"metadata"`
	Outcome                       Outcome           `json:"outcome"`
	Paid                          bool              `json:"paid"`
	PaymentIntent                 *string           `json:"payment_intent"`
	PaymentMethod                 string            `json:"payment_method"`
	PaymentMethodDetails          MethodDetails     `json:"payment_method_details"`
	ReceiptEmail                  *string           `json:"receipt_email"`
	ReceiptURL                    *string           `json:"receipt_url"`
	Refunded                      bool              `json:"refunded"`
	Status                        string            `json:"status"`
}

// Outcome says how the bank answered.
type Outcome struct {
	NetworkStatus string  `json:"network_status"`
	Reason        *string `json:"reason"`
	RiskLevel     string  `json:"risk_level"`
	SellerMessage string  `json:"seller_message"`
	Type          string  `json:"type"`
}

// MethodDetails is the card as it was charged.
type MethodDetails struct {
	Card *Card  `json:"card"`
	Type string `json:"type"`
}

// newCharge is one that has passed.
func (f *Fake) newCharge(pi PaymentIntent, m PaymentMethod) Charge {
	transaction := f.ids.Next("txn_3", 23)
	return Charge{
		ID: f.ids.Next("ch_3", 23), Object: "charge", Amount: pi.Amount, AmountCaptured: pi.Amount, BalanceTransaction: &transaction,
		BillingDetails: m.BillingDetails, CalculatedStatementDescriptor: "TRIVET SANDBOX", Captured: true, Created: f.now(), Currency: pi.Currency,
		Customer: pi.Customer, Description: pi.Description, Invoice: pi.Invoice, Metadata: pi.Metadata,
		Outcome: Outcome{NetworkStatus: "approved_by_network", RiskLevel: "normal", SellerMessage: "Payment complete.", Type: "authorized"},
		Paid:    true, PaymentIntent: &pi.ID, PaymentMethod: m.ID, PaymentMethodDetails: MethodDetails{m.Card, m.Type},
		ReceiptEmail: pi.ReceiptEmail, Status: "succeeded",
	}
}

func (f *Fake) charge(id, param string) (Charge, *apiError) {
	ch, ok := f.charges.Get(id)
	if !ok {
		return Charge{}, noSuch("charge", param, id)
	}
	return ch, nil
}

func (f *Fake) getCharge(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.charge(c.id, "id"))
}

func (f *Fake) updateCharge(c *call) (any, *apiError) {
	ch, bad := f.charge(c.id, "id")
	if bad != nil {
		return nil, bad
	}
	c.form.optional("description", &ch.Description)
	c.form.optional("receipt_email", &ch.ReceiptEmail)
	ch.Metadata = c.form.metadata(ch.Metadata)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return ch, save(f, f.charges, ch.ID, ch, "charge.updated")
}

func (f *Fake) listCharges(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	customer, byCustomer := c.form.text("customer")
	intent, byIntent := c.form.text("payment_intent")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.charges, page, "charge", "/v1/charges", func(ch Charge) string { return ch.ID }, func(ch Charge) bool {
		return created(ch.Created) && (!byCustomer || orEmpty(ch.Customer) == customer) && (!byIntent || orEmpty(ch.PaymentIntent) == intent)
	}))
}
