package stripe

import "slices"

// Schedule is Stripe's subscription schedule, with the fields that the sandbox keeps. It changes a subscription at the ends of its periods.
type Schedule struct {
	ID                   string            `json:"id"`
	Object               string            `json:"object"`
	CanceledAt           *int64            `json:"canceled_at"`
	CompletedAt          *int64            `json:"completed_at"`
	Created              int64             `json:"created"`
	CurrentPhase         *PhaseSpan        `json:"current_phase"`
	Customer             string            `json:"customer"`
	EndBehavior          string            `json:"end_behavior"`
	Livemode             bool              `json:"livemode"`
	Metadata             map[string]string `json:"metadata"`
	Phases               []Phase           `json:"phases"`
	ReleasedAt           *int64            `json:"released_at"`
	ReleasedSubscription *string           `json:"released_subscription"`
	Status               string            `json:"status"`
	Subscription         *string           `json:"subscription"`
	TestClock            *string           `json:"test_clock"`
}

// PhaseSpan is when a phase begins and ends.
type PhaseSpan struct {
	StartDate int64 `json:"start_date"`
	EndDate   int64 `json:"end_date"`
}

// Phase is what a subscription has for a time.
type Phase struct {
	PhaseSpan
	Items                []PhaseItem       `json:"items"`
	AutomaticTax         AutomaticTax      `json:"automatic_tax"`
	CollectionMethod     *string           `json:"collection_method"`
	Coupon               *string           `json:"coupon"`
	DefaultPaymentMethod *string           `json:"default_payment_method"`
	Description          *string           `json:"description"`
	Discounts            []PhaseDiscount   `json:"discounts"`
	Metadata             map[string]string `json:"metadata"`
	ProrationBehavior    string            `json:"proration_behavior"`
	TrialEnd             *int64            `json:"trial_end"`
}

// PhaseDiscount is a discount of a phase: one that the subscription has, or a coupon that the phase redeems.
type PhaseDiscount struct {
	Coupon        *string `json:"coupon"`
	Discount      *string `json:"discount"`
	PromotionCode *string `json:"promotion_code"`
}

// PhaseItem is one price of a phase.
type PhaseItem struct {
	Price    string            `json:"price"`
	Plan     string            `json:"plan"`
	Quantity *int64            `json:"quantity,omitempty"`
	Metadata map[string]string `json:"metadata"`
}

func (f *Fake) schedule(id string) (Schedule, *apiError) {
	s, ok := f.schedules.Get(id)
	if !ok {
		return Schedule{}, noSuch("subscription_schedule", "schedule", id)
	}
	return s, nil
}

