package stripe

import "slices"

// Subscription is Stripe's subscription at 2023-10-16, with the fields that the sandbox keeps.
type Subscription struct {
	ID                            string                        `json:"id"`
	Object                        string                        `json:"object"`
	Application                   null                          `json:"application"`
	ApplicationFeePercent         null                          `json:"application_fee_percent"`
	AutomaticTax                  AutomaticTax                  `json:"automatic_tax"`
	BillingCycleAnchor            int64                         `json:"billing_cycle_anchor"`
	BillingThresholds             null                          `json:"billing_thresholds"`
	CancelAt                      *int64                        `json:"cancel_at"`
	CancelAtPeriodEnd             bool                          `json:"cancel_at_period_end"`
	CanceledAt                    *int64                        `json:"canceled_at"`
	CancellationDetails           CancellationDetails           `json:"cancellation_details"`
	CollectionMethod              string                        `json:"collection_method"`
	Created                       int64                         `json:"created"`
	Currency                      string                        `json:"currency"`
	CurrentPeriodEnd              int64                         `json:"current_period_end"`
	CurrentPeriodStart            int64                         `json:"current_period_start"`
	Customer                      string                        `json:"customer"`
	DaysUntilDue                  *int64                        `json:"days_until_due"`
	DefaultPaymentMethod          *string                       `json:"default_payment_method"`
	DefaultSource                 null                          `json:"default_source"`
	DefaultTaxRates               []struct{}                    `json:"default_tax_rates"`
	Description                   *string                       `json:"description"`
	Discount                      *Discount                     `json:"discount"`
	EndedAt                       *int64                        `json:"ended_at"`
	Items                         countedList[SubscriptionItem] `json:"items"`
	LatestInvoice                 *string                       `json:"latest_invoice"`
	Livemode                      bool                          `json:"livemode"`
	Metadata                      map[string]string             `json:"metadata"`
	NextPendingInvoiceItemInvoice null                          `json:"next_pending_invoice_item_invoice"`
	PauseCollection               *PauseCollection              `json:"pause_collection"`
	PaymentSettings               PaymentSettings               `json:"payment_settings"`
	PendingSetupIntent            null                          `json:"pending_setup_intent"`
	PendingUpdate                 *PendingUpdate                `json:"pending_update"`
	Plan                          *Plan                         `json:"plan"`     // of the only item
	Quantity                      *int64                        `json:"quantity"` // of the only item
	Schedule                      *string                       `json:"schedule"`
	StartDate                     int64                         `json:"start_date"`
	Status                        string                        `json:"status"`
	TestClock                     *string                       `json:"test_clock"`
	TrialEnd                      *int64                        `json:"trial_end"`
	TrialSettings                 TrialSettings                 `json:"trial_settings"`
	TrialStart                    *int64                        `json:"trial_start"`
}

// PendingUpdate is a change that waits for its payment.
type PendingUpdate struct {
	BillingCycleAnchor *int64             `json:"billing_cycle_anchor"`
	ExpiresAt          int64              `json:"expires_at"`
	SubscriptionItems  []SubscriptionItem `json:"subscription_items"`
	TrialEnd           *int64             `json:"trial_end"`
	TrialFromPlan      *bool              `json:"trial_from_plan"`
}

// CancellationDetails say why a subscription was canceled.
type CancellationDetails struct {
	Comment  *string `json:"comment"`
	Feedback *string `json:"feedback"`
	Reason   *string `json:"reason"`
}

// PauseCollection says what happens to the invoices of a paused subscription.
type PauseCollection struct {
	Behavior  string `json:"behavior"`
	ResumesAt *int64 `json:"resumes_at"`
}

// PaymentSettings are a subscription's.
type PaymentSettings struct {
	PaymentMethodOptions     null   `json:"payment_method_options"`
	PaymentMethodTypes       null   `json:"payment_method_types"`
	SaveDefaultPaymentMethod string `json:"save_default_payment_method"`
}

// TrialSettings say what happens at the end of a trial without a card.
type TrialSettings struct {
	EndBehavior EndBehavior `json:"end_behavior"`
}

// EndBehavior is the inside of TrialSettings.
type EndBehavior struct {
	MissingPaymentMethod string `json:"missing_payment_method"`
}

// SubscriptionItem is one price of a subscription.
type SubscriptionItem struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	BillingThresholds null              `json:"billing_thresholds"`
	Created           int64             `json:"created"`
	Metadata          map[string]string `json:"metadata"`
	Plan              *Plan             `json:"plan"`
	Price             Price             `json:"price"`
	Quantity          *int64            `json:"quantity,omitempty"` // none when it is metered
	Subscription      string            `json:"subscription"`
	TaxRates          []struct{}        `json:"tax_rates"`
}

func (i SubscriptionItem) metered() bool {
	return i.Price.Recurring != nil && i.Price.Recurring.UsageType == "metered"
}

// Plan is the older form of a recurring price.
type Plan struct {
	ID              string            `json:"id"`
	Object          string            `json:"object"`
	Active          bool              `json:"active"`
	AggregateUsage  *string           `json:"aggregate_usage"`
	Amount          *int64            `json:"amount"`
	AmountDecimal   *string           `json:"amount_decimal"`
	BillingScheme   string            `json:"billing_scheme"`
	Created         int64             `json:"created"`
	Currency        string            `json:"currency"`
	Interval        string            `json:"interval"`
	IntervalCount   int64             `json:"interval_count"`
	Livemode        bool              `json:"livemode"`
	Metadata        map[string]string `json:"metadata"`
	Meter           *string           `json:"meter"`
	Nickname        *string           `json:"nickname"`
	Product         string            `json:"product"`
	TiersMode       *string           `json:"tiers_mode"`
	TransformUsage  null              `json:"transform_usage"`
	TrialPeriodDays *int64            `json:"trial_period_days"`
	UsageType       string            `json:"usage_type"`
}

