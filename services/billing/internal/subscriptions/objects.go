package subscriptions

import (
	"encoding/json"
	"errors"
	"time"
)

// errUnreadable never quotes the object.
var errUnreadable = errors.New("subscriptions: a stored object of Stripe cannot be read")

// Subscription is what counts of Stripe's subscription.
type Subscription struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Status   string `json:"status"`
	Items    struct {
		Data []Item `json:"data"`
	} `json:"items"`
	Created            seconds `json:"created"`
	StartDate          seconds `json:"start_date"`
	BillingCycleAnchor seconds `json:"billing_cycle_anchor"`
	CurrentPeriodStart seconds `json:"current_period_start"`
	CurrentPeriodEnd   seconds `json:"current_period_end"`
	TrialEnd           seconds `json:"trial_end"`
	CancelAt           seconds `json:"cancel_at"`
	CancelAtPeriodEnd  bool    `json:"cancel_at_period_end"`
	EndedAt            seconds `json:"ended_at"`
	LatestInvoice      string  `json:"latest_invoice"`
	Schedule           string  `json:"schedule"`
	// PendingUpdate is a change that waits for its payment.
	PendingUpdate   *struct{} `json:"pending_update"`
	PauseCollection *struct {
		Behavior string `json:"behavior"`
	} `json:"pause_collection"`
	// CustomerDeleted says that Stripe no longer has the customer, which ends the subscription.
	CustomerDeleted bool `json:"-"`
}

// Item is one thing that is subscribed to.
type Item struct {
	ID       string `json:"id"`
	Price    Price  `json:"price"`
	Quantity int64  `json:"quantity"`
}

// Price is what counts of a price in another object.
type Price struct {
	ID        string `json:"id"`
	Recurring *struct {
		UsageType string `json:"usage_type"`
	} `json:"recurring"`
}

func (p Price) metered() bool { return p.Recurring != nil && p.Recurring.UsageType == "metered" }

// Invoice is what counts of an invoice.
type Invoice struct {
	ID           string  `json:"id"`
	Subscription string  `json:"subscription"`
	Status       string  `json:"status"`
	Created      seconds `json:"created"`
	// PaymentIntent is "" for an invoice that was paid without one, and Total what it charges, with tax.
	PaymentIntent string `json:"payment_intent"`
	Total         int64  `json:"total"`
	// Attempted says that a payment was tried.
	Attempted bool              `json:"attempted"`
	Metadata  map[string]string `json:"metadata"`
	Lines     struct {
		Data []Line `json:"data"`
	} `json:"lines"`
}

// MetadataOverage is the metadata key of invoices and invoice items of overage. It has the id of the charge.
const MetadataOverage = "trivet_overage"

// MetadataTopUp is the metadata key of invoices and invoice items of automatic top-ups. It has the id of the purchase.
const MetadataTopUp = "trivet_top_up"

// unpaidOverage tells whether the payment of an invoice of overage failed.
func (inv Invoice) unpaidOverage() bool {
	return inv.Metadata[MetadataOverage] != "" && (inv.Status == "uncollectible" || inv.Status == "open" && inv.Attempted)
}

// Counts tells whether the invoice is one that Derive or Notices look at: it charges a subscription or overage.
func (inv Invoice) Counts() bool {
	return inv.Subscription != "" || inv.Metadata[MetadataOverage] != ""
}

// Line is one line of an invoice.
type Line struct {
	Type      string `json:"type"`
	Amount    int64  `json:"amount"`
	Proration bool   `json:"proration"`
	Quantity  int64  `json:"quantity"`
	Price     Price  `json:"price"`
	Period    struct {
		Start seconds `json:"start"`
		End   seconds `json:"end"`
	} `json:"period"`
}

// Schedule is what counts of a subscription's schedule.
type Schedule struct {
	ID           string  `json:"id"`
	Subscription string  `json:"subscription"`
	Status       string  `json:"status"`
	EndBehavior  string  `json:"end_behavior"`
	Phases       []Phase `json:"phases"`
}

// Phase is what a subscription has for a time.
type Phase struct {
	StartDate seconds `json:"start_date"`
	Items     []struct {
		Price    string `json:"price"`
		Quantity int64  `json:"quantity"`
	} `json:"items"`
}

// Begin is when the phase begins.
func (p Phase) Begin() time.Time { return p.StartDate.time() }

// Session is what counts of a checkout session.
type Session struct {
	ID            string  `json:"id"`
	Mode          string  `json:"mode"`
	Status        string  `json:"status"`
	PaymentStatus string  `json:"payment_status"`
	PaymentIntent string  `json:"payment_intent"`
	AmountTotal   int64   `json:"amount_total"`
	Customer      string  `json:"customer"`
	Subscription  string  `json:"subscription"`
	Invoice       string  `json:"invoice"`
	Created       seconds `json:"created"`
	LineItems     struct {
		Data []Item `json:"data"`
	} `json:"line_items"`
}

// seconds is a time in seconds since 1970; 0 and null stand for none.
type seconds int64

// time returns the time; the zero time for none.
func (s seconds) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// ParseSubscription reads the stored body of a subscription.
func ParseSubscription(body []byte) (Subscription, error) { return parse[Subscription](body) }

// ParseInvoice reads the stored body of an invoice.
func ParseInvoice(body []byte) (Invoice, error) { return parse[Invoice](body) }

// ParseSchedule reads the stored body of a subscription's schedule.
func ParseSchedule(body []byte) (Schedule, error) { return parse[Schedule](body) }

// ParseSession reads the stored body of a checkout session.
func ParseSession(body []byte) (Session, error) { return parse[Session](body) }

func parse[T any](body []byte) (object T, err error) {
	if json.Unmarshal(body, &object) != nil {
		return object, errUnreadable
	}
	return object, nil
}
