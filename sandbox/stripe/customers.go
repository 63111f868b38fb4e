package stripe

import "strings"

// Customer is Stripe's customer object, with the fields that the sandbox keeps. A deleted one keeps its place.
type Customer struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Address             *Address          `json:"address"`
	Balance             int64             `json:"balance"`
	Created             int64             `json:"created"`
	Currency            *string           `json:"currency"`
	DefaultSource       *string           `json:"default_source"`
	Delinquent          bool              `json:"delinquent"`
	Description         *string           `json:"description"`
	Discount            *struct{}         `json:"discount"`
	Email               *string           `json:"email"`
	InvoicePrefix       string            `json:"invoice_prefix"`
	InvoiceSettings     InvoiceSettings   `json:"invoice_settings"`
	Livemode            bool              `json:"livemode"`
	Metadata            map[string]string `json:"metadata"`
	Name                *string           `json:"name"`
	NextInvoiceSequence int64             `json:"next_invoice_sequence"`
	Phone               *string           `json:"phone"`
	PreferredLocales    []string          `json:"preferred_locales"`
	Shipping            *struct{}         `json:"shipping"`
	TaxExempt           string            `json:"tax_exempt"`
	TestClock           *string           `json:"test_clock"`
	Deleted             bool              `json:"deleted,omitempty"` // never sent: a deleted one is sent as a deletedObject
}

// Address is a postal address.
type Address struct {
	City       *string `json:"city"`
	Country    *string `json:"country"`
	Line1      *string `json:"line1"`
	Line2      *string `json:"line2"`
	PostalCode *string `json:"postal_code"`
	State      *string `json:"state"`
}

// InvoiceSettings are a customer's defaults for invoices.
type InvoiceSettings struct {
	CustomFields         *struct{} `json:"custom_fields"`
	DefaultPaymentMethod *string   `json:"default_payment_method"`
	Footer               *string   `json:"footer"`
	RenderingOptions     *struct{} `json:"rendering_options"`
}

// deletedObject is what is left of an object.
type deletedObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

func (f *Fake) newCustomer() Customer {
	cus := Customer{
		ID: f.ids.Next("cus_", 14), Object: "customer", Created: f.now(), Metadata: map[string]string{}, NextInvoiceSequence: 1,
		PreferredLocales: []string{}, TaxExempt: "none",
	}
	cus.InvoicePrefix = strings.ToUpper(cus.ID[len(cus.ID)-8:])
	return cus
}

func (f *Fake) createCustomer(c *call) (any, *apiError) {
	cus := f.newCustomer()
	c.form.optional("test_clock", &cus.TestClock)
	if _, ok := f.clocks.Get(orEmpty(cus.TestClock)); cus.TestClock != nil && !ok {
		return nil, noSuchParam("test_helpers.test_clock", "test_clock", *cus.TestClock)
	}
	if bad := f.readCustomerMethod(c.form, &cus); bad != nil {
		return nil, bad
	}
	if err := readCustomer(c.form, &cus); err != nil {
		return nil, err
	}
	return cus, save(f, f.customers, cus.ID, cus, "customer.created")
}

// readCustomerMethod saves a card with a new customer.
func (f *Fake) readCustomerMethod(form *form, cus *Customer) *apiError {
	id, sent := form.text("payment_method")
	if !sent {
		return nil
	}
	m, bad := f.method(id, "payment_method")
	if bad != nil {
		return bad
	}
	_, bad = f.attach(m, cus.ID)
	return bad
}

func readCustomer(form *form, cus *Customer) *apiError {
	form.optional("email", &cus.Email)
	form.optional("name", &cus.Name)
	form.optional("phone", &cus.Phone)
	form.optional("description", &cus.Description)
	form.optional("default_source", &cus.DefaultSource)
	if n := form.integer("balance"); n != nil {
		cus.Balance = *n
	}
	if n := form.integer("next_invoice_sequence"); n != nil {
		cus.NextInvoiceSequence = *n
	}
	if prefix, ok := form.text("invoice_prefix"); ok {
		cus.InvoicePrefix = prefix
	}
	if locales := form.strings("preferred_locales"); locales != nil {
		cus.PreferredLocales = locales
	}
	cus.TaxExempt = form.oneOf("tax_exempt", cus.TaxExempt, "exempt", "none", "reverse")
	cus.Metadata = form.metadata(cus.Metadata)
	readAddress(form, &cus.Address)
	if s := form.child("invoice_settings"); s != nil {
		s.optional("default_payment_method", &cus.InvoiceSettings.DefaultPaymentMethod)
		s.optional("footer", &cus.InvoiceSettings.Footer)
	}
	if cus.Email != nil && (!strings.Contains(*cus.Email, "@") || len(*cus.Email) > 512) {
		form.fail(invalidRequest("email", "email_invalid", "Invalid email address: "+*cus.Email))
	}
	return form.done()
}

