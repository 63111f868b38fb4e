package stripe

// InvoiceItem is what the next invoice will have as a line. Amounts are cents.
type InvoiceItem struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	Amount            int64             `json:"amount"`
	Currency          string            `json:"currency"`
	Customer          string            `json:"customer"`
	Date              int64             `json:"date"`
	Description       *string           `json:"description"`
	Discountable      bool              `json:"discountable"`
	Discounts         []struct{}        `json:"discounts"`
	Invoice           *string           `json:"invoice"`
	Livemode          bool              `json:"livemode"`
	Metadata          map[string]string `json:"metadata"`
	Period            Period            `json:"period"`
	Plan              *Plan             `json:"plan"`
	Price             *Price            `json:"price"`
	Proration         bool              `json:"proration"`
	Quantity          int64             `json:"quantity"`
	Subscription      *string           `json:"subscription"`
	SubscriptionItem  *string           `json:"subscription_item,omitempty"`
	TaxRates          []struct{}        `json:"tax_rates"`
	TaxBehavior       string            `json:"tax_behavior,omitempty"`
	TestClock         *string           `json:"test_clock"`
	UnitAmount        *int64            `json:"unit_amount"`
	UnitAmountDecimal *string           `json:"unit_amount_decimal"`
}

func (f *Fake) newInvoiceItem(cus Customer, currency string) InvoiceItem {
	now := f.timeOf(cus)
	return InvoiceItem{
		ID: f.ids.Next("ii_1", 23), Object: "invoiceitem", Currency: currency, Customer: cus.ID, Date: now, Discountable: true, Discounts: []struct{}{},
		Metadata: map[string]string{}, Period: Period{now, now}, Quantity: 1, TaxRates: []struct{}{}, TestClock: cus.TestClock,
	}
}

func (f *Fake) createInvoiceItem(c *call) (any, *apiError) {
	id, _ := c.form.text("customer")
	cus, bad := f.customerOf("customer", id)
	if bad != nil {
		return nil, bad
	}
	currency, _ := c.form.text("currency")
	item := f.newInvoiceItem(cus, orDefault(currency, orDefault(orEmpty(cus.Currency), "usd")))
	if bad := f.placeInvoiceItem(c.form, &item); bad != nil {
		return nil, bad
	}
	if bad := f.readInvoiceItem(c.form, &item); bad != nil {
		return nil, bad
	}
	if bad := save(f, f.items, item.ID, item, "invoiceitem.created"); bad != nil {
		return nil, bad
	}
	if item.Invoice == nil {
		return item, nil
	}
	inv, bad := f.invoice(*item.Invoice)
	if bad != nil {
		return nil, bad
	}
	inv.setLines(append(inv.Lines.Data[:len(inv.Lines.Data):len(inv.Lines.Data)], f.lineOf(item)))
	return item, save(f, f.invoices, inv.ID, inv, "invoice.updated")
}

// placeInvoiceItem reads the draft and the subscription that an item belongs to.
func (f *Fake) placeInvoiceItem(form *form, item *InvoiceItem) *apiError {
	if id, ok := form.text("invoice"); ok {
		inv, known := f.invoices.Get(id)
		if !known || inv.Customer != item.Customer {
			return noSuchParam("invoice", "invoice", id)
		}
		if inv.Status != "draft" {
			return invalidRequest("invoice", "", "You can only add items to draft invoices; this one is "+inv.Status+".")
		}
		item.Invoice = &id
	}
	if id, ok := form.text("subscription"); ok {
		if sub, known := f.subscriptions.Get(id); !known || sub.Customer != item.Customer {
			return noSuchParam("subscription", "subscription", id)
		}
		item.Subscription = &id
	}
	return nil
}

