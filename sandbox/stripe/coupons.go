package stripe

import (
	"strings"
)

// Coupon is Stripe's coupon. Amounts are cents.
type Coupon struct {
	ID               string            `json:"id"`
	Object           string            `json:"object"`
	AmountOff        *int64            `json:"amount_off"`
	Created          int64             `json:"created"`
	Currency         *string           `json:"currency"`
	Duration         string            `json:"duration"`
	DurationInMonths *int64            `json:"duration_in_months"`
	Livemode         bool              `json:"livemode"`
	MaxRedemptions   *int64            `json:"max_redemptions"`
	Metadata         map[string]string `json:"metadata"`
	Name             *string           `json:"name"`
	PercentOff       *int64            `json:"percent_off"`
	RedeemBy         *int64            `json:"redeem_by"`
	TimesRedeemed    int64             `json:"times_redeemed"`
	Valid            bool              `json:"valid"`
}

// PromotionCode is a word that customers redeem for a coupon.
type PromotionCode struct {
	ID             string                `json:"id"`
	Object         string                `json:"object"`
	Active         bool                  `json:"active"`
	Code           string                `json:"code"`
	Coupon         Coupon                `json:"coupon"`
	Created        int64                 `json:"created"`
	Customer       *string               `json:"customer"`
	ExpiresAt      *int64                `json:"expires_at"`
	Livemode       bool                  `json:"livemode"`
	MaxRedemptions *int64                `json:"max_redemptions"`
	Metadata       map[string]string     `json:"metadata"`
	Restrictions   PromotionRestrictions `json:"restrictions"`
	TimesRedeemed  int64                 `json:"times_redeemed"`
}

// PromotionRestrictions bound who may redeem a promotion code.
type PromotionRestrictions struct {
	FirstTimeTransaction  bool    `json:"first_time_transaction"`
	MinimumAmount         *int64  `json:"minimum_amount"`
	MinimumAmountCurrency *string `json:"minimum_amount_currency"`
}

func (f *Fake) createCoupon(c *call) (any, *apiError) {
	co := Coupon{Object: "coupon", Created: f.now(), Valid: true}
	co.ID = f.ids.Next("", 8)
	if id, sent := c.form.text("id"); sent && id != "" {
		co.ID = id
	}
	co.AmountOff, co.PercentOff = c.form.integer("amount_off"), c.form.integer("percent_off")
	c.form.optional("currency", &co.Currency)
	c.form.optional("name", &co.Name)
	co.Duration = c.form.oneOf("duration", "once", "once", "repeating", "forever")
	co.DurationInMonths, co.MaxRedemptions, co.RedeemBy = c.form.integer("duration_in_months"), c.form.integer("max_redemptions"), c.form.integer("redeem_by")
	co.Metadata = c.form.metadata(nil)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	switch {
	case (co.AmountOff == nil) == (co.PercentOff == nil):
		return nil, invalidRequest("percent_off", "", "You must pass either percent_off or amount_off, and not both.")
	case co.AmountOff != nil && (co.Currency == nil || *co.AmountOff < 1):
		return nil, invalidRequest("currency", "", "An amount_off must be above 0 and needs a currency.")
	case co.PercentOff != nil && (*co.PercentOff < 1 || *co.PercentOff > 100):
		return nil, invalidRequest("percent_off", "", "percent_off must be from 1 to 100; the sandbox takes whole numbers.")
	case (co.Duration == "repeating") != (co.DurationInMonths != nil):
		return nil, invalidRequest("duration_in_months", "", "You must pass duration_in_months if and only if duration is repeating.")
	}
	if _, taken := f.coupons.Get(co.ID); taken {
		return nil, invalidRequest("id", "resource_already_exists", "Coupon already exists.")
	}
	return co, save(f, f.coupons, co.ID, co, "coupon.created")
}

func (f *Fake) coupon(id, param string) (Coupon, *apiError) {
	co, ok := f.coupons.Get(id)
	if !ok {
		return co, noSuchParam("coupon", param, id)
	}
	co.Valid = (co.MaxRedemptions == nil || co.TimesRedeemed < *co.MaxRedemptions) && (co.RedeemBy == nil || f.now() < *co.RedeemBy)
	return co, nil
}

