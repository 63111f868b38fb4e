package stripe

import (
	"slices"
	"strconv"
	"strings"
)

// Price is Stripe's price object, with the fields that the sandbox keeps. Amounts are cents.
type Price struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"`
	Active            bool               `json:"active"`
	BillingScheme     string             `json:"billing_scheme"`
	Created           int64              `json:"created"`
	Currency          string             `json:"currency"`
	CustomUnitAmount  *struct{}          `json:"custom_unit_amount"`
	Livemode          bool               `json:"livemode"`
	LookupKey         *string            `json:"lookup_key"`
	Metadata          map[string]string  `json:"metadata"`
	Nickname          *string            `json:"nickname"`
	Product           string             `json:"product"`
	Recurring         *Recurring         `json:"recurring"`
	TaxBehavior       string             `json:"tax_behavior"`
	Tiers             []Tier             `json:"tiers,omitempty"` // only when expanded
	TiersMode         *string            `json:"tiers_mode"`
	TransformQuantity *TransformQuantity `json:"transform_quantity"`
	Type              string             `json:"type"`
	UnitAmount        *int64             `json:"unit_amount"`
	UnitAmountDecimal *string            `json:"unit_amount_decimal"`
}

// Recurring says how often a price is charged.
type Recurring struct {
	AggregateUsage  *string `json:"aggregate_usage"`
	Interval        string  `json:"interval"`
	IntervalCount   int64   `json:"interval_count"`
	Meter           *string `json:"meter"`
	TrialPeriodDays *int64  `json:"trial_period_days"`
	UsageType       string  `json:"usage_type"`
}

// Tier is one step of a tiered price; UpTo is nil in the last.
type Tier struct {
	FlatAmount        *int64  `json:"flat_amount"`
	FlatAmountDecimal *string `json:"flat_amount_decimal"`
	UnitAmount        *int64  `json:"unit_amount"`
	UnitAmountDecimal *string `json:"unit_amount_decimal"`
	UpTo              *int64  `json:"up_to"`
}

// TransformQuantity divides the quantity before it is priced.
type TransformQuantity struct {
	DivideBy int64  `json:"divide_by"`
	Round    string `json:"round"`
}

func (f *Fake) newPrice(product string) Price {
	return Price{
		ID: f.ids.Next("price_1", 23), Object: "price", Active: true, BillingScheme: "per_unit", Created: f.now(),
		Metadata: map[string]string{}, Product: product, TaxBehavior: "unspecified", Type: "one_time",
	}
}

func (f *Fake) createPrice(c *call) (any, *apiError) {
	product, fresh, bad := f.productOfPrice(c.form)
	if bad != nil {
		return nil, bad
	}
	p := f.newPrice(product)
	c.form.boolean("active", &p.Active)
	c.form.optional("nickname", &p.Nickname)
	moved, bad := f.readLookupKey(c.form, &p)
	if bad != nil {
		return nil, bad
	}
	p.Metadata = c.form.metadata(nil)
	if bad := readPrice(c.form, &p); bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if fresh != nil {
		if bad := save(f, f.products, fresh.ID, *fresh, "product.created"); bad != nil {
			return nil, bad
		}
	}
	if moved != nil {
		if bad := save(f, f.prices, moved.ID, *moved, "price.updated"); bad != nil {
			return nil, bad
		}
	}
	return p, save(f, f.prices, p.ID, p, "price.created")
}

