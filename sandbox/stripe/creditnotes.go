package stripe

import "fmt"

// CreditNote is Stripe's credit note: it takes back what an invoice has charged. Amounts are cents.
type CreditNote struct {
	ID                         string                      `json:"id"`
	Object                     string                      `json:"object"`
	Amount                     int64                       `json:"amount"`
	AmountShipping             int64                       `json:"amount_shipping"`
	Created                    int64                       `json:"created"`
	Currency                   string                      `json:"currency"`
	Customer                   string                      `json:"customer"`
	CustomerBalanceTransaction null                        `json:"customer_balance_transaction"`
	DiscountAmount             int64                       `json:"discount_amount"`
	DiscountAmounts            []DiscountAmount            `json:"discount_amounts"`
	EffectiveAt                *int64                      `json:"effective_at"`
	Invoice                    string                      `json:"invoice"`
	Lines                      countedList[CreditNoteLine] `json:"lines"`
	Livemode                   bool                        `json:"livemode"`
	Memo                       *string                     `json:"memo"`
	Metadata                   map[string]string           `json:"metadata"`
	Number                     string                      `json:"number"`
	OutOfBandAmount            *int64                      `json:"out_of_band_amount"`
	PDF                        string                      `json:"pdf"`
	Reason                     *string                     `json:"reason"`
	Refund                     *string                     `json:"refund"`
	ShippingCost               null                        `json:"shipping_cost"`
	Status                     string                      `json:"status"`
	Subtotal                   int64                       `json:"subtotal"`
	SubtotalExcludingTax       int64                       `json:"subtotal_excluding_tax"`
	TaxAmounts                 []TaxAmount                 `json:"tax_amounts"`
	Total                      int64                       `json:"total"`
	TotalExcludingTax          int64                       `json:"total_excluding_tax"`
	Type                       string                      `json:"type"`
	VoidedAt                   *int64                      `json:"voided_at"`
}

// CreditNoteLine is one line of a credit note. The sandbox makes notes of an amount, which have none.
type CreditNoteLine struct {
	ID string `json:"id"`
}

func (f *Fake) createCreditNote(c *call) (any, *apiError) {
	id, _ := c.form.text("invoice")
	inv, ok := f.invoices.Get(id)
	if !ok {
		return nil, noSuchParam("invoice", "invoice", id)
	}
	cus, _ := f.customers.Get(inv.Customer)
	now := f.timeOf(cus)
	n := CreditNote{
		ID: f.ids.Next("cn_1", 23), Object: "credit_note", Created: now, Currency: inv.Currency, Customer: inv.Customer, DiscountAmounts: []DiscountAmount{},
		EffectiveAt: &now, Invoice: inv.ID, PDF: c.base + "/credit_note/pdf", Status: "issued", TaxAmounts: []TaxAmount{},
	}
	n.Lines = counted([]CreditNoteLine{}, "/v1/credit_notes/"+n.ID+"/lines")
	amount, refund, credit := c.form.integer("amount"), c.form.integer("refund_amount"), c.form.integer("credit_amount")
	n.OutOfBandAmount = c.form.integer("out_of_band_amount")
	c.form.optional("memo", &n.Memo)
	c.form.optional("refund", &n.Refund)
	if reason := c.form.oneOf("reason", "", "duplicate", "fraudulent", "order_change", "product_unsatisfactory"); reason != "" {
		n.Reason = &reason
	}
	n.Metadata = c.form.metadata(nil)
	if bad := c.form.done(); bad != nil { // lines and shipping_cost are refused by name
		return nil, bad
	}
	n.Amount = orZero(refund) + orZero(credit) + orZero(n.OutOfBandAmount)
	if amount != nil {
		n.Amount = *amount
	}
	if n.Refund != nil {
		r, ok := f.refunds.Get(*n.Refund)
		if !ok {
			return nil, noSuchParam("refund", "refund", *n.Refund)
		}
		refund = &r.Amount
	}
	n.Total, n.Subtotal, n.TotalExcludingTax, n.SubtotalExcludingTax = n.Amount, n.Amount, n.Amount, n.Amount
	if bad := f.issue(&n, &inv, orZero(refund), orZero(credit)); bad != nil {
		return nil, bad
	}
	return n, save(f, f.creditNotes, n.ID, n, "credit_note.created")
}

