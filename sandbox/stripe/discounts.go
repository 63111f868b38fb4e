package stripe

// Discount is a redeemed coupon.
type Discount struct {
	ID              string  `json:"id"`
	Object          string  `json:"object"`
	CheckoutSession *string `json:"checkout_session"`
	Coupon          Coupon  `json:"coupon"`
	Customer        *string `json:"customer"`
	End             *int64  `json:"end"`
	Invoice         *string `json:"invoice"`
	InvoiceItem     *string `json:"invoice_item"`
	PromotionCode   *string `json:"promotion_code"`
	Start           int64   `json:"start"`
	Subscription    *string `json:"subscription"`
}

// DiscountAmount is what a discount takes off.
type DiscountAmount struct {
	Amount   int64  `json:"amount"`
	Discount string `json:"discount"`
}

// offer is a coupon that may be redeemed, and the code that names it.
type offer struct {
	coupon Coupon
	code   *PromotionCode
}

// readOffer reads coupon or promotion_code; nil when neither was sent. removed tells that the coupon was sent empty.
func (f *Fake) readOffer(form *form, customer string) (o *offer, removed bool, bad *apiError) {
	coupon, byCoupon := form.text("coupon")
	code, byCode := form.text("promotion_code")
	switch {
	case byCoupon && byCode:
		return nil, false, invalidRequest(form.path("promotion_code"), "parameters_exclusive", "You may only specify one of these parameters: coupon, promotion_code.")
	case byCoupon && coupon == "", byCode && code == "":
		return nil, true, nil
	case byCode:
		p, ok := f.promotions.Get(code)
		if !ok {
			return nil, false, noSuchParam("promotion_code", form.path("promotion_code"), code)
		}
		o, bad = f.redeemable(p, customer, form.path("promotion_code"))
		return o, false, bad
	case byCoupon:
		co, bad := f.coupon(coupon, form.path("coupon"))
		if bad == nil && !co.Valid {
			bad = invalidRequest(form.path("coupon"), "coupon_expired", "Coupon expired: "+coupon)
		}
		return &offer{coupon: co}, false, bad
	}
	return nil, false, nil
}

// redeemable checks whether a customer may redeem a code.
func (f *Fake) redeemable(p PromotionCode, customer, param string) (*offer, *apiError) {
	refused := func(why string) (*offer, *apiError) { return nil, invalidRequest(param, "promotion_code_invalid", why) }
	co, bad := f.coupon(p.Coupon.ID, param)
	if bad != nil {
		return nil, bad
	}
	paid := func(inv Invoice) bool { return inv.Customer == customer && inv.Status == "paid" && inv.AmountPaid > 0 }
	switch {
	case !p.Active, !co.Valid, p.ExpiresAt != nil && f.now() >= *p.ExpiresAt, p.MaxRedemptions != nil && p.TimesRedeemed >= *p.MaxRedemptions:
		return refused("This promotion code cannot be redeemed because it is inactive or its coupon has expired.")
	case p.Customer != nil && *p.Customer != customer:
		return refused("This promotion code cannot be redeemed by this customer.")
	case p.Restrictions.FirstTimeTransaction && customer != "" && len(f.invoices.All(paid)) > 0:
		return refused("This promotion code cannot be redeemed because the associated customer has prior transactions.")
	}
	return &offer{co, &p}, nil
}

// redeem makes a discount of an offer.
func (f *Fake) redeem(o offer, now int64) (*Discount, *apiError) {
	d := &Discount{ID: f.ids.Next("di_1", 23), Object: "discount", Coupon: o.coupon, Start: now}
	if months := o.coupon.DurationInMonths; months != nil {
		end := Recurring{Interval: "month", IntervalCount: 1}.boundary(now, *months)
		d.End = &end
	}
	o.coupon.TimesRedeemed++
	if bad := save(f, f.coupons, o.coupon.ID, o.coupon, "coupon.updated"); bad != nil {
		return nil, bad
	}
	if o.code == nil {
		return d, nil
	}
	d.PromotionCode = &o.code.ID
	o.code.TimesRedeemed++
	return d, save(f, f.promotions, o.code.ID, *o.code, "promotion_code.updated")
}

// readDiscount redeems what is sent of a subscription.
func (f *Fake) readDiscount(form *form, s *Subscription, now int64) *apiError {
	o, removed, bad := f.readOffer(form, s.Customer)
	switch {
	case bad != nil:
		return bad
	case removed:
		s.Discount = nil
	case o != nil:
		d, bad := f.redeem(*o, now)
		if bad != nil {
			return bad
		}
		s.discount(d)
	}
	return nil
}

// discount gives a subscription a discount.
func (s *Subscription) discount(d *Discount) {
	d.Customer, d.Subscription = &s.Customer, &s.ID
	s.Discount = d
}

// current is a discount that is still good at a time, or nil.
func (d *Discount) current(at int64) *Discount {
	if d == nil || d.End != nil && at >= *d.End {
		return nil
	}
	return d
}

// deleteDiscount takes the discount from a subscription.
func (f *Fake) deleteDiscount(c *call) (any, *apiError) {
	s, bad := f.subscription(c.id)
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if s.Discount == nil {
		return nil, noSuch("discount", "id", c.id)
	}
	gone := deletedObject{s.Discount.ID, "discount", true}
	s.Discount = nil
	return gone, save(f, f.subscriptions, s.ID, s, "customer.subscription.updated")
}

// useDiscount ends a discount that is for one invoice only, once that is made. The caller saves the subscription.
func (s *Subscription) useDiscount(at int64) {
	if s.Discount != nil && (s.Discount.Coupon.Duration == "once" || s.Discount.current(at) == nil) {
		s.Discount = nil
	}
}

// off is what a coupon takes off an amount, of a whole of which it is a part.
func (c Coupon) off(amount, whole int64) int64 {
	if c.PercentOff != nil {
		return share(amount, *c.PercentOff, 100)
	}
	return share(min(*c.AmountOff, max(whole, 0)), amount, whole)
}

// discounted gives the lines what the invoice's discount takes off each, and returns the sum.
func (inv *Invoice) discounted() (sum int64) {
	inv.TotalDiscountAmounts, inv.Discounts = []DiscountAmount{}, []string{}
	whole, last := int64(0), -1
	for i, l := range inv.Lines.Data {
		inv.Lines.Data[i].DiscountAmounts = []DiscountAmount{}
		if l.Discountable {
			whole, last = whole+l.Amount, i
		}
	}
	if inv.Discount == nil || last < 0 || whole == 0 {
		return 0
	}
	total := inv.Discount.Coupon.off(whole, whole)
	for i := range inv.Lines.Data {
		l := &inv.Lines.Data[i]
		if !l.Discountable {
			continue
		}
		part := inv.Discount.Coupon.off(l.Amount, whole)
		if i == last { // what rounding has left
			part = total - sum
		}
		sum += part
		l.DiscountAmounts = []DiscountAmount{{part, inv.Discount.ID}}
	}
	inv.Discounts, inv.TotalDiscountAmounts = []string{inv.Discount.ID}, []DiscountAmount{{sum, inv.Discount.ID}}
	return sum
}
