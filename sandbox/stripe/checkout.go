package stripe

import (
	"slices"
	"strings"
	"time"
)

// CheckoutSession is Stripe's checkout session. Amounts are cents.
type CheckoutSession struct {
	ID                       string              `json:"id"`
	Object                   string              `json:"object"`
	AllowPromotionCodes      *bool               `json:"allow_promotion_codes"`
	AmountSubtotal           int64               `json:"amount_subtotal"`
	AmountTotal              int64               `json:"amount_total"`
	AutomaticTax             AutomaticTax        `json:"automatic_tax"`
	BillingAddressCollection *string             `json:"billing_address_collection"`
	CancelURL                *string             `json:"cancel_url"`
	ClientReferenceID        *string             `json:"client_reference_id"`
	Created                  int64               `json:"created"`
	Currency                 string              `json:"currency"`
	CustomFields             []struct{}          `json:"custom_fields"`
	Customer                 *string             `json:"customer"`
	CustomerCreation         *string             `json:"customer_creation"`
	CustomerDetails          *CustomerDetails    `json:"customer_details"`
	CustomerEmail            *string             `json:"customer_email"`
	ExpiresAt                int64               `json:"expires_at"`
	Invoice                  *string             `json:"invoice"`
	Livemode                 bool                `json:"livemode"`
	Locale                   *string             `json:"locale"`
	Metadata                 map[string]string   `json:"metadata"`
	Mode                     string              `json:"mode"`
	PaymentIntent            *string             `json:"payment_intent"`
	PaymentLink              null                `json:"payment_link"`
	PaymentMethodCollection  string              `json:"payment_method_collection"`
	PaymentMethodTypes       []string            `json:"payment_method_types"`
	PaymentStatus            string              `json:"payment_status"`
	PhoneNumberCollection    map[string]bool     `json:"phone_number_collection"`
	SetupIntent              *string             `json:"setup_intent"`
	ShippingOptions          []struct{}          `json:"shipping_options"`
	Status                   string              `json:"status"`
	SubmitType               *string             `json:"submit_type"`
	Subscription             *string             `json:"subscription"`
	SuccessURL               *string             `json:"success_url"`
	TotalDetails             CheckoutTotalDetail `json:"total_details"`
	UIMode                   string              `json:"ui_mode"`
	URL                      *string             `json:"url"`
}

// CustomerDetails are what the payer has said.
type CustomerDetails struct {
	Address   *Address   `json:"address"`
	Email     *string    `json:"email"`
	Name      *string    `json:"name"`
	Phone     *string    `json:"phone"`
	TaxExempt string     `json:"tax_exempt"`
	TaxIDs    []struct{} `json:"tax_ids"`
}

// CheckoutTotalDetail is what is in the total beside the items: nothing in the sandbox.
type CheckoutTotalDetail struct {
	AmountDiscount int64 `json:"amount_discount"`
	AmountShipping int64 `json:"amount_shipping"`
	AmountTax      int64 `json:"amount_tax"`
}

// CheckoutLine is one line item of a session.
type CheckoutLine struct {
	ID             string `json:"id"`
	Object         string `json:"object"`
	AmountDiscount int64  `json:"amount_discount"`
	AmountSubtotal int64  `json:"amount_subtotal"`
	AmountTax      int64  `json:"amount_tax"`
	AmountTotal    int64  `json:"amount_total"`
	Currency       string `json:"currency"`
	Description    string `json:"description"`
	Price          Price  `json:"price"`
	Quantity       int64  `json:"quantity"`
}

// checkout is a session with what it will make of a payment.
type checkout struct {
	Session       CheckoutSession   `json:"session"`
	Lines         []CheckoutLine    `json:"lines"`
	TrialEnd      int64             `json:"trial_end"` // seconds; zero means without a trial
	TrialDays     int64             `json:"trial_days"`
	Description   *string           `json:"description"`
	Metadata      map[string]string `json:"metadata"` // of the subscription or the payment intent
	FutureUsage   *string           `json:"setup_future_usage"`
	NewCustomer   bool              `json:"new_customer"` // also in mode payment
	MakesInvoices bool              `json:"makes_invoices"`
	Coupon        string            `json:"coupon"`         // that the session has
	PromotionCode string            `json:"promotion_code"` // that the session has, or that the payer has entered
	KeepAddress   bool              `json:"keep_address"`   // the payer's address goes to the customer
	CollectTaxID  bool              `json:"collect_tax_id"`
	WithoutCard   string            `json:"without_card"` // what a trial without a card becomes
}