// createSchedule makes a schedule from a subscription; the sandbox makes no others.
func (f *Fake) createSchedule(c *call) (any, *apiError) {
	id, sent := c.form.text("from_subscription")
	if !sent {
		return nil, missingParam("from_subscription")
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	sub, ok := f.subscriptions.Get(id)
	switch {
	case !ok:
		return nil, noSuchParam("subscription", "from_subscription", id)
	case sub.over(), sub.Status == "incomplete":
		return nil, invalidRequest("from_subscription", "", "You cannot migrate a subscription that is "+sub.Status+" to a schedule.")
	case sub.Schedule != nil:
		return nil, invalidRequest("from_subscription", "", "You cannot migrate a subscription that is already attached to a schedule: "+*sub.Schedule+".")
	case sub.CancelAt != nil:
		return nil, invalidRequest("from_subscription", "", "The sandbox makes no schedule of a subscription that is going to be canceled.")
	}
	cus, _ := f.customers.Get(sub.Customer)
	span := PhaseSpan{sub.CurrentPeriodStart, sub.CurrentPeriodEnd}
	phase := Phase{
		PhaseSpan: span, ProrationBehavior: "create_prorations", AutomaticTax: sub.AutomaticTax, CollectionMethod: &sub.CollectionMethod,
		DefaultPaymentMethod: sub.DefaultPaymentMethod, Description: sub.Description, Discounts: []PhaseDiscount{}, Metadata: map[string]string{},
	}
	if sub.Status == "trialing" {
		phase.TrialEnd = sub.TrialEnd
	}
	if d := sub.Discount.current(sub.CurrentPeriodStart); d != nil {
		phase.Coupon, phase.Discounts = &d.Coupon.ID, []PhaseDiscount{{Discount: &d.ID}}
	}
	for _, i := range sub.Items.Data {
		phase.Items = append(phase.Items, PhaseItem{Price: i.Price.ID, Plan: i.Price.ID, Quantity: i.Quantity, Metadata: map[string]string{}})
	}
	s := Schedule{
		ID: f.ids.Next("sub_sched_1", 23), Object: "subscription_schedule", Created: f.timeOf(cus), CurrentPhase: &span, Customer: sub.Customer,
		EndBehavior: "release", Metadata: map[string]string{}, Phases: []Phase{phase}, Status: "active", Subscription: &sub.ID, TestClock: sub.TestClock,
	}
	sub.Schedule = &s.ID
	if bad := save(f, f.schedules, s.ID, s, "subscription_schedule.created"); bad != nil {
		return nil, bad
	}
	return s, save(f, f.subscriptions, sub.ID, sub, "customer.subscription.updated")
}

func (f *Fake) listSchedules(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	customer, byCustomer := c.form.text("customer")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.schedules, page, "subscription_schedule", "/v1/subscription_schedules", func(s Schedule) string { return s.ID }, func(s Schedule) bool {
		return created(s.Created) && (!byCustomer || s.Customer == customer)
	}))
}

func (f *Fake) getSchedule(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.schedule(c.id))
}

