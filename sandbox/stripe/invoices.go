package stripe

// Invoice is Stripe's invoice, with the fields that the sandbox keeps. Amounts are cents.
type Invoice struct {
	ID                           string              `json:"id"`
	Object                       string              `json:"object"`
	AccountCountry               string              `json:"account_country"`
	AccountName                  string              `json:"account_name"`
	AmountDue                    int64               `json:"amount_due"`
	AmountPaid                   int64               `json:"amount_paid"`
	AmountRemaining              int64               `json:"amount_remaining"`
	AmountShipping               int64               `json:"amount_shipping"`
	AttemptCount                 int64               `json:"attempt_count"`
	Attempted                    bool                `json:"attempted"`
	AutoAdvance                  bool                `json:"auto_advance"`
	AutomaticTax                 AutomaticTax        `json:"automatic_tax"`
	BillingReason                string              `json:"billing_reason"`
	Charge                       *string             `json:"charge"`
	CollectionMethod             string              `json:"collection_method"`
	Created                      int64               `json:"created"`
	Currency                     string              `json:"currency"`
	CustomFields                 null                `json:"custom_fields"`
	Customer                     string              `json:"customer"`
	CustomerAddress              *Address            `json:"customer_address"`
	CustomerEmail                *string             `json:"customer_email"`
	CustomerName                 *string             `json:"customer_name"`
	CustomerPhone                *string             `json:"customer_phone"`
	CustomerTaxExempt            string              `json:"customer_tax_exempt"`
	CustomerTaxIDs               []InvoiceTaxID      `json:"customer_tax_ids"`
	DefaultPaymentMethod         *string             `json:"default_payment_method"`
	DefaultTaxRates              []struct{}          `json:"default_tax_rates"`
	Description                  *string             `json:"description"`
	Discount                     *Discount           `json:"discount"`
	Discounts                    []string            `json:"discounts"`
	DueDate                      *int64              `json:"due_date"`
	EffectiveAt                  *int64              `json:"effective_at"`
	EndingBalance                *int64              `json:"ending_balance"`
	Footer                       *string             `json:"footer"`
	HostedInvoiceURL             *string             `json:"hosted_invoice_url"`
	InvoicePDF                   *string             `json:"invoice_pdf"`
	Lines                        countedList[Line]   `json:"lines"`
	Livemode                     bool                `json:"livemode"`
	Metadata                     map[string]string   `json:"metadata"`
	NextPaymentAttempt           *int64              `json:"next_payment_attempt"`
	Number                       *string             `json:"number"`
	Paid                         bool                `json:"paid"`
	PaidOutOfBand                bool                `json:"paid_out_of_band"`
	PaymentIntent                *string             `json:"payment_intent"`
	PeriodEnd                    int64               `json:"period_end"`
	PeriodStart                  int64               `json:"period_start"`
	PostPaymentCreditNotesAmount int64               `json:"post_payment_credit_notes_amount"`
	PrePaymentCreditNotesAmount  int64               `json:"pre_payment_credit_notes_amount"`
	StartingBalance              int64               `json:"starting_balance"`
	Status                       string              `json:"status"`
	StatusTransitions            StatusTransitions   `json:"status_transitions"`
	Subscription                 *string             `json:"subscription"`
	SubscriptionDetails          SubscriptionDetails `json:"subscription_details"`
	Subtotal                     int64               `json:"subtotal"`
	SubtotalExcludingTax         int64               `json:"subtotal_excluding_tax"`
	Tax                          *int64              `json:"tax"`
	TestClock                    *string             `json:"test_clock"`
	Total                        int64               `json:"total"`
	TotalDiscountAmounts         []DiscountAmount    `json:"total_discount_amounts"`
	TotalExcludingTax            int64               `json:"total_excluding_tax"`
	TotalTaxAmounts              []TaxAmount         `json:"total_tax_amounts"`
	WebhooksDeliveredAt          *int64              `json:"webhooks_delivered_at"`
}

// AutomaticTax says whether tax is worked out, by the country of the customer.
type AutomaticTax struct {
	Enabled bool    `json:"enabled"`
	Status  *string `json:"status"`
}

// StatusTransitions are when an invoice came into its states.
type StatusTransitions struct {
	FinalizedAt           *int64 `json:"finalized_at"`
	MarkedUncollectibleAt *int64 `json:"marked_uncollectible_at"`
	PaidAt                *int64 `json:"paid_at"`
	VoidedAt              *int64 `json:"voided_at"`
}

// SubscriptionDetails are the subscription's when the invoice was made.
type SubscriptionDetails struct {
	Metadata map[string]string `json:"metadata"`
}

// Line is one line of an invoice.
type Line struct {
	ID               string            `json:"id"`
	Object           string            `json:"object"`
	Amount           int64             `json:"amount"`
	AmountExclTax    int64             `json:"amount_excluding_tax"`
	Currency         string            `json:"currency"`
	Description      *string           `json:"description"`
	DiscountAmounts  []DiscountAmount  `json:"discount_amounts"`
	Discountable     bool              `json:"discountable"`
	Discounts        []struct{}        `json:"discounts"`
	Invoice          string            `json:"invoice"`
	InvoiceItem      *string           `json:"invoice_item,omitempty"`
	Livemode         bool              `json:"livemode"`
	Metadata         map[string]string `json:"metadata"`
	Period           Period            `json:"period"`
	Plan             *Plan             `json:"plan"`
	Price            *Price            `json:"price"`
	Proration        bool              `json:"proration"`
	Quantity         *int64            `json:"quantity"`
	Subscription     *string           `json:"subscription"`
	SubscriptionItem *string           `json:"subscription_item,omitempty"`
	TaxAmounts       []TaxAmount       `json:"tax_amounts"`
	TaxRates         []struct{}        `json:"tax_rates"`
	Type             string            `json:"type"`
}

