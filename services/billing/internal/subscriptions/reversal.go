package subscriptions

import (
	"math/big"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Reversal is what a refund, a dispute or a credit note took back of a payment.
type Reversal struct {
	ID string
	// Paid is the id of the payment intent, or that of the invoice for a credit note.
	Paid string
	// Amount is in the currency's smallest unit; 0 for one that failed, was won or was voided.
	Amount int64
	// Refund is the refund that a credit note has made. It counts for itself, and the credit note for what is beyond it.
	Refund string
	// Created is when Stripe learned of it.
	Created time.Time
}

// ParseReversal reads the stored body of a refund, a dispute or a credit note.
func ParseReversal(body []byte) (Reversal, error) {
	o, err := parse[struct {
		ID            string  `json:"id"`
		Object        string  `json:"object"`
		Status        string  `json:"status"`
		PaymentIntent string  `json:"payment_intent"`
		Invoice       string  `json:"invoice"`
		Refund        string  `json:"refund"`
		Amount        int64   `json:"amount"`
		Created       seconds `json:"created"`
	}](body)
	r := Reversal{ID: o.ID, Paid: o.PaymentIntent, Refund: o.Refund, Created: o.Created.time()}
	if o.Object == "credit_note" {
		r.Paid = o.Invoice
	}
	switch o.Status {
	case "succeeded", "pending", "requires_action", // refunds
		"needs_response", "under_review", "lost", // disputes; an inquiry takes no money, and a refunded charge has its refund
		"issued": // credit notes
		r.Amount = max(o.Amount, 0)
	}
	return r, err
}

// ClawOf is the credit that must be gone when parts of a payment were taken back: in proportion to what was paid with tax, rounded down.
func ClawOf(credit, total int64, reversed []Reversal) int64 {
	sum := new(big.Int)
	for _, r := range reversed {
		sum.Add(sum, big.NewInt(max(r.Amount, 0)))
	}
	if whole := big.NewInt(total); sum.Cmp(whole) > 0 { // a dispute and a refund of the same money count once
		sum = whole
	}
	sum.Mul(sum, big.NewInt(credit))
	return sum.Div(sum, big.NewInt(total)).Int64()
}

// Notice says that a purchase was taken back. A reversal that failed, was won or was voided says nothing. The credit note's refund speaks for it.
func (r Reversal) Notice() (n notices.Notice, ok bool) {
	n = notices.Notice{
		Source: "reversal:" + r.ID, Kind: notices.Refunded, Data: notices.Data{Time: r.Created, ObjectID: r.ID, Amount: nano(r.Amount)},
	}
	if r.Disputed() {
		n.Kind = notices.Disputed
	}
	return n, r.Amount > 0 && r.Refund == ""
}

// Disputed tells a dispute from a refund and a credit note, by Stripe's prefixes of ids.
func (r Reversal) Disputed() bool {
	return strings.HasPrefix(r.ID, "dp_") || strings.HasPrefix(r.ID, "du_")
}

// nano turns cents into nano-dollars, at most maxGrant.
func nano(cents int64) int64 { return min(cents, maxGrant/plans.Cent) * plans.Cent }
