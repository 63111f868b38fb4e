package subscriptions

import "math/big"

// Reversal is what a refund or a dispute took back of a payment.
type Reversal struct {
	ID, PaymentIntent string
	// Amount is in the currency's smallest unit; 0 for one that failed or was won.
	Amount int64
}

// ParseReversal reads the stored body of a refund or of a dispute.
func ParseReversal(body []byte) (Reversal, error) {
	o, err := parse[struct {
		ID            string `json:"id"`
		Status        string `json:"status"`
		PaymentIntent string `json:"payment_intent"`
		Amount        int64  `json:"amount"`
	}](body)
	r := Reversal{ID: o.ID, PaymentIntent: o.PaymentIntent}
	switch o.Status {
	case "succeeded", "pending", "requires_action", // refunds
		"needs_response", "under_review", "lost": // disputes; an inquiry takes no money, and a refunded charge has its refund
		r.Amount = max(o.Amount, 0)
	}
	return r, err
}

// ClawOf is the credit that must be gone when parts of a payment were taken back: in proportion to what was paid with tax, rounded down.
func ClawOf(credit, total int64, reversed []Reversal) int64 {
	sum := new(big.Int)
	for _, r := range reversed {
		sum.Add(sum, big.NewInt(r.Amount))
	}
	if whole := big.NewInt(total); sum.Cmp(whole) > 0 { // a dispute and a refund of the same money count once
		sum = whole
	}
	sum.Mul(sum, big.NewInt(credit))
	return sum.Div(sum, big.NewInt(total)).Int64()
}