// updateSchedule replaces the phases. The first must be the present one.
func (f *Fake) updateSchedule(c *call) (any, *apiError) {
	s, bad := f.schedule(c.id)
	if bad != nil {
		return nil, bad
	}
	if s.Status != "active" {
		return nil, invalidRequest("", "", "You cannot update a subscription schedule that is currently in the `"+s.Status+"` status. It must be not started, or active.")
	}
	sub, bad := f.subscription(orEmpty(s.Subscription))
	if bad != nil {
		return nil, bad
	}
	s.EndBehavior = c.form.oneOf("end_behavior", s.EndBehavior, "release", "cancel")
	s.Metadata = c.form.metadata(s.Metadata)
	c.form.oneOf("proration_behavior", "create_prorations", "create_prorations", "none", "always_invoice")
	if list := c.form.list("phases"); list != nil {
		if s.Phases, bad = f.readPhases(list, sub); bad != nil {
			return nil, bad
		}
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if bad := f.updatePresent(s, sub); bad != nil {
		return nil, bad
	}
	return s, save(f, f.schedules, s.ID, s, "subscription_schedule.updated")
}

// updatePresent gives a subscription at once what its schedule's present phase has. In the sandbox that neither gives back nor charges anything.
func (f *Fake) updatePresent(s Schedule, sub Subscription) *apiError {
	at := slices.IndexFunc(s.Phases, func(p Phase) bool { return s.CurrentPhase != nil && p.StartDate == s.CurrentPhase.StartDate })
	if at < 0 || sub.has(s.Phases[at].Items) {
		return nil
	}
	if bad := f.setPhaseItems(&sub, s.Phases[at], sub.CurrentPeriodStart); bad != nil {
		return bad
	}
	return save(f, f.subscriptions, sub.ID, sub, "customer.subscription.updated")
}

// has tells whether a subscription has exactly these items.
func (s Subscription) has(items []PhaseItem) bool {
	return slices.EqualFunc(s.Items.Data, items, func(have SubscriptionItem, want PhaseItem) bool {
		return have.Price.ID == want.Price && orZero(have.Quantity) == orZero(want.Quantity)
	})
}

// setPhaseItems gives a subscription, which the caller saves, the items of a phase.
func (f *Fake) setPhaseItems(sub *Subscription, p Phase, at int64) *apiError {
	items := slices.Clone(sub.Items.Data)
	for n, want := range p.Items {
		price, ok := f.prices.Get(want.Price) // also one that was taken off sale since
		if !ok {
			return noSuchParam("price", "price", want.Price)
		}
		if n == len(items) {
			items = append(items, f.newItem(price, 1, at))
		}
		items[n].Price, items[n].Quantity = price, want.Quantity
	}
	sub.setItems(items[:len(p.Items)])
	return nil
}

func (f *Fake) readPhases(list []*form, sub Subscription) (phases []Phase, bad *apiError) {
	at := sub.CurrentPeriodStart
	for n, in := range list {
		p := Phase{
			PhaseSpan: PhaseSpan{StartDate: at}, ProrationBehavior: in.oneOf("proration_behavior", "create_prorations", "create_prorations", "none", "always_invoice"),
			Discounts: []PhaseDiscount{}, Metadata: in.metadata(nil), TrialEnd: in.integer("trial_end"),
		}
		if trial := n == 0 && sub.Status == "trialing"; trial != (p.TrialEnd != nil) || trial && *p.TrialEnd != *sub.TrialEnd {
			return nil, invalidRequest(in.path("trial_end"), "", "In the sandbox a schedule changes no trial: the present phase has the trial_end of the subscription, and later phases have none.")
		}
		in.optional("coupon", &p.Coupon)
		in.optional("default_payment_method", &p.DefaultPaymentMethod)
		in.optional("description", &p.Description)
		if method := in.oneOf("collection_method", "", "charge_automatically", "send_invoice"); method != "" {
			p.CollectionMethod = &method
		}
		if tax := in.child("automatic_tax"); tax != nil {
			tax.boolean("enabled", &p.AutomaticTax.Enabled)
		}
		if bad := f.readPhaseDiscounts(in, &p, sub); bad != nil {
			return nil, bad
		}
		rhythm := sub.recurring()
		for _, item := range in.list("items") {
			id, _ := item.text("price")
			price, bad := f.priceOfItem(item.path("price"), id) // Stripe's documentation does not say whether it takes an inactive price that the subscription has
			if bad != nil {
				return nil, bad
			}
			rhythm = *price.Recurring
			p.Items = append(p.Items, PhaseItem{Price: id, Plan: id, Quantity: item.integer("quantity"), Metadata: map[string]string{}})
		}
		start, end, iterations := in.integer("start_date"), in.integer("end_date"), in.integer("iterations")
		switch {
		case len(p.Items) == 0:
			return nil, missingParam(in.path("items"))
		case start != nil && *start != at:
			return nil, invalidRequest(in.path("start_date"), "", "A phase must begin when the one before ends, and the first with the present phase.")
		case end != nil:
			p.EndDate = *end
		default:
			p.EndDate = rhythm.boundary(at, max(orZero(iterations), 1))
		}
		if n == 0 && p.EndDate != sub.CurrentPeriodEnd {
			return nil, invalidRequest(in.path("end_date"), "", "In the sandbox the first phase ends with the present period.")
		}
		if p.EndDate <= p.StartDate {
			return nil, invalidRequest(in.path("end_date"), "", "A phase must end after it begins.")
		}
		phases, at = append(phases, p), p.EndDate
	}
	return phases, nil
}

// readPhaseDiscounts reads the discounts of a phase; the sandbox has one at most.
func (f *Fake) readPhaseDiscounts(in *form, p *Phase, sub Subscription) *apiError {
	for _, d := range in.list("discounts") {
		var one PhaseDiscount
		d.optional("coupon", &one.Coupon)
		d.optional("discount", &one.Discount)
		d.optional("promotion_code", &one.PromotionCode)
		if one.Discount != nil && (sub.Discount == nil || sub.Discount.ID != *one.Discount) {
			return noSuchParam("discount", d.path("discount"), *one.Discount)
		}
		p.Discounts = append(p.Discounts, one)
	}
	if len(p.Discounts) > 1 {
		return invalidRequest(in.path("discounts"), "", "The sandbox takes one discount for a phase.")
	}
	return nil
}

// enterDiscount gives a subscription the discount of a phase: one that is not named in it is lost.
func (f *Fake) enterDiscount(sub *Subscription, p Phase, at int64) *apiError {
	var of PhaseDiscount
	if len(p.Discounts) > 0 {
		of = p.Discounts[0]
	}
	if of.Discount != nil {
		return nil // it continues as it is
	}
	sub.Discount = nil
	o := offer{}
	switch {
	case of.PromotionCode != nil:
		code, ok := f.promotions.Get(*of.PromotionCode)
		if !ok {
			return noSuchParam("promotion_code", "promotion_code", *of.PromotionCode)
		}
		o = offer{code.Coupon, &code}
	case of.Coupon != nil, p.Coupon != nil:
		co, bad := f.coupon(orDefault(orEmpty(of.Coupon), orEmpty(p.Coupon)), "coupon")
		if bad != nil {
			return bad
		}
		o.coupon = co
	default:
		return nil
	}
	d, bad := f.redeem(o, at)
	if bad == nil {
		sub.discount(d)
	}
	return bad
}

func (f *Fake) releaseSchedule(c *call) (any, *apiError) {
	s, bad := f.schedule(c.id)
	if bad != nil {
		return nil, bad
	}
	c.form.onlyFalse("preserve_cancel_date")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if s.Status != "active" {
		return nil, invalidRequest("", "", "You cannot release a subscription schedule that is currently in the `"+s.Status+"` status.")
	}
	sub, bad := f.subscription(orEmpty(s.Subscription))
	if bad != nil {
		return nil, bad
	}
	cus, _ := f.customers.Get(s.Customer)
	if bad := f.endSchedule(&sub, "released", f.timeOf(cus)); bad != nil {
		return nil, bad
	}
	if bad := save(f, f.subscriptions, sub.ID, sub, "customer.subscription.updated"); bad != nil {
		return nil, bad
	}
	return asAny(f.schedule(c.id))
}

// endSchedule takes the schedule from a subscription, which the caller saves.
func (f *Fake) endSchedule(sub *Subscription, status string, at int64) *apiError {
	s, ok := f.schedules.Get(orEmpty(sub.Schedule))
	if !ok {
		return nil
	}
	sub.Schedule = nil
	s.Status, s.CurrentPhase = status, nil
	kind := "subscription_schedule.canceled"
	if status == "released" {
		kind = "subscription_schedule.released"
		s.ReleasedAt, s.ReleasedSubscription, s.Subscription = &at, &sub.ID, nil
	} else {
		s.CanceledAt = &at
	}
	return save(f, f.schedules, s.ID, s, kind)
}

// enterPhase gives a subscription, at the end of its period, what its schedule has for the next. The caller saves the subscription.
func (f *Fake) enterPhase(sub *Subscription, at int64) *apiError {
	s, ok := f.schedules.Get(orEmpty(sub.Schedule))
	if !ok {
		return nil
	}
	next := slices.IndexFunc(s.Phases, func(p Phase) bool { return p.StartDate <= at && at < p.EndDate })
	if next < 0 {
		return f.endSchedule(sub, "released", at)
	}
	phase := s.Phases[next]
	if s.CurrentPhase != nil && *s.CurrentPhase == phase.PhaseSpan {
		return nil
	}
	rhythm := sub.recurring()
	if bad := f.setPhaseItems(sub, phase, at); bad != nil {
		return bad
	}
	if bad := f.enterDiscount(sub, phase, at); bad != nil {
		return bad
	}
	sub.AutomaticTax, sub.Description = phase.AutomaticTax, phase.Description
	if phase.DefaultPaymentMethod != nil {
		sub.DefaultPaymentMethod = phase.DefaultPaymentMethod
	}
	if !sameInterval(rhythm, sub.recurring()) {
		sub.BillingCycleAnchor = at
	}
	s.CurrentPhase = &phase.PhaseSpan
	return save(f, f.schedules, s.ID, s, "subscription_schedule.updated")
}
