// Package notices has the notices of accounts: one row for each event of a plan or a payment.
package notices

import "time"

// Kind is what a notice is about.
type Kind string

// The kinds.
const (
	TrialStarted          Kind = "trial_started"
	TrialWillEnd          Kind = "trial_will_end"
	PaymentFailed         Kind = "payment_failed"
	Recovered             Kind = "recovered"
	Downgraded            Kind = "downgraded"
	WillEnd               Kind = "will_end"
	Ended                 Kind = "ended"
	Changed               Kind = "changed"
	WillChange            Kind = "will_change"
	DuplicateSubscription Kind = "duplicate_subscription"
	Unmapped              Kind = "unmapped"
	Refunded              Kind = "refunded"
	Disputed              Kind = "disputed"
	CheckoutFailed        Kind = "checkout_failed"
	OverageRefused        Kind = "overage_refused"
)

// Notice notifies an account of one event.
type Notice struct {
	ID, AccountID string
	// Source says what it is for: an account has one notice for each source.
	Source string
	Kind   Kind
	// UserID is the person that it is about; "" for nobody.
	UserID     string
	CreateTime time.Time
	Data       Data
}

// Data is what a notice says. Fields that do not fit its kind are zero.
type Data struct {
	// Time is when it happens or happened.
	Time        time.Time `json:"time,omitzero"`
	PlanID      string    `json:"plan_id,omitempty"`
	PlanVersion int64     `json:"plan_version,omitempty"`
	// Interval is "month" or "year".
	Interval string `json:"interval,omitempty"`
	Seats    int64  `json:"seats,omitempty"`
	// Amount is in nano-dollars.
	Amount         int64  `json:"amount,omitempty"`
	SubscriptionID string `json:"subscription_id,omitempty"`
	InvoiceID      string `json:"invoice_id,omitempty"`
	// ObjectID names what else it is about, such as a refund.
	ObjectID string `json:"object_id,omitempty"`
}