func readAddress(form *form, into **Address) {
	if v, sent := form.text("address"); sent && v == "" {
		*into = nil
	}
	a := form.child("address")
	if a == nil {
		return
	}
	address := Address{}
	if *into != nil {
		address = **into
	}
	for key, field := range map[string]**string{
		"city": &address.City, "country": &address.Country, "line1": &address.Line1, "line2": &address.Line2,
		"postal_code": &address.PostalCode, "state": &address.State,
	} {
		a.optional(key, field)
	}
	*into = &address
}

// customer finds one that is not deleted.
func (f *Fake) customer(id string) (Customer, *apiError) {
	cus, ok := f.customers.Get(id)
	if !ok || cus.Deleted {
		return Customer{}, noSuch("customer", "id", id)
	}
	return cus, nil
}

// getCustomer shows a deleted customer too, as no more than that.
func (f *Fake) getCustomer(c *call) (any, *apiError) {
	if err := c.form.done(); err != nil {
		return nil, err
	}
	if cus, ok := f.customers.Get(c.id); ok && cus.Deleted {
		return cus, nil // and shown as no more than that
	}
	return asAny(f.customer(c.id))
}

func (f *Fake) updateCustomer(c *call) (any, *apiError) {
	cus, err := f.customer(c.id)
	if err != nil {
		return nil, err
	}
	if err := readCustomer(c.form, &cus); err != nil {
		return nil, err
	}
	return cus, save(f, f.customers, cus.ID, cus, "customer.updated")
}

func (f *Fake) deleteCustomer(c *call) (any, *apiError) {
	cus, err := f.customer(c.id)
	if err != nil {
		return nil, err
	}
	if err := c.form.done(); err != nil {
		return nil, err
	}
	return deletedObject{cus.ID, "customer", true}, f.removeCustomer(cus)
}

// removeCustomer deletes a customer, and ends what it has. Nothing of the person stays but the identifier.
func (f *Fake) removeCustomer(cus Customer) *apiError {
	now := f.timeOf(cus)
	for _, s := range f.subscriptions.All(func(s Subscription) bool { return s.Customer == cus.ID && !s.over() }) {
		if _, bad := f.cancel(s, now); bad != nil {
			return bad
		}
	}
	for _, m := range f.methods.All(func(m PaymentMethod) bool { return orEmpty(m.Customer) == cus.ID }) {
		if bad := stored(f.methods.Delete(m.ID)); bad != nil {
			return bad
		}
	}
	if bad := stored(f.customers.Insert(cus.ID, Customer{ID: cus.ID, Deleted: true})); bad != nil {
		return bad
	}
	f.emit("customer.deleted", cus.ID, cus)
	return nil
}

func (f *Fake) listCustomers(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	email, byEmail := c.form.text("email")
	clock, _ := c.form.text("test_clock") // without one, the customers of test clocks are not listed
	if err := c.form.done(); err != nil {
		return nil, err
	}
	return asAny(paginate(f.customers, page, "customer", "/v1/customers", func(cus Customer) string { return cus.ID }, func(cus Customer) bool {
		return !cus.Deleted && created(cus.Created) && (!byEmail || orEmpty(cus.Email) == email) && orEmpty(cus.TestClock) == clock
	}))
}

// stored turns the table's error into the API's.
func stored(err error) *apiError {
	if err == nil {
		return nil
	}
	return &apiError{status: 500, Type: typeAPI, Message: err.Error()}
}

func asAny[T any](v T, err *apiError) (any, *apiError) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