// issue takes the amount back: from what is due of an open invoice, or by a refund, as credit or elsewhere of a paid one.
func (f *Fake) issue(n *CreditNote, inv *Invoice, refund, credit int64) *apiError {
	left := inv.Total - inv.PrePaymentCreditNotesAmount - inv.PostPaymentCreditNotesAmount
	switch {
	case inv.Status != "open" && inv.Status != "paid":
		return invalidRequest("invoice", "", "You can only create a credit note for an open or a paid invoice; this one is "+inv.Status+".")
	case n.Amount < 1 || n.Amount > left:
		return invalidRequest("amount", "", fmt.Sprintf("The credit note's amount (%d) is not between 1 and what is left of the invoice (%d).", n.Amount, left))
	case inv.Status == "open":
		n.Type = "pre_payment"
		if bad := f.lower(inv, n.Amount); bad != nil {
			return bad
		}
	case refund+credit+orZero(n.OutOfBandAmount) != n.Amount:
		return invalidRequest("refund_amount", "", "The sum of refund_amount, credit_amount and out_of_band_amount must equal the credit note's amount.")
	default:
		n.Type = "post_payment"
		inv.PostPaymentCreditNotesAmount += n.Amount
		if bad := f.payBack(n, *inv, refund, credit); bad != nil {
			return bad
		}
	}
	cus, _ := f.customers.Get(inv.Customer)
	notes := f.creditNotes.All(func(other CreditNote) bool { return other.Customer == inv.Customer })
	n.Number = fmt.Sprintf("%s-CN-%02d", cus.InvoicePrefix, len(notes)+1)
	if bad := save(f, f.invoices, inv.ID, *inv, "invoice.updated"); bad != nil {
		return bad
	}
	if inv.Status == "open" && inv.AmountDue == 0 {
		_, bad := f.markPaid(*inv, nil, false)
		return bad
	}
	return nil
}

// lower changes an open invoice by a credit note. What the customer's credit had paid of it is credit again.
func (f *Fake) lower(inv *Invoice, amount int64) *apiError {
	before := inv.AmountDue
	inv.PrePaymentCreditNotesAmount += amount
	inv.owe()
	if bad := f.dueChanged(*inv); bad != nil {
		return bad
	}
	if rest := amount - (before - inv.AmountDue); rest != 0 {
		return f.credit(inv.Customer, rest)
	}
	return nil
}

// dueChanged lowers what the payment of an open invoice charges.
func (f *Fake) dueChanged(inv Invoice) *apiError {
	pi, ok := f.intents.Get(orEmpty(inv.PaymentIntent))
	if !ok || inv.AmountDue == 0 {
		return nil
	}
	pi.Amount = inv.AmountDue
	return save(f, f.intents, pi.ID, pi)
}

// payBack refunds the payment of a paid invoice, or gives the customer credit at Stripe.
func (f *Fake) payBack(n *CreditNote, inv Invoice, refund, credit int64) *apiError {
	if refund > 0 && n.Refund == nil {
		ch, bad := f.charge(orEmpty(inv.Charge), "charge")
		if bad != nil {
			return invalidRequest("refund_amount", "", "The invoice was paid without a charge, so there is nothing to refund.")
		}
		r, bad := f.refund(ch, refund, Refund{Metadata: map[string]string{}})
		if bad != nil {
			return bad
		}
		n.Refund = &r.ID
	}
	if credit == 0 {
		return nil
	}
	return f.credit(inv.Customer, credit)
}

// credit adds to what a customer has for later invoices. A deleted customer has none.
func (f *Fake) credit(customer string, amount int64) *apiError {
	cus, ok := f.customers.Get(customer)
	if !ok || cus.Deleted {
		return nil
	}
	cus.Balance -= amount
	return save(f, f.customers, cus.ID, cus, "customer.updated")
}

func (f *Fake) creditNote(id string) (CreditNote, *apiError) {
	n, ok := f.creditNotes.Get(id)
	if !ok {
		return CreditNote{}, noSuch("credit_note", "id", id)
	}
	return n, nil
}

func (f *Fake) getCreditNote(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.creditNote(c.id))
}

// voidCreditNote takes a credit note of an open invoice back. Stripe voids no other.
func (f *Fake) voidCreditNote(c *call) (any, *apiError) {
	n, bad := f.creditNote(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	inv, bad := f.invoice(n.Invoice)
	if bad != nil {
		return nil, bad
	}
	if n.Status != "issued" || n.Type != "pre_payment" || inv.Status != "open" {
		return nil, invalidRequest("", "", "You can only void an issued credit note of an open invoice.")
	}
	now := f.now()
	n.Status, n.VoidedAt = "void", &now
	if bad := f.lower(&inv, -n.Amount); bad != nil {
		return nil, bad
	}
	if bad := save(f, f.invoices, inv.ID, inv, "invoice.updated"); bad != nil {
		return nil, bad
	}
	return n, save(f, f.creditNotes, n.ID, n, "credit_note.voided")
}

func (f *Fake) listCreditNotes(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	customer, byCustomer := c.form.text("customer")
	invoice, byInvoice := c.form.text("invoice")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.creditNotes, page, "credit_note", "/v1/credit_notes", func(n CreditNote) string { return n.ID }, func(n CreditNote) bool {
		return created(n.Created) && (!byCustomer || n.Customer == customer) && (!byInvoice || n.Invoice == invoice)
	}))
}

func (f *Fake) listCreditNoteLines(c *call) (any, *apiError) {
	n, bad := f.creditNote(c.id)
	if bad != nil {
		return nil, bad
	}
	page := c.form.cursor()
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginateRows(n.Lines.Data, page, "credit_note_line_item", n.Lines.URL, func(l CreditNoteLine) string { return l.ID }))
}
