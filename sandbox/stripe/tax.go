package stripe

import (
	"slices"
	"strings"
)

// TaxAmount is the tax of a line or of an invoice, in cents.
type TaxAmount struct {
	Amount           int64  `json:"amount"`
	Inclusive        bool   `json:"inclusive"`
	TaxRate          string `json:"tax_rate"`
	TaxabilityReason string `json:"taxability_reason"`
	TaxableAmount    int64  `json:"taxable_amount"`
}

// TaxID is a customer's tax id.
type TaxID struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Country      *string         `json:"country"`
	Created      int64           `json:"created"`
	Customer     string          `json:"customer"`
	Livemode     bool            `json:"livemode"`
	Type         string          `json:"type"`
	Value        string          `json:"value"`
	Verification TaxVerification `json:"verification"`
}

// TaxVerification says whether an authority knows a tax id.
type TaxVerification struct {
	Status          string  `json:"status"`
	VerifiedAddress *string `json:"verified_address"`
	VerifiedName    *string `json:"verified_name"`
}

// InvoiceTaxID is a tax id as an invoice has it.
type InvoiceTaxID struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// taxRates are the rates of the countries in which the sandbox's shop is registered, in percent. It collects no tax elsewhere.
func taxRates() map[string]int64 {
	return map[string]int64{
		"AT": 20, "AU": 10, "BE": 21, "CH": 8, "CZ": 21, "DE": 19, "DK": 25, "ES": 21, "FI": 24, "FR": 20, "GB": 20, "IE": 23, "IT": 22, "JP": 10,
		"LU": 17, "NL": 21, "NO": 25, "NZ": 15, "PL": 23, "PT": 23, "SE": 25,
	}
}

// businessIDs are the tax ids with which a business pays the tax itself, by country.
func businessID(country string) string {
	switch country {
	case "GB":
		return "gb_vat"
	case "CH":
		return "ch_vat"
	case "NO":
		return "no_vat"
	case "AU":
		return "au_abn"
	case "NZ":
		return "nz_gst"
	case "JP":
		return ""
	}
	return "eu_vat"
}

// taxed gives the lines their tax, and returns what is added to the total and all tax. Of inclusive prices it is a part.
func (inv *Invoice) taxed() (added, all int64) {
	inv.TotalTaxAmounts, inv.Tax = []TaxAmount{}, nil
	var inclusive []bool // by line
	for i := range inv.Lines.Data {
		l := &inv.Lines.Data[i]
		inclusive = append(inclusive, l.inclusive())
		l.TaxAmounts, l.AmountExclTax = []TaxAmount{}, l.Amount
	}
	if !inv.AutomaticTax.Enabled {
		return 0, 0
	}
	country := ""
	if inv.CustomerAddress != nil {
		country = strings.ToUpper(orEmpty(inv.CustomerAddress.Country))
	}
	status := "complete"
	if country == "" {
		status = "requires_location_inputs"
	}
	inv.AutomaticTax.Status = &status
	if country == "" {
		return 0, 0
	}
	sum := TaxAmount{TaxRate: "txr_sandbox_" + strings.ToLower(country)}
	sum.TaxabilityReason = inv.taxability(country)
	for i := range inv.Lines.Data {
		l := &inv.Lines.Data[i]
		t := TaxAmount{TaxRate: sum.TaxRate, TaxabilityReason: sum.TaxabilityReason, Inclusive: inclusive[i]}
		taxable := l.Amount
		for _, d := range l.DiscountAmounts {
			taxable -= d.Amount
		}
		if rate := taxRates()[country]; t.TaxabilityReason == "standard_rated" {
			t.Amount, t.TaxableAmount = share(taxable, rate, 100), taxable
			if t.Inclusive {
				t.Amount = share(taxable, rate, 100+rate)
				t.TaxableAmount, l.AmountExclTax = taxable-t.Amount, l.Amount-t.Amount
			}
		}
		l.TaxAmounts = []TaxAmount{t}
		sum.Amount, sum.TaxableAmount, sum.Inclusive = sum.Amount+t.Amount, sum.TaxableAmount+t.TaxableAmount, t.Inclusive
		if !t.Inclusive {
			added += t.Amount
		}
	}
	inv.TotalTaxAmounts, inv.Tax = []TaxAmount{sum}, &sum.Amount
	return added, sum.Amount
}