func (f *Fake) createCheckout(c *call) (any, *apiError) {
	now := f.now()
	co := checkout{Metadata: map[string]string{}, Session: CheckoutSession{
		ID: "cs_test_a1" + f.ids.Next("", 28) + f.ids.Next("", 28), Object: "checkout.session", Created: now, CustomFields: []struct{}{},
		ExpiresAt: now + day, PaymentMethodCollection: "always", PaymentMethodTypes: []string{"card"}, PaymentStatus: "unpaid",
		PhoneNumberCollection: map[string]bool{"enabled": false}, ShippingOptions: []struct{}{}, Status: "open", UIMode: "hosted",
	}}
	s := &co.Session
	url := c.base + "/pay/" + s.ID
	s.URL = &url
	s.Mode = c.form.oneOf("mode", "", "payment", "subscription", "setup")
	if s.Mode == "" && *c.form.err == nil {
		return nil, missingParam("mode")
	}
	if bad := f.readCheckoutCustomer(c.form, &co); bad != nil {
		return nil, bad
	}
	refuseOtherModes(c.form, s.Mode)
	readCheckoutData(c.form, &co, now)
	if bad := f.readCheckoutLines(c.form, &co); bad != nil {
		return nil, bad
	}
	if bad := f.readCheckoutDiscounts(c.form, &co); bad != nil {
		return nil, bad
	}
	if bad := readCheckout(c.form, &co); bad != nil {
		return nil, bad
	}
	price := f.priceCheckout
	if s.Mode == "setup" {
		price = func(co *checkout, _ *Customer) *apiError { return f.beginSetup(co) }
	}
	if bad := price(&co, nil); bad != nil {
		return nil, bad
	}
	return co.Session, stored(f.checkouts.Insert(s.ID, co))
}

// refuseOtherModes refuses what a session of another mode has.
func refuseOtherModes(form *form, mode string) {
	modes := map[string][]string{
		"line_items": {"payment", "subscription"}, "discounts": {"payment", "subscription"}, "allow_promotion_codes": {"payment", "subscription"},
		"automatic_tax": {"payment", "subscription"}, "tax_id_collection": {"payment", "subscription"}, "subscription_data": {"subscription"},
		"payment_method_collection": {"subscription"}, "payment_intent_data": {"payment"}, "invoice_creation": {"payment"}, "submit_type": {"payment"},
		"setup_intent_data": {"setup"},
	}
	for _, param := range form.order {
		if allowed, bound := modes[param]; bound && mode != "" && !slices.Contains(allowed, mode) {
			form.fail(invalidRequest(param, "", "You can not pass `"+param+"` in `"+mode+"` mode."))
		}
	}
}

func (f *Fake) readCheckoutCustomer(form *form, co *checkout) *apiError {
	s := &co.Session
	form.optional("customer_email", &s.CustomerEmail)
	creation := form.oneOf("customer_creation", "", "always", "if_required")
	id, named := form.text("customer")
	switch {
	case named && s.CustomerEmail != nil:
		return invalidRequest("customer_email", "parameters_exclusive", "You may only specify one of these parameters: customer, customer_email.")
	case named:
		cus, bad := f.customerOf("customer", id)
		if bad != nil {
			return bad
		}
		s.Customer = &cus.ID
		s.CustomerDetails = &CustomerDetails{Address: cus.Address, Email: cus.Email, Name: cus.Name, Phone: cus.Phone, TaxExempt: cus.TaxExempt, TaxIDs: []struct{}{}}
	case s.Mode == "payment", s.Mode == "setup":
		creation = orDefault(creation, "if_required")
	default:
		creation = "always"
	}
	if creation != "" {
		s.CustomerCreation = &creation
	}
	co.NewCustomer = creation == "always"
	return nil
}

// readCheckoutData reads what goes to the subscription, or to the payment intent.
func readCheckoutData(form *form, co *checkout, now int64) {
	if data := form.child("subscription_data"); data != nil {
		co.Metadata = data.metadata(nil)
		data.optional("description", &co.Description)
		co.TrialDays = orZero(data.integer("trial_period_days"))
		co.TrialEnd = orZero(data.integer("trial_end"))
		co.WithoutCard = readTrialSettings(data, "")
	}
	if data := form.child("payment_intent_data"); data != nil {
		co.Metadata = data.metadata(nil)
		data.optional("description", &co.Description)
		if usage := data.oneOf("setup_future_usage", "", "off_session", "on_session"); usage != "" {
			co.FutureUsage, co.NewCustomer = &usage, true
		}
		data.oneOf("capture_method", "automatic", "automatic", "automatic_async")
		data.lacks("receipt_email", "statement_descriptor", "statement_descriptor_suffix")
	}
	if data := form.child("setup_intent_data"); data != nil {
		co.Metadata = data.metadata(nil)
		data.optional("description", &co.Description)
	}
	if data := form.child("invoice_creation"); data != nil {
		data.boolean("enabled", &co.MakesInvoices)
		co.NewCustomer = co.NewCustomer || co.MakesInvoices // an invoice has a customer
		data.lacks("invoice_data")
	}
	if co.TrialEnd != 0 && co.TrialEnd < now+2*day {
		form.fail(invalidRequest("subscription_data[trial_end]", "", "The trial end date has to be at least 2 days in the future."))
	}
}

