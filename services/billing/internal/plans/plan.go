package plans

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Values of text fields.
const (
	// TaxExclusive adds tax to the price, and TaxInclusive has it in the price.
	TaxExclusive = "exclusive"
	TaxInclusive = "inclusive"
	// WithoutCardCancel cancels a subscription whose trial ends without a card, and WithoutCardPause pauses it.
	WithoutCardCancel = "cancel"
	WithoutCardPause  = "pause"
)

const (
	defaultAdvance    = 25
	defaultGrace      = 7
	defaultPackMonths = 12
)

// Plan is one version of a plan. Its JSON is what the store keeps of a version.
type Plan struct {
	// ID is the plan's id in the API.
	ID string `json:"id"`
	// Version counts the plan's versions from 1; 0 is a plan of the file that was not applied to Stripe.
	Version int64 `json:"-"`
	// Name is the display name.
	Name string `json:"name"`
	// Price and YearlyPrice are the prices of a month and of a year, in nano-dollars. A YearlyPrice of 0 means that the plan is not sold
	// by the year.
	Price       int64 `json:"price"`
	YearlyPrice int64 `json:"yearly_price,omitempty"`
	// TaxBehavior is TaxExclusive or TaxInclusive, and TaxCode is Stripe's tax code; "" leaves it to Stripe's default.
	TaxBehavior string `json:"tax_behavior"`
	TaxCode     string `json:"tax_code,omitempty"`
	// IncludedCredit is granted each month and expires with it, in nano-dollars; for each seat, if the plan has seats.
	IncludedCredit int64 `json:"included_credit"`
	// RenewalAdvance is the percentage of IncludedCredit that is granted at a renewal before its invoice is paid.
	RenewalAdvance int64 `json:"renewal_advance_percent"`
	// GraceDays is how long the plan stays after a renewal whose payment failed.
	GraceDays int64 `json:"grace_days"`
	// Seats, Trial, Overage and TopUp are nil in a plan without them.
	Seats   *Seats   `json:"seats,omitempty"`
	Trial   *Trial   `json:"trial,omitempty"`
	Overage *Overage `json:"overage,omitempty"`
	TopUp   *TopUp   `json:"auto_top_up,omitempty"`
	// Limits holds the rate limits of an account.
	Limits Limits `json:"limits"`
	// Models are the models that the plan includes; empty means all.
	Models []string `json:"models,omitempty"`
	// Features are the features that the plan includes.
	Features []string `json:"features,omitempty"`
	// Internal plans are not on sale.
	Internal bool `json:"internal,omitempty"`
}

// Seats bounds the seats of a plan that is sold by seat.
type Seats struct {
	Min int64 `json:"min"`
	Max int64 `json:"max"`
	// PerMember has the seats follow the organization's members.
	PerMember bool `json:"per_member,omitempty"`
}

// Trial is a time without payment before the first period.
type Trial struct {
	Days int64 `json:"days"`
	// Credit is granted for the trial and expires with it, in nano-dollars.
	Credit int64 `json:"credit,omitempty"`
	// CardRequired asks for a card at the start, and WithoutCard says what happens at the end of a trial without a card.
	CardRequired bool   `json:"card_required"`
	WithoutCard  string `json:"without_card"`
}

// Overage allows usage beyond all credit, which the next invoice charges.
type Overage struct {
	// Cap is the maximum of a period, in nano-dollars.
	Cap int64 `json:"cap"`
}

// TopUp bounds the automatic top-up, in nano-dollars.
type TopUp struct {
	MaxThreshold int64 `json:"max_threshold,omitempty"`
	MonthlyCap   int64 `json:"monthly_cap"`
}

// Limits holds the rate limits of a plan; 0 means no limit.
type Limits struct {
	RequestsPerMinute  int32 `json:"requests_per_minute,omitempty"`
	TokensPerMinute    int64 `json:"tokens_per_minute,omitempty"`
	ConcurrentRequests int32 `json:"concurrent_requests,omitempty"`
	RequestsPerDay     int32 `json:"requests_per_day,omitempty"`
	ConcurrentStreams  int32 `json:"concurrent_streams,omitempty"`
}

// Pack is credit that is bought once.
type Pack struct {
	ID      string `json:"id"`
	Version int64  `json:"-"`
	Name    string `json:"name"`
	// Price is what it costs and Credit what it gives, in nano-dollars.
	Price       int64  `json:"price"`
	TaxBehavior string `json:"tax_behavior"`
	TaxCode     string `json:"tax_code,omitempty"`
	Credit      int64  `json:"credit"`
	// ExpireMonths is how long the credit lasts; 0 means that it does not expire.
	ExpireMonths int64 `json:"expire_months"`
}

// Allows reports whether the plan includes the model.
func (p Plan) Allows(model string) bool {
	return len(p.Models) == 0 || slices.Contains(p.Models, model)
}

// Sold reports whether the plan has a price at Stripe.
func (p Plan) Sold() bool { return p.Price > 0 }

// FollowsMembers reports whether the seats follow the organization's members.
func (p Plan) FollowsMembers() bool { return p.Seats != nil && p.Seats.PerMember }

// SeatsFor returns one seat for each member, within the plan's bounds. When the seats do not follow the members, it returns now.
func (p Plan) SeatsFor(interval Interval, members, now int64) int64 {
	if !p.FollowsMembers() {
		return now
	}
	return min(max(members, p.Seats.Min), p.MostSeats(interval))
}

// MostSeats is the maximum of seats of a plan that is sold by seat. Stripe charges at most maxPrice at once.
func (p Plan) MostSeats(interval Interval) int64 {
	each := p.Price
	if interval == Year {
		each = p.YearlyPrice
	}
	return min(p.Seats.Max, maxPrice/max(each, Cent))
}

// Advance is the part of the included credit that a renewal gets before its invoice is paid, in nano-dollars.
func (p Plan) Advance() int64 {
	return p.IncludedCredit/100*p.RenewalAdvance + p.IncludedCredit%100*p.RenewalAdvance/100
}

// Ref names the version that a subscriber stays on, such as "pro@3".
func (p Plan) Ref() string { return Ref(p.ID, p.Version) }

// Ref names a version of a plan.
func Ref(id string, version int64) string { return fmt.Sprintf("%s@%d", id, version) }

// ParseRef returns the plan of a reference, and its version; 0 stands for the newest.
func ParseRef(ref string) (id string, version int64) {
	id, number, pinned := strings.Cut(ref, "@")
	version, err := strconv.ParseInt(number, 10, 64)
	if !pinned || err != nil || version < 1 {
		return id, 0
	}
	return id, version
}