// productOfPrice returns the product's identifier, and the product when it is to be created with the price.
func (f *Fake) productOfPrice(form *form) (string, *Product, *apiError) {
	id, named := form.text("product")
	data := form.child("product_data")
	switch {
	case named && data != nil:
		return "", nil, invalidRequest("product_data", "parameters_exclusive", "You may only specify one of these parameters: product, product_data.")
	case named:
		if _, ok := f.products.Get(id); !ok {
			return "", nil, noSuchParam("product", "product", id)
		}
		return id, nil, nil
	case data == nil:
		return "", nil, missingParam("product")
	}
	p, bad := f.newProduct(data)
	if bad != nil {
		return "", nil, bad
	}
	data.boolean("active", &p.Active)
	p.Name, _ = data.text("name")
	if p.Name == "" {
		return "", nil, missingParam("product_data[name]")
	}
	for key, field := range map[string]**string{"statement_descriptor": &p.StatementDescriptor, "tax_code": &p.TaxCode, "unit_label": &p.UnitLabel} {
		data.optional(key, field)
	}
	p.Metadata = data.metadata(nil)
	return p.ID, &p, nil
}

// readPrice reads what a price and a product's default_price_data have in common.
func readPrice(form *form, p *Price) *apiError {
	currency, _ := form.text("currency")
	if currency == "" {
		return missingParam(form.path("currency"))
	}
	p.Currency = strings.ToLower(currency)
	if len(p.Currency) != 3 {
		return invalidRequest(form.path("currency"), "", "Invalid currency: "+currency)
	}
	p.TaxBehavior = form.oneOf("tax_behavior", p.TaxBehavior, "exclusive", "inclusive", "unspecified")
	p.BillingScheme = form.oneOf("billing_scheme", p.BillingScheme, "per_unit", "tiered")
	p.UnitAmount, p.UnitAmountDecimal = form.amount("unit_amount")
	if r := form.child("recurring"); r != nil {
		p.Type = "recurring"
		p.Recurring = readRecurring(r)
	}
	if t := form.child("transform_quantity"); t != nil {
		p.TransformQuantity = &TransformQuantity{Round: t.oneOf("round", "up", "up", "down")}
		if n := t.integer("divide_by"); n != nil {
			p.TransformQuantity.DivideBy = *n
		}
	}
	return readTiers(form, p)
}

func readRecurring(form *form) *Recurring {
	r := &Recurring{IntervalCount: 1, UsageType: form.oneOf("usage_type", "licensed", "licensed", "metered")}
	r.Interval = form.oneOf("interval", "", "day", "week", "month", "year")
	if r.Interval == "" {
		form.fail(missingParam(form.path("interval")))
	}
	if n := form.integer("interval_count"); n != nil {
		r.IntervalCount = *n
	}
	r.TrialPeriodDays = form.integer("trial_period_days")
	form.optional("meter", &r.Meter)
	if agg := form.oneOf("aggregate_usage", "", "sum", "last_during_period", "last_ever", "max"); agg != "" {
		r.AggregateUsage = &agg
	} else if r.UsageType == "metered" && r.Meter == nil {
		sum := "sum"
		r.AggregateUsage = &sum
	}
	return r
}

func readTiers(form *form, p *Price) *apiError {
	mode := form.oneOf("tiers_mode", "", "graduated", "volume")
	for _, item := range form.list("tiers") {
		t := Tier{}
		t.UnitAmount, t.UnitAmountDecimal = item.amount("unit_amount")
		t.FlatAmount, t.FlatAmountDecimal = item.amount("flat_amount")
		if upTo, _ := item.text("up_to"); upTo != "inf" {
			t.UpTo = item.integer("up_to")
		}
		p.Tiers = append(p.Tiers, t)
	}
	switch {
	case p.BillingScheme == "tiered" && (mode == "" || len(p.Tiers) == 0):
		return missingParam(form.path("tiers"))
	case p.BillingScheme == "tiered" && p.Tiers[len(p.Tiers)-1].UpTo != nil:
		return invalidRequest("tiers", "", "The last tier must have up_to=inf.")
	case p.BillingScheme != "tiered" && p.UnitAmountDecimal == nil && *form.err == nil:
		return missingParam(form.path("unit_amount"))
	}
	if mode != "" {
		p.TiersMode = &mode
	}
	return nil
}