func readCheckout(form *form, co *checkout) *apiError {
	s := &co.Session
	for key, field := range map[string]**string{
		"success_url": &s.SuccessURL, "cancel_url": &s.CancelURL, "client_reference_id": &s.ClientReferenceID, "locale": &s.Locale, "submit_type": &s.SubmitType,
		"billing_address_collection": &s.BillingAddressCollection,
	} {
		form.optional(key, field)
	}
	form.oneOf("ui_mode", "hosted", "hosted")
	s.PaymentMethodCollection = form.oneOf("payment_method_collection", "always", "always", "if_required")
	if _, sent := form.values["allow_promotion_codes"]; sent {
		s.AllowPromotionCodes = new(bool)
		form.boolean("allow_promotion_codes", s.AllowPromotionCodes)
	}
	if at := form.integer("expires_at"); at != nil {
		if *at < s.Created+int64(30*time.Minute/time.Second) || *at > s.Created+day {
			form.fail(invalidRequest("expires_at", "", "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation."))
		}
		s.ExpiresAt = *at
	}
	s.Metadata = form.metadata(nil)
	readCheckoutTax(form, co)
	form.onlyCards()
	form.onlyOff("phone_number_collection")
	if currency, sent := form.text("currency"); sent && s.Mode == "setup" {
		s.Currency = currency
	} else if sent && currency != s.Currency {
		form.fail(invalidRequest("currency", "", "The sandbox's prices have one currency each; the line items are in "+s.Currency+"."))
	}
	form.lacks("payment_method_options", "consent_collection", "custom_text", "saved_payment_method_options", "after_expiration")
	if bad := form.done(); bad != nil {
		return bad
	}
	if s.SuccessURL == nil {
		return missingParam("success_url")
	}
	for param, u := range map[string]*string{"success_url": s.SuccessURL, "cancel_url": s.CancelURL} {
		if u != nil && !strings.HasPrefix(*u, "http://") && !strings.HasPrefix(*u, "https://") {
			return invalidRequest(param, "url_invalid", "Not a valid URL")
		}
	}
	return nil
}

// readCheckoutTax reads what concerns tax. Stripe refuses it for a saved customer whose address or name it could not keep.
func readCheckoutTax(form *form, co *checkout) {
	s := &co.Session
	keepAddress, keepName, collect := "never", "never", false
	if update := form.child("customer_update"); update != nil {
		keepAddress = update.oneOf("address", keepAddress, "auto", "never")
		keepName = update.oneOf("name", keepName, "auto", "never")
		update.oneOf("shipping", "never", "never")
		if s.Customer == nil {
			form.fail(invalidRequest("customer_update", "", "`customer_update` can only be used with `customer`."))
		}
	}
	if tax := form.child("automatic_tax"); tax != nil {
		tax.boolean("enabled", &s.AutomaticTax.Enabled)
	}
	if ids := form.child("tax_id_collection"); ids != nil {
		ids.boolean("enabled", &collect)
	}
	co.KeepAddress, co.CollectTaxID = keepAddress == "auto", collect
	known := s.CustomerDetails != nil && s.CustomerDetails.Address != nil
	switch {
	case s.Customer == nil:
	case s.AutomaticTax.Enabled && keepAddress != "auto" && !known:
		form.fail(invalidRequest("customer_update", "", "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to the "+
			"Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto' to save the address entered in Checkout to the Customer."))
	case collect && keepAddress != "auto" && !known:
		form.fail(invalidRequest("customer_update", "", "We could not find a valid address on the provided customer. To enable tax ID collection, please set "+
			"`customer_update[address]` to `auto`."))
	case collect && keepName != "auto":
		form.fail(invalidRequest("customer_update", "", "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an existing "+
			"customer, please set `customer_update[name]` to `auto`."))
	}
}