// readInvoiceItem reads an amount, or a price and a quantity.
func (f *Fake) readInvoiceItem(form *form, item *InvoiceItem) *apiError {
	form.optional("description", &item.Description)
	form.boolean("discountable", &item.Discountable)
	item.Metadata = form.metadata(item.Metadata)
	if n := form.integer("quantity"); n != nil {
		item.Quantity = *n
	}
	if p := form.child("period"); p != nil {
		item.Period = Period{orZero(p.integer("start")), orZero(p.integer("end"))}
	}
	amount := form.integer("amount")
	id, byPrice := form.text("price")
	_, byUnit := form.values["unit_amount"]
	_, byDecimal := form.values["unit_amount_decimal"]
	unit, decimal := form.amount("unit_amount")
	item.TaxBehavior = form.oneOf("tax_behavior", item.TaxBehavior, "exclusive", "inclusive", "unspecified")
	form.text("tax_code") // the sandbox has one rate for each country, whatever is sold
	if bad := form.done(); bad != nil {
		return bad
	}
	switch {
	case amount != nil:
		item.Amount, item.UnitAmount = *amount, amount
	case byPrice:
		price, bad := f.priceOnce("price", id)
		if bad != nil {
			return bad
		}
		item.Amount = price.amountOf(item.Quantity)
		price.Tiers = nil
		item.Price, item.Plan, item.Currency = &price, planOf(price), price.Currency
		item.UnitAmount, item.UnitAmountDecimal = price.UnitAmount, price.UnitAmountDecimal
	case byUnit || byDecimal:
		item.UnitAmount, item.UnitAmountDecimal = unit, decimal
		item.Amount = cents(times(decimal, item.Quantity))
	default:
		return missingParam("amount")
	}
	return nil
}

// priceOnce finds a price on sale that is charged once.
func (f *Fake) priceOnce(param, id string) (Price, *apiError) {
	price, ok := f.prices.Get(id)
	switch {
	case !ok:
		return Price{}, noSuchParam("price", param, id)
	case price.Recurring != nil:
		return Price{}, invalidRequest(param, "", "The price specified is set to `type=recurring` but this field only accepts prices with `type=one_time`.")
	case !price.Active:
		return Price{}, invalidRequest(param, "", inactivePrice)
	}
	return price, nil
}

// lineOf is an item as a line of an invoice.
func (f *Fake) lineOf(item InvoiceItem) Line {
	l := f.newLine("invoiceitem", item.Price, &item.Quantity, item.Amount, item.Period)
	l.Currency, l.Description, l.Discountable, l.InvoiceItem = item.Currency, item.Description, item.Discountable, &item.ID
	l.TaxAmounts = []TaxAmount{{Inclusive: item.TaxBehavior == "inclusive"}}
	l.Metadata, l.Proration, l.Subscription, l.SubscriptionItem = item.Metadata, item.Proration, item.Subscription, item.SubscriptionItem
	return l
}

// takePending moves the items that wait for an invoice of the customer to this one.
func (f *Fake) takePending(inv Invoice) ([]Line, *apiError) {
	lines := []Line{}
	for _, item := range f.items.All(func(i InvoiceItem) bool {
		return i.Invoice == nil && i.Customer == inv.Customer && i.Currency == inv.Currency && (i.Subscription == nil || orEmpty(i.Subscription) == orEmpty(inv.Subscription))
	}) {
		item.Invoice = &inv.ID
		if bad := stored(f.items.Insert(item.ID, item)); bad != nil {
			return nil, bad
		}
		lines = append(lines, f.lineOf(item))
	}
	return lines, nil
}

func (f *Fake) getInvoiceItem(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	item, ok := f.items.Get(c.id)
	if !ok {
		return nil, noSuch("invoiceitem", "invoiceitem", c.id)
	}
	return item, nil
}

func (f *Fake) deleteInvoiceItem(c *call) (any, *apiError) {
	item, ok := f.items.Get(c.id)
	if !ok {
		return nil, noSuch("invoiceitem", "invoiceitem", c.id)
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if item.Invoice != nil {
		return nil, invalidRequest("", "", "This invoice item is attached to an invoice; only one that waits can be deleted in the sandbox.")
	}
	if bad := stored(f.items.Delete(item.ID)); bad != nil {
		return nil, bad
	}
	f.emit("invoiceitem.deleted", item.ID, item)
	return deletedObject{item.ID, "invoiceitem", true}, nil
}

func (f *Fake) listInvoiceItems(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	customer, byCustomer := c.form.text("customer")
	invoice, byInvoice := c.form.text("invoice")
	_, byPending := c.form.values["pending"]
	var pending bool
	c.form.boolean("pending", &pending)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.items, page, "invoiceitem", "/v1/invoiceitems", func(i InvoiceItem) string { return i.ID }, func(i InvoiceItem) bool {
		return created(i.Date) && (!byCustomer || i.Customer == customer) && (!byInvoice || orEmpty(i.Invoice) == invoice) &&
			(!byPending || pending == (i.Invoice == nil))
	}))
}