// Period is a span of time in seconds.
type Period struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// countedList is a list that is part of an object. It is stored whole.
type countedList[T any] struct {
	Object     string `json:"object"`
	Data       []T    `json:"data"`
	HasMore    bool   `json:"has_more"`
	TotalCount int    `json:"total_count"`
	URL        string `json:"url"`
}

func counted[T any](data []T, url string) countedList[T] {
	return countedList[T]{Object: "list", Data: data, TotalCount: len(data), URL: url}
}

// embedded is the list as it is shown inside of its object.
func (l countedList[T]) embedded() countedList[T] {
	if len(l.Data) > maxEmbedded {
		l.Data, l.HasMore = l.Data[:maxEmbedded], true
	}
	return l
}

// newInvoice is a draft without lines.
func (f *Fake) newInvoice(cus Customer, currency, reason string) Invoice {
	now := f.timeOf(cus)
	inv := Invoice{
		ID: f.ids.Next("in_1", 23), Object: "invoice", AccountCountry: "US", AccountName: "Trivet sandbox", AutoAdvance: true, BillingReason: reason,
		CollectionMethod: "charge_automatically", Created: now, Currency: currency, Customer: cus.ID, CustomerAddress: cus.Address,
		CustomerEmail: cus.Email, CustomerName: cus.Name, CustomerPhone: cus.Phone, CustomerTaxExempt: cus.TaxExempt, DefaultTaxRates: []struct{}{},
		CustomerTaxIDs: f.taxIDs(cus.ID), Metadata: map[string]string{}, PeriodStart: now, PeriodEnd: now, Status: "draft",
		SubscriptionDetails: SubscriptionDetails{map[string]string{}}, TestClock: cus.TestClock, StartingBalance: cus.Balance,
	}
	inv.setLines(nil)
	return inv
}

// setLines replaces the lines, and the sums that follow from them.
func (inv *Invoice) setLines(lines []Line) {
	inv.Subtotal = 0
	for i := range lines {
		lines[i].Invoice = inv.ID
		inv.Subtotal += lines[i].Amount
	}
	if lines == nil {
		lines = []Line{}
	}
	inv.Lines = counted(lines, "/v1/invoices/"+inv.ID+"/lines")
	off := inv.discounted()
	added, tax := inv.taxed()
	inv.Total = inv.Subtotal - off + added
	inv.TotalExcludingTax, inv.SubtotalExcludingTax = inv.Total-tax, inv.Subtotal-(tax-added)
	inv.owe()
}

// owe works out what is left to pay after the customer's balance: credit, which is below 0, pays for it, and a debt is added.
func (inv *Invoice) owe() {
	inv.AmountDue = max(inv.Total-inv.PrePaymentCreditNotesAmount+inv.StartingBalance, 0)
	inv.AmountRemaining = inv.AmountDue - inv.AmountPaid
}

// newLine is a line about a price.
func (f *Fake) newLine(kind string, price *Price, quantity *int64, amount int64, period Period) Line {
	l := Line{
		ID: f.ids.Next("il_1", 23), Object: "line_item", Amount: amount, AmountExclTax: amount, DiscountAmounts: []DiscountAmount{}, Discountable: true,
		Discounts: []struct{}{}, Metadata: map[string]string{}, Period: period, Quantity: quantity, TaxAmounts: []TaxAmount{}, TaxRates: []struct{}{}, Type: kind,
	}
	if price != nil {
		bare := *price
		bare.Tiers = nil
		l.Price, l.Plan, l.Currency = &bare, planOf(bare), price.Currency
	}
	return l
}

func (f *Fake) invoice(id string) (Invoice, *apiError) {
	inv, ok := f.invoices.Get(id)
	if !ok {
		return Invoice{}, noSuch("invoice", "invoice", id)
	}
	return inv, nil
}

func (f *Fake) getInvoice(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.invoice(c.id))
}

func (f *Fake) listInvoices(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	due := c.form.within("due_date")
	customer, byCustomer := c.form.text("customer")
	sub, bySub := c.form.text("subscription")
	status := c.form.oneOf("status", "", "draft", "open", "paid", "uncollectible", "void")
	method := c.form.oneOf("collection_method", "", "charge_automatically", "send_invoice")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.invoices, page, "invoice", "/v1/invoices", func(inv Invoice) string { return inv.ID }, func(inv Invoice) bool {
		return created(inv.Created) && due(orZero(inv.DueDate)) && (!byCustomer || inv.Customer == customer) && (!bySub || orEmpty(inv.Subscription) == sub) &&
			(status == "" || inv.Status == status) && (method == "" || inv.CollectionMethod == method)
	}))
}

func (f *Fake) listInvoiceLines(c *call) (any, *apiError) {
	inv, bad := f.invoice(c.id)
	if bad != nil {
		return nil, bad
	}
	page := c.form.cursor()
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginateRows(inv.Lines.Data, page, "line_item", inv.Lines.URL, func(l Line) string { return l.ID }))
}

func orZero(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
