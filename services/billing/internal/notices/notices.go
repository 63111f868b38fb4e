// Package notices has the notices of accounts: one row for each event of a plan or a payment.
package notices

import (
	"fmt"
	"time"
)

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
	CreditThreshold       Kind = "credit_threshold"
	LimitThreshold        Kind = "limit_threshold"
	OverageThreshold      Kind = "overage_threshold"
	TopUpSucceeded        Kind = "top_up_succeeded"
	TopUpFailed           Kind = "top_up_failed"
	TopUpDisabled         Kind = "top_up_disabled"
	TopUpAuthentication   Kind = "top_up_authentication"
	SeatsExceeded         Kind = "seats_exceeded"
)

// Notice notifies an account of one event.
type Notice struct {
	ID, AccountID string
	// Source says what it is for: an account has one notice for each source.
	Source string
	// Threshold identifies the threshold of a window that Data.Amount is told for; "" for other notices.
	Threshold string
	Kind      Kind
	// UserID is the person that it is about; "" for nobody.
	UserID     string
	CreateTime time.Time
	// ExpireTime is when a notice of a limit may be deleted although its retention is not over, and until when another one is kept although its
	// retention is over. Zero for notices that are kept as long as all.
	ExpireTime time.Time
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
	// Percent is a threshold that is reached, of Amount, of which Used is used in the window that began at WindowStart. Both amounts are in nano-dollars.
	Percent     int64     `json:"percent,omitempty"`
	Used        int64     `json:"used,omitempty"`
	WindowStart time.Time `json:"window_start,omitzero"`
	// Window is "hour", "day", "week", "month" or "billing_period" for a limit, and APIKeyID is the key whose limit it is.
	Window   string `json:"window,omitempty"`
	APIKeyID string `json:"api_key_id,omitempty"`
	// Problem says why something failed.
	Problem string `json:"problem,omitempty"`
	// Members is how many members an organization has.
	Members int64 `json:"members,omitempty"`
}

// TopUpOff says that an automatic top-up, set up at a time, is off: one notice for each time that it is set up.
func TopUpOff(setUp, now time.Time, problem string) Notice {
	return Notice{Source: fmt.Sprintf("top_up:%d:disabled", setUp.UnixMicro()), Kind: TopUpDisabled, Data: Data{Time: now, Problem: problem}}
}