func (f *Fake) readCheckoutLines(form *form, co *checkout) *apiError {
	s := &co.Session
	for _, in := range form.list("line_items") {
		price, bad := f.checkoutPrice(in)
		if bad != nil {
			return bad
		}
		quantity := int64(1)
		metered := price.Recurring != nil && price.Recurring.UsageType == "metered"
		if n := in.integer("quantity"); n != nil {
			quantity = min(max(*n, 0), 1_000_000)
		}
		in.onlyOff("adjustable_quantity")
		in.lacks("tax_rates", "dynamic_tax_rates")
		product, _ := f.products.Get(price.Product)
		l := CheckoutLine{ID: f.ids.Next("li_1", 23), Object: "item", Currency: price.Currency, Description: product.Name, Price: price, Quantity: quantity}
		if !metered && (price.Recurring == nil || (co.TrialDays == 0 && co.TrialEnd == 0)) {
			l.AmountSubtotal = price.amountOf(quantity)
			l.AmountTotal = l.AmountSubtotal
		}
		s.AmountSubtotal += l.AmountSubtotal
		s.AmountTotal += l.AmountTotal
		s.Currency = price.Currency
		co.Lines = append(co.Lines, l)
	}
	if *form.err != nil {
		return *form.err
	}
	recurs := slices.ContainsFunc(co.Lines, func(l CheckoutLine) bool { return l.Price.Recurring != nil })
	switch {
	case s.Mode == "setup":
		return nil
	case len(co.Lines) == 0:
		return missingParam("line_items")
	case s.Mode == "payment" && recurs:
		return invalidRequest("line_items", "", "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use only one-time prices.")
	case s.Mode == "subscription" && !recurs:
		return invalidRequest("line_items", "", "You must provide at least one recurring price in `subscription` mode when using prices.")
	}
	return nil
}

// checkoutPrice finds the price of a line, or makes one of price_data.
func (f *Fake) checkoutPrice(in *form) (Price, *apiError) {
	id, named := in.text("price")
	if data := in.child("price_data"); data != nil && !named {
		product, fresh, bad := f.productOfPrice(data)
		if bad != nil {
			return Price{}, bad
		}
		p := f.newPrice(product)
		p.Metadata = map[string]string{}
		if bad := readPrice(data, &p); bad != nil {
			return Price{}, bad
		}
		if fresh != nil {
			if bad := save(f, f.products, fresh.ID, *fresh, "product.created"); bad != nil {
				return Price{}, bad
			}
		}
		return p, save(f, f.prices, p.ID, p, "price.created")
	}
	p, ok := f.prices.Get(id)
	switch {
	case !named:
		return Price{}, missingParam(in.path("price"))
	case !ok:
		return Price{}, noSuchParam("price", in.path("price"), id)
	case !p.Active:
		return Price{}, invalidRequest(in.path("price"), "", inactivePrice)
	}
	return p, nil
}

func (f *Fake) checkout(id string) (checkout, *apiError) {
	f.expireSessions()
	co, ok := f.checkouts.Get(id)
	if !ok {
		return checkout{}, noSuch("checkout.session", "session", id)
	}
	return co, nil
}

func (f *Fake) getCheckout(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.checkout(c.id))
}

func (f *Fake) listCheckouts(c *call) (any, *apiError) {
	f.expireSessions()
	page, created := c.form.cursor(), c.form.within("created")
	customer, byCustomer := c.form.text("customer")
	intent, byIntent := c.form.text("payment_intent")
	sub, bySub := c.form.text("subscription")
	status := c.form.oneOf("status", "", "open", "complete", "expired")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	out, bad := paginate(f.checkouts, page, "checkout.session", "/v1/checkout/sessions", func(co checkout) string { return co.Session.ID }, func(co checkout) bool {
		s := co.Session
		return created(s.Created) && (!byCustomer || orEmpty(s.Customer) == customer) && (!byIntent || orEmpty(s.PaymentIntent) == intent) &&
			(!bySub || orEmpty(s.Subscription) == sub) && (status == "" || s.Status == status)
	})
	if bad != nil {
		return nil, bad
	}
	sessions := make([]CheckoutSession, len(out.Data))
	for i, co := range out.Data {
		sessions[i] = co.Session
	}
	return list[CheckoutSession]{out.Object, sessions, out.HasMore, out.URL}, nil
}

func (f *Fake) listCheckoutLines(c *call) (any, *apiError) {
	co, bad := f.checkout(c.id)
	if bad != nil {
		return nil, bad
	}
	page := c.form.cursor()
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginateRows(co.Lines, page, "item", "/v1/checkout/sessions/"+c.id+"/line_items", func(l CheckoutLine) string { return l.ID }))
}

func (f *Fake) expireCheckout(c *call) (any, *apiError) {
	co, bad := f.checkout(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if co.Session.Status != "open" {
		return nil, invalidRequest("", "", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of "+co.Session.Status+".")
	}
	return asAny(f.expireSession(co))
}

func (f *Fake) expireSession(co checkout) (checkout, *apiError) {
	co.Session.Status, co.Session.URL = "expired", nil
	return co, save(f, f.checkouts, co.Session.ID, co, "checkout.session.expired")
}

// expireSessions ends the sessions whose time is over, and returns how many there were.
func (f *Fake) expireSessions() int {
	now := f.now()
	gone := f.checkouts.All(func(co checkout) bool { return co.Session.Status == "open" && co.Session.ExpiresAt <= now })
	for _, co := range gone {
		if _, bad := f.expireSession(co); bad != nil {
			return 0
		}
	}
	return len(gone)
}