// amount reads NAME or NAME_decimal, and returns both forms; the whole one is nil when there is a fraction.
func (f *form) amount(name string) (*int64, *string) {
	whole, decimal := f.integer(name), f.decimal(name+"_decimal")
	if whole != nil && decimal != nil {
		f.fail(invalidRequest(f.path(name), "parameters_exclusive", "You may only specify one of these parameters: "+name+", "+name+"_decimal."))
	}
	if whole != nil {
		if *whole < 0 {
			f.fail(invalidRequest(f.path(name), "parameter_invalid_integer", "This value must be greater than or equal to 0."))
		}
		text := strconv.FormatInt(*whole, 10)
		return whole, &text
	}
	if decimal != nil {
		if n, err := strconv.ParseInt(*decimal, 10, 64); err == nil {
			return &n, decimal
		}
	}
	return nil, decimal
}

// readLookupKey sets the key, and returns the price that loses it when the request transfers it.
func (f *Fake) readLookupKey(form *form, p *Price) (*Price, *apiError) {
	var transfer bool
	form.boolean("transfer_lookup_key", &transfer)
	form.optional("lookup_key", &p.LookupKey)
	if p.LookupKey == nil {
		return nil, nil
	}
	owner, taken := f.prices.Find(func(o Price) bool { return o.ID != p.ID && orEmpty(o.LookupKey) == *p.LookupKey })
	if !taken {
		return nil, nil
	}
	if !transfer {
		return nil, invalidRequest("lookup_key", "", "A price (`"+owner.ID+"`) already uses that lookup key.")
	}
	owner.LookupKey = nil
	return &owner, nil
}

func (f *Fake) getPrice(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	p, ok := f.prices.Get(c.id)
	if !ok {
		return nil, noSuch("price", "price", c.id)
	}
	return p, nil
}

func (f *Fake) updatePrice(c *call) (any, *apiError) {
	p, ok := f.prices.Get(c.id)
	if !ok {
		return nil, noSuch("price", "price", c.id)
	}
	c.form.boolean("active", &p.Active)
	c.form.optional("nickname", &p.Nickname)
	p.TaxBehavior = c.form.oneOf("tax_behavior", p.TaxBehavior, "exclusive", "inclusive", "unspecified")
	p.Metadata = c.form.metadata(p.Metadata)
	moved, bad := f.readLookupKey(c.form, &p)
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if moved != nil {
		if bad := save(f, f.prices, moved.ID, *moved, "price.updated"); bad != nil {
			return nil, bad
		}
	}
	if bad := save(f, f.prices, p.ID, p, "price.updated"); bad != nil {
		return nil, bad
	}
	return p, f.refreshPrice(p)
}

func (f *Fake) listPrices(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	_, byActive := c.form.values["active"]
	var active bool
	c.form.boolean("active", &active)
	product, byProduct := c.form.text("product")
	currency, byCurrency := c.form.text("currency")
	lookup := c.form.strings("lookup_keys")
	kind := c.form.oneOf("type", "", "one_time", "recurring")
	recurring := recurringFilter(c.form.child("recurring"))
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	out, bad := paginate(f.prices, page, "price", "/v1/prices", func(p Price) string { return p.ID }, func(p Price) bool {
		return created(p.Created) && (!byActive || p.Active == active) && (!byProduct || p.Product == product) &&
			(!byCurrency || p.Currency == currency) && (kind == "" || p.Type == kind) && recurring(p.Recurring) &&
			(lookup == nil || slices.Contains(lookup, orEmpty(p.LookupKey)))
	})
	for i := range out.Data {
		out.Data[i].Tiers = nil
	}
	return asAny(out, bad)
}

func recurringFilter(form *form) func(*Recurring) bool {
	if form == nil {
		return func(*Recurring) bool { return true }
	}
	interval, byInterval := form.text("interval")
	usage, byUsage := form.text("usage_type")
	meter, byMeter := form.text("meter")
	return func(r *Recurring) bool {
		return r != nil && (!byInterval || r.Interval == interval) && (!byUsage || r.UsageType == usage) && (!byMeter || orEmpty(r.Meter) == meter)
	}
}