func (f *Fake) getCoupon(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if _, ok := f.coupons.Get(c.id); !ok {
		return nil, noSuch("coupon", "coupon", c.id)
	}
	return asAny(f.coupon(c.id, "coupon"))
}

// deleteCoupon takes a coupon from sale. Who has redeemed it keeps the discount.
func (f *Fake) deleteCoupon(c *call) (any, *apiError) {
	co, ok := f.coupons.Get(c.id)
	if !ok {
		return nil, noSuch("coupon", "coupon", c.id)
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if bad := stored(f.coupons.Delete(co.ID)); bad != nil {
		return nil, bad
	}
	f.emit("coupon.deleted", co.ID, co)
	return deletedObject{co.ID, "coupon", true}, nil
}

func (f *Fake) listCoupons(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.coupons, page, "coupon", "/v1/coupons", func(co Coupon) string { return co.ID }, func(co Coupon) bool { return created(co.Created) }))
}

func (f *Fake) createPromotionCode(c *call) (any, *apiError) {
	id, _ := c.form.text("coupon")
	co, bad := f.coupon(id, "coupon")
	if bad != nil {
		return nil, bad
	}
	p := PromotionCode{ID: f.ids.Next("promo_1", 23), Object: "promotion_code", Active: true, Coupon: co, Created: f.now()}
	p.Code = strings.ToUpper(f.ids.Next("", 8))
	if code, sent := c.form.text("code"); sent && code != "" {
		p.Code = code
	}
	c.form.boolean("active", &p.Active)
	c.form.optional("customer", &p.Customer)
	p.ExpiresAt, p.MaxRedemptions = c.form.integer("expires_at"), c.form.integer("max_redemptions")
	if r := c.form.child("restrictions"); r != nil {
		r.boolean("first_time_transaction", &p.Restrictions.FirstTimeTransaction)
		p.Restrictions.MinimumAmount = r.integer("minimum_amount")
		r.optional("minimum_amount_currency", &p.Restrictions.MinimumAmountCurrency)
	}
	p.Metadata = c.form.metadata(nil)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if _, taken := f.promotionCode(p.Code); taken && p.Active {
		return nil, invalidRequest("code", "resource_already_exists", "An active promotion code with `code: "+p.Code+"` already exists.")
	}
	return p, save(f, f.promotions, p.ID, p, "promotion_code.created")
}

// promotionCode finds an active code by its word.
func (f *Fake) promotionCode(code string) (PromotionCode, bool) {
	for _, p := range f.promotions.All(func(p PromotionCode) bool { return p.Active && strings.EqualFold(p.Code, code) }) {
		return p, true
	}
	return PromotionCode{}, false
}

func (f *Fake) getPromotionCode(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	p, ok := f.promotions.Get(c.id)
	if !ok {
		return nil, noSuch("promotion_code", "promotion_code", c.id)
	}
	return p, nil
}

func (f *Fake) updatePromotionCode(c *call) (any, *apiError) {
	p, ok := f.promotions.Get(c.id)
	if !ok {
		return nil, noSuch("promotion_code", "promotion_code", c.id)
	}
	c.form.boolean("active", &p.Active)
	p.Metadata = c.form.metadata(p.Metadata)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return p, save(f, f.promotions, p.ID, p, "promotion_code.updated")
}

func (f *Fake) listPromotionCodes(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	code, byCode := c.form.text("code")
	coupon, byCoupon := c.form.text("coupon")
	_, byActive := c.form.values["active"]
	var active bool
	c.form.boolean("active", &active)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.promotions, page, "promotion_code", "/v1/promotion_codes", func(p PromotionCode) string { return p.ID }, func(p PromotionCode) bool {
		return created(p.Created) && (!byCode || strings.EqualFold(p.Code, code)) && (!byCoupon || p.Coupon.ID == coupon) && (!byActive || p.Active == active)
	}))
}
