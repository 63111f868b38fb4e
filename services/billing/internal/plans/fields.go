package plans

import (
	"math"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/trivet-dev/trivet/services/billing/internal/money"
)

const (
	maxDays   = 730
	maxSeats  = 100_000
	maxMonths = 120
)

func (r *reader) plan(n *yaml.Node) Plan {
	p, free := Plan{TaxBehavior: TaxExclusive, RenewalAdvance: defaultAdvance, GraceDays: defaultGrace}, false
	seen := r.fields("", n, map[string]func(string, *yaml.Node){
		"id":              func(f string, n *yaml.Node) { r.id(f, n, &p.ID) },
		"name":            func(f string, n *yaml.Node) { r.text(f, n, &p.Name) },
		"price":           func(f string, n *yaml.Node) { free = r.price(f, n, &p.Price) && p.Price == 0 },
		"yearly_price":    func(f string, n *yaml.Node) { r.yearlyPrice(f, n, &p) },
		"tax_behavior":    func(f string, n *yaml.Node) { r.oneOf(f, n, &p.TaxBehavior, TaxExclusive, TaxInclusive) },
		"tax_code":        func(f string, n *yaml.Node) { r.taxCode(f, n, &p.TaxCode) },
		"included_credit": func(f string, n *yaml.Node) { r.dollars(f, n, maxCredit, &p.IncludedCredit) },
		"renewal_advance_percent": func(f string, n *yaml.Node) {
			p.RenewalAdvance = r.count(f, n, 0, 100)
		},
		"grace_days": func(f string, n *yaml.Node) { p.GraceDays = r.count(f, n, 0, 28) },
		"seats":      func(_ string, n *yaml.Node) { p.Seats = r.seats(n) },
		"trial":      func(_ string, n *yaml.Node) { p.Trial = r.trial(n) },
		"overage":    func(_ string, n *yaml.Node) { p.Overage = r.overage(n) },
		"auto_top_up": func(_ string, n *yaml.Node) {
			p.TopUp = r.topUp(n)
		},
		"limits":   func(_ string, n *yaml.Node) { r.limits(n, &p.Limits) },
		"models":   func(f string, n *yaml.Node) { r.models(f, n, &p.Models) },
		"features": func(f string, n *yaml.Node) { r.names(f, n, &p.Features) },
		"internal": func(f string, n *yaml.Node) { r.yes(f, n, &p.Internal) },
	})
	r.required(n, seen, "id", "name", "price", "included_credit")
	for _, interval := range []Interval{Month, Year} {
		if p.Seats != nil && p.Seats.Min <= p.Seats.Max && p.Seats.Min > p.MostSeats(interval) {
			r.wrong(n, "seats.min", "is %d, must be at most %d for the price of a %s: Stripe charges at most %s at once", p.Seats.Min, p.MostSeats(interval), interval, money.Format(maxPrice))
		}
	}
	for _, field := range []string{"yearly_price", "seats", "trial", "overage"} {
		if free && slices.Contains(seen, field) {
			r.wrong(n, field, "needs a price above 0: only a plan with a price is sold")
		}
	}
	return p
}

func (r *reader) yearlyPrice(field string, n *yaml.Node, p *Plan) {
	if r.price(field, n, &p.YearlyPrice) && p.YearlyPrice == 0 {
		r.wrong(n, field, "is %q, must be above 0, or absent when the plan is not sold by the year", n.Value)
	}
}

func (r *reader) seats(n *yaml.Node) *Seats {
	s := &Seats{Min: 1, Max: maxSeats}
	r.fields("seats.", n, map[string]func(string, *yaml.Node){
		"min":        func(f string, n *yaml.Node) { s.Min = r.count(f, n, 1, maxSeats) },
		"max":        func(f string, n *yaml.Node) { s.Max = r.count(f, n, 1, maxSeats) },
		"per_member": func(f string, n *yaml.Node) { r.yes(f, n, &s.PerMember) },
	})
	if s.Min > s.Max {
		r.wrong(n, "seats.min", "is %d, must be at most seats.max, which is %d", s.Min, s.Max)
	}
	return s
}

