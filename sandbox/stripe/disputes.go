package stripe

import (
	"maps"
	"slices"
	"time"
)

// Dispute is Stripe's dispute, in cents.
type Dispute struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Amount              int64             `json:"amount"`
	BalanceTransactions []struct{}        `json:"balance_transactions"`
	Charge              string            `json:"charge"`
	Created             int64             `json:"created"`
	Currency            string            `json:"currency"`
	Evidence            map[string]string `json:"evidence"`
	EvidenceDetails     EvidenceDetails   `json:"evidence_details"`
	IsChargeRefundable  bool              `json:"is_charge_refundable"`
	Livemode            bool              `json:"livemode"`
	Metadata            map[string]string `json:"metadata"`
	PaymentIntent       *string           `json:"payment_intent"`
	Reason              string            `json:"reason"`
	Status              string            `json:"status"`
}

// EvidenceDetails say until when a dispute can be answered.
type EvidenceDetails struct {
	DueBy           int64 `json:"due_by"`
	HasEvidence     bool  `json:"has_evidence"`
	PastDue         bool  `json:"past_due"`
	SubmissionCount int64 `json:"submission_count"`
}

// disputeReasons are Stripe's.
func disputeReasons() []string {
	return []string{
		"bank_cannot_process", "credit_not_processed", "customer_initiated", "debit_not_authorized", "duplicate", "fraudulent", "general",
		"incorrect_account_details", "insufficient_funds", "product_not_received", "product_unacceptable", "subscription_canceled", "unrecognized",
	}
}

// OpenDispute lets a bank take the money of a charge back. An empty reason means "fraudulent". The error says that
// the charge does not exist or cannot be disputed.
func (f *Fake) OpenDispute(charge, reason string) (Dispute, error) {
	return act(f, func() (Dispute, *apiError) { return f.openDispute(charge, reason) })
}

func (f *Fake) openDispute(charge, reason string) (Dispute, *apiError) {
	ch, bad := f.charge(charge, "charge")
	if bad != nil {
		return Dispute{}, bad
	}
	if !ch.Paid || ch.Disputed || ch.Refunded {
		return Dispute{}, invalidRequest("charge", "", "The charge "+ch.ID+" has failed, or is refunded or disputed already.")
	}
	if reason == "" {
		reason = "fraudulent"
	}
	if !slices.Contains(disputeReasons(), reason) {
		return Dispute{}, invalidRequest("reason", "", "Unknown dispute reason: "+reason+".")
	}
	d := Dispute{
		ID: f.ids.Next("dp_1", 23), Object: "dispute", Amount: ch.Amount - ch.AmountRefunded, BalanceTransactions: []struct{}{}, Charge: ch.ID,
		Created: f.now(), Currency: ch.Currency, Evidence: map[string]string{}, Metadata: map[string]string{}, PaymentIntent: ch.PaymentIntent,
		EvidenceDetails: EvidenceDetails{DueBy: f.cfg.Now().Add(9 * 24 * time.Hour).Unix()}, Reason: reason, Status: "needs_response",
	}
	if bad := save(f, f.disputes, d.ID, d, "charge.dispute.created", "charge.dispute.funds_withdrawn"); bad != nil {
		return Dispute{}, bad
	}
	ch.Disputed = true
	return d, save(f, f.charges, ch.ID, ch, "charge.updated")
}

// CloseDispute ends a dispute; if it is won, the money comes back. It fails if no such dispute is open.
func (f *Fake) CloseDispute(id string, won bool) (Dispute, error) {
	return act(f, func() (Dispute, *apiError) { return f.endDispute(id, won) })
}

func (f *Fake) endDispute(id string, won bool) (Dispute, *apiError) {
	d, ok := f.disputes.Get(id)
	if !ok {
		return Dispute{}, noSuch("dispute", "dispute", id)
	}
	if d.Status == "won" || d.Status == "lost" {
		return Dispute{}, invalidRequest("", "", "This dispute is already closed.")
	}
	kinds := []string{"charge.dispute.updated", "charge.dispute.closed"}
	d.Status = "lost"
	if won {
		d.Status = "won"
		kinds = append(kinds, "charge.dispute.funds_reinstated")
	}
	return d, save(f, f.disputes, d.ID, d, kinds...)
}

func (f *Fake) closeDispute(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.endDispute(c.id, false))
}

func (f *Fake) getDispute(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	d, ok := f.disputes.Get(c.id)
	if !ok {
		return nil, noSuch("dispute", "dispute", c.id)
	}
	return d, nil
}

func (f *Fake) updateDispute(c *call) (any, *apiError) {
	d, ok := f.disputes.Get(c.id)
	if !ok {
		return nil, noSuch("dispute", "dispute", c.id)
	}
	d.Metadata = c.form.metadata(d.Metadata)
	if evidence := c.form.child("evidence"); evidence != nil {
		d.Evidence = maps.Clone(d.Evidence) // not to be changed in what is stored
		for _, kind := range evidence.order {
			d.Evidence[kind], _ = evidence.text(kind)
		}
		d.EvidenceDetails.HasEvidence = true
	}
	submit := true
	c.form.boolean("submit", &submit)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if submit && d.EvidenceDetails.HasEvidence {
		d.Status, d.EvidenceDetails.SubmissionCount = "under_review", d.EvidenceDetails.SubmissionCount+1
	}
	return d, save(f, f.disputes, d.ID, d, "charge.dispute.updated")
}

func (f *Fake) listDisputes(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	charge, byCharge := c.form.text("charge")
	intent, byIntent := c.form.text("payment_intent")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.disputes, page, "dispute", "/v1/disputes", func(d Dispute) string { return d.ID }, func(d Dispute) bool {
		return created(d.Created) && (!byCharge || d.Charge == charge) && (!byIntent || orEmpty(d.PaymentIntent) == intent)
	}))
}