// planOf is nil for a price that is charged once.
func planOf(p Price) *Plan {
	if p.Recurring == nil {
		return nil
	}
	return &Plan{
		ID: p.ID, Object: "plan", Active: p.Active, AggregateUsage: p.Recurring.AggregateUsage, Amount: p.UnitAmount, AmountDecimal: p.UnitAmountDecimal,
		BillingScheme: p.BillingScheme, Created: p.Created, Currency: p.Currency, Interval: p.Recurring.Interval, IntervalCount: p.Recurring.IntervalCount,
		Metadata: p.Metadata, Meter: p.Recurring.Meter, Nickname: p.Nickname, Product: p.Product, TiersMode: p.TiersMode,
		TrialPeriodDays: p.Recurring.TrialPeriodDays, UsageType: p.Recurring.UsageType,
	}
}

// setItems replaces the items, and what follows from them. The list must not be shared.
func (s *Subscription) setItems(items []SubscriptionItem) {
	for i := range items {
		items[i].Subscription = s.ID
		items[i].Plan = planOf(items[i].Price)
		items[i].Price.Tiers = nil
	}
	s.Items = counted(items, "/v1/subscription_items?subscription="+s.ID)
	s.Plan, s.Quantity = nil, nil
	if len(items) == 1 {
		s.Plan, s.Quantity = items[0].Plan, items[0].Quantity
	}
}

// recurring is the rhythm of the subscription: all its prices have the same.
func (s Subscription) recurring() Recurring {
	for _, i := range s.Items.Data {
		if i.Price.Recurring != nil {
			return *i.Price.Recurring
		}
	}
	return Recurring{Interval: "month", IntervalCount: 1}
}

func (s Subscription) over() bool { return s.Status == "canceled" || s.Status == "incomplete_expired" }

func (f *Fake) newSubscription(cus Customer) Subscription {
	now := f.timeOf(cus)
	s := Subscription{
		ID: f.ids.Next("sub_1", 23), Object: "subscription", BillingCycleAnchor: now, CollectionMethod: "charge_automatically", Created: now,
		CurrentPeriodStart: now, Customer: cus.ID, DefaultTaxRates: []struct{}{}, Metadata: map[string]string{},
		PaymentSettings: PaymentSettings{SaveDefaultPaymentMethod: "off"}, StartDate: now, Status: "incomplete", TestClock: cus.TestClock,
		TrialSettings: TrialSettings{EndBehavior{"create_invoice"}},
	}
	return s
}

func (f *Fake) newItem(price Price, quantity int64, at int64) SubscriptionItem {
	i := SubscriptionItem{
		ID: f.ids.Next("si_", 14), Object: "subscription_item", Created: at, Metadata: map[string]string{}, Price: price, TaxRates: []struct{}{},
	}
	if !i.metered() {
		i.Quantity = &quantity
	}
	return i
}

func (f *Fake) subscription(id string) (Subscription, *apiError) {
	s, ok := f.subscriptions.Get(id)
	if !ok {
		return Subscription{}, noSuch("subscription", "id", id)
	}
	return s, nil
}

func (f *Fake) getSubscription(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.subscription(c.id))
}

func (f *Fake) listSubscriptions(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	from, to := c.form.within("current_period_start"), c.form.within("current_period_end")
	customer, byCustomer := c.form.text("customer")
	if c.id != "" {
		customer, byCustomer = c.id, true
	}
	price, byPrice := c.form.text("price")
	clock, byClock := c.form.text("test_clock")
	method := c.form.oneOf("collection_method", "", "charge_automatically", "send_invoice")
	status := c.form.oneOf("status", "", "all", "ended", "active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.subscriptions, page, "subscription", "/v1/subscriptions", func(s Subscription) string { return s.ID }, func(s Subscription) bool {
		return created(s.Created) && from(s.CurrentPeriodStart) && to(s.CurrentPeriodEnd) && s.inStatus(status) &&
			(!byCustomer || s.Customer == customer) && (!byClock || orEmpty(s.TestClock) == clock) && (method == "" || s.CollectionMethod == method) &&
			(!byPrice || slices.ContainsFunc(s.Items.Data, func(i SubscriptionItem) bool { return i.Price.ID == price }))
	}))
}

// inStatus is the API's filter: without one, all but the canceled.
func (s Subscription) inStatus(filter string) bool {
	switch filter {
	case "all":
		return true
	case "":
		return s.Status != "canceled"
	case "ended":
		return s.over()
	}
	return s.Status == filter
}

func (f *Fake) listSubscriptionItems(c *call) (any, *apiError) {
	id, _ := c.form.text("subscription")
	page := c.form.cursor()
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	s, ok := f.subscriptions.Get(id)
	if !ok {
		return nil, noSuchParam("subscription", "subscription", id)
	}
	return asAny(paginateRows(s.Items.Data, page, "subscription_item", "/v1/subscription_items", func(i SubscriptionItem) string { return i.ID }))
}

// refreshPrice updates a changed price inside the subscriptions that use it. It emits no event for them, because they did
// not change.
func (f *Fake) refreshPrice(p Price) *apiError {
	for _, s := range f.subscriptions.All(nil) {
		items, has := slices.Clone(s.Items.Data), false
		for i := range items {
			if items[i].Price.ID == p.ID {
				items[i].Price, has = p, true
			}
		}
		if !has {
			continue
		}
		s.setItems(items)
		if bad := stored(f.subscriptions.Insert(s.ID, s)); bad != nil {
			return bad
		}
	}
	return nil
}