func (r *reader) trial(n *yaml.Node) *Trial {
	t := &Trial{CardRequired: true, WithoutCard: WithoutCardCancel}
	seen := r.fields("trial.", n, map[string]func(string, *yaml.Node){
		"days":          func(f string, n *yaml.Node) { t.Days = r.count(f, n, 1, maxDays) },
		"credit":        func(f string, n *yaml.Node) { r.dollars(f, n, maxCredit, &t.Credit) },
		"card_required": func(f string, n *yaml.Node) { r.yes(f, n, &t.CardRequired) },
		"without_card":  func(f string, n *yaml.Node) { r.oneOf(f, n, &t.WithoutCard, WithoutCardCancel, WithoutCardPause) },
	})
	if seen != nil && !slices.Contains(seen, "days") {
		r.wrong(n, "trial.days", "is missing")
	}
	return t
}

func (r *reader) overage(n *yaml.Node) *Overage {
	o := &Overage{}
	seen := r.fields("overage.", n, map[string]func(string, *yaml.Node){
		"cap": func(f string, n *yaml.Node) { r.positivePrice(f, n, &o.Cap) },
	})
	if seen != nil && !slices.Contains(seen, "cap") {
		r.wrong(n, "overage.cap", "is missing")
	}
	return o
}

func (r *reader) topUp(n *yaml.Node) *TopUp {
	t := &TopUp{}
	seen := r.fields("auto_top_up.", n, map[string]func(string, *yaml.Node){
		"max_threshold": func(f string, n *yaml.Node) { r.positive(f, n, &t.MaxThreshold) },
		"monthly_cap":   func(f string, n *yaml.Node) { r.positivePrice(f, n, &t.MonthlyCap) },
	})
	if seen != nil && !slices.Contains(seen, "monthly_cap") {
		r.wrong(n, "auto_top_up.monthly_cap", "is missing")
	}
	return t
}

func (r *reader) limits(n *yaml.Node, into *Limits) {
	r.fields("limits.", n, map[string]func(string, *yaml.Node){
		"requests_per_minute": func(f string, n *yaml.Node) {
			into.RequestsPerMinute = int32(r.count(f, n, 0, math.MaxInt32))
		},
		"requests_per_day": func(f string, n *yaml.Node) {
			into.RequestsPerDay = int32(r.count(f, n, 0, math.MaxInt32))
		},
		"tokens_per_minute": func(f string, n *yaml.Node) { into.TokensPerMinute = r.count(f, n, 0, math.MaxInt32) },
		"concurrent_requests": func(f string, n *yaml.Node) {
			into.ConcurrentRequests = int32(r.count(f, n, 0, math.MaxInt32))
		},
		"concurrent_streams": func(f string, n *yaml.Node) {
			into.ConcurrentStreams = int32(r.count(f, n, 0, math.MaxInt32))
		},
	})
}

func (r *reader) pack(n *yaml.Node) Pack {
	p := Pack{TaxBehavior: TaxExclusive, ExpireMonths: defaultPackMonths}
	seen := r.fields("", n, map[string]func(string, *yaml.Node){
		"id":            func(f string, n *yaml.Node) { r.id(f, n, &p.ID) },
		"name":          func(f string, n *yaml.Node) { r.text(f, n, &p.Name) },
		"price":         func(f string, n *yaml.Node) { r.packPrice(f, n, &p.Price) },
		"tax_behavior":  func(f string, n *yaml.Node) { r.oneOf(f, n, &p.TaxBehavior, TaxExclusive, TaxInclusive) },
		"tax_code":      func(f string, n *yaml.Node) { r.taxCode(f, n, &p.TaxCode) },
		"credit":        func(f string, n *yaml.Node) { r.positive(f, n, &p.Credit) },
		"expire_months": func(f string, n *yaml.Node) { p.ExpireMonths = r.count(f, n, 0, maxMonths) },
	})
	r.required(n, seen, "id", "name", "price", "credit")
	return p
}

// positive reads an amount of credit above 0.
func (r *reader) positive(field string, n *yaml.Node, into *int64) {
	if r.dollars(field, n, maxCredit, into) && *into == 0 {
		r.wrong(n, field, "is %q, must be above 0", n.Value)
	}
}

// packPrice reads a price that is charged alone.
func (r *reader) packPrice(field string, n *yaml.Node, into *int64) {
	if r.price(field, n, into) && *into < leastPack {
		r.wrong(n, field, "is %q, must be at least 0.50: Stripe makes no smaller payment", n.Value)
	}
}

func (r *reader) positivePrice(field string, n *yaml.Node, into *int64) {
	if r.price(field, n, into) && *into == 0 {
		r.wrong(n, field, "is %q, must be above 0", n.Value)
	}
}
