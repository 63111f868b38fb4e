package stripe

import "strings"

// readCheckoutDiscounts reads the discount that a session has, or that its payer may enter one.
func (f *Fake) readCheckoutDiscounts(form *form, co *checkout) *apiError {
	list := form.list("discounts")
	_, codes := form.values["allow_promotion_codes"]
	switch {
	case len(list) == 0:
		return nil
	case len(list) > 1:
		return invalidRequest("discounts", "", "A checkout session takes one discount.")
	case codes:
		return invalidRequest("discounts", "parameters_exclusive", "You may only specify one of these parameters: allow_promotion_codes, discounts.")
	}
	o, _, bad := f.readOffer(list[0], orEmpty(co.Session.Customer))
	if bad != nil || o == nil {
		return bad
	}
	if co.Coupon = o.coupon.ID; o.code != nil {
		co.PromotionCode = o.code.ID
	}
	return nil
}

// enterCode takes a promotion code that the payer enters.
func (f *Fake) enterCode(co *checkout, code string) *apiError {
	if code == "" {
		return nil
	}
	p, ok := f.promotionCode(code)
	if !ok || co.Session.AllowPromotionCodes == nil || !*co.Session.AllowPromotionCodes {
		return invalidRequest("code", "promotion_code_invalid", "This code is invalid.")
	}
	co.PromotionCode = p.ID
	return nil
}

// checkoutOffer is the coupon of a session, or nil.
func (f *Fake) checkoutOffer(co checkout, customer string) (*offer, *apiError) {
	if p, ok := f.promotions.Get(co.PromotionCode); ok {
		return f.redeemable(p, customer, "code")
	}
	if co.Coupon == "" {
		return nil, nil
	}
	coupon, bad := f.coupon(co.Coupon, "coupon")
	return &offer{coupon: coupon}, bad
}

// cardOfPayer is the payer's card; nil when none is needed and none was entered.
func (f *Fake) cardOfPayer(co checkout, p Payer) (*PaymentMethod, *apiError) {
	optional := co.Session.PaymentMethodCollection == "if_required" && co.Session.AmountTotal == 0
	if p.Card == "" && optional {
		return nil, nil
	}
	card, ok := cardNamed("", p.Card)
	if !ok {
		return nil, invalidRequest("card", "", "Unknown test card: "+p.Card+".")
	}
	if card.decline != "" && !card.attaches || card.decline != "" && co.Session.AmountTotal > 0 {
		return nil, declined(card.decline)
	}
	m := f.newPaymentMethod(card)
	return &m, nil
}

// enterAddress keeps what the payer has entered with the customer.
func (f *Fake) enterAddress(co checkout, cus *Customer, p Payer) *apiError {
	if cus == nil || p.Country == "" || co.Session.Customer != nil && !co.KeepAddress {
		return nil
	}
	country := strings.ToUpper(p.Country)
	cus.Address = &Address{Country: &country}
	if bad := save(f, f.customers, cus.ID, *cus, "customer.updated"); bad != nil {
		return bad
	}
	if p.TaxID == "" || !co.CollectTaxID {
		return nil
	}
	_, bad := f.newTaxID(cus.ID, businessID(country), p.TaxID)
	return bad
}

// checkoutInvoice is the invoice of a session that is paid once. It is not stored.
func (f *Fake) checkoutInvoice(co checkout, cus Customer) (Invoice, *apiError) {
	inv := f.newInvoice(cus, co.Session.Currency, "manual")
	inv.StartingBalance = 0 // a payment on the page neither uses the customer's credit nor pays a debt
	inv.AutomaticTax.Enabled = co.Session.AutomaticTax.Enabled
	o, bad := f.checkoutOffer(co, cus.ID)
	if bad != nil {
		return inv, bad
	}
	if o != nil {
		inv.Discount = &Discount{ID: f.ids.Next("di_1", 23), Object: "discount", Coupon: o.coupon, Start: inv.Created, CheckoutSession: &co.Session.ID}
	}
	var lines []Line
	for _, l := range co.Lines {
		quantity := l.Quantity
		lines = append(lines, f.newLine("invoiceitem", &l.Price, &quantity, l.AmountSubtotal, Period{inv.Created, inv.Created}))
	}
	inv.setLines(lines)
	return inv, nil
}

// priceCheckout works out what a session charges, with its discount and with tax.
func (f *Fake) priceCheckout(co *checkout, cus *Customer) *apiError {
	if cus == nil {
		known, _ := f.customers.Get(orEmpty(co.Session.Customer))
		cus = &known
	}
	inv, bad := f.checkoutInvoice(*co, *cus)
	if bad != nil {
		return bad
	}
	s := &co.Session
	s.AutomaticTax, s.AmountTotal, s.TotalDetails = inv.AutomaticTax, inv.Total, CheckoutTotalDetail{AmountTax: orZero(inv.Tax)}
	for _, d := range inv.TotalDiscountAmounts {
		s.TotalDetails.AmountDiscount += d.Amount
	}
	return nil
}

// redeemed counts the coupon of a payment.
func (f *Fake) redeemed(d *Discount, co checkout) *apiError {
	if d == nil {
		return nil
	}
	o, bad := f.checkoutOffer(co, "")
	if bad != nil || o == nil {
		return bad
	}
	_, bad = f.redeem(*o, d.Start)
	return bad
}