// inclusive tells whether the tax is a part of the line's amount. A line without a price says it in the tax that it has.
func (l *Line) inclusive() bool {
	if l.Price != nil && l.Price.TaxBehavior != "" && l.Price.TaxBehavior != "unspecified" {
		return l.Price.TaxBehavior == "inclusive"
	}
	return len(l.TaxAmounts) > 0 && l.TaxAmounts[0].Inclusive
}

// taxability is why tax is collected, or is not.
func (inv *Invoice) taxability(country string) string {
	_, registered := taxRates()[country]
	business := slices.ContainsFunc(inv.CustomerTaxIDs, func(id InvoiceTaxID) bool { return id.Type == businessID(country) })
	switch {
	case inv.CustomerTaxExempt == "exempt":
		return "customer_exempt"
	case inv.CustomerTaxExempt == "reverse", registered && business && country != "JP":
		return "reverse_charge"
	case !registered:
		return "not_collecting"
	}
	return "standard_rated"
}

// taxIDs are those of a customer as an invoice has them.
func (f *Fake) taxIDs(customer string) []InvoiceTaxID {
	ids := []InvoiceTaxID{}
	for _, id := range f.taxIdentifiers.All(func(id TaxID) bool { return id.Customer == customer }) {
		ids = append(ids, InvoiceTaxID{id.Type, id.Value})
	}
	return ids
}

func (f *Fake) createTaxID(c *call) (any, *apiError) {
	cus, bad := f.customer(c.id)
	if bad != nil {
		return nil, bad
	}
	kind, _ := c.form.text("type")
	value, _ := c.form.text("value")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.newTaxID(cus.ID, kind, value))
}

// taxKinds are the kinds of tax ids that the sandbox knows.
func taxKinds() []string {
	return []string{"eu_vat", "gb_vat", "ch_vat", "no_vat", "au_abn", "nz_gst", "us_ein"}
}

// newTaxID gives a customer a tax id. One with the word "invalid" in it is refused.
func (f *Fake) newTaxID(customer, kind, value string) (TaxID, *apiError) {
	switch {
	case !slices.Contains(taxKinds(), kind):
		return TaxID{}, invalidRequest("type", "", "The sandbox knows the tax ids "+strings.Join(taxKinds(), ", ")+", and not "+kind+".")
	case len(value) < 5, strings.Contains(strings.ToLower(value), "invalid"):
		return TaxID{}, invalidRequest("value", "tax_id_invalid", "Invalid value for "+kind+".")
	}
	id := TaxID{ID: f.ids.Next("txi_1", 23), Object: "tax_id", Created: f.now(), Customer: customer, Type: kind, Value: value, Verification: TaxVerification{Status: "verified"}}
	if country := strings.ToUpper(value[:2]); kind == "eu_vat" {
		id.Country = &country
	}
	return id, save(f, f.taxIdentifiers, id.ID, id, "customer.tax_id.created")
}

// dropTaxID takes a tax id from a customer. Invoices keep the one that they have.
func (f *Fake) dropTaxID(customer, id string) *apiError {
	gone, ok := f.taxIdentifiers.Get(id)
	if !ok || gone.Customer != customer {
		return noSuch("tax ID", "id", id)
	}
	if bad := stored(f.taxIdentifiers.Delete(id)); bad != nil {
		return bad
	}
	f.emit("customer.tax_id.deleted", id, gone)
	return nil
}

func (f *Fake) listTaxIDs(c *call) (any, *apiError) {
	page := c.form.cursor()
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.taxIdentifiers, page, "tax_id", "/v1/customers/"+c.id+"/tax_ids", func(id TaxID) string { return id.ID }, func(id TaxID) bool {
		return id.Customer == c.id
	}))
}
