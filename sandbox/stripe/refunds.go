package stripe

import "fmt"

// Refund is Stripe's refund, in cents.
type Refund struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	Amount             int64             `json:"amount"`
	BalanceTransaction string            `json:"balance_transaction"`
	Charge             string            `json:"charge"`
	Created            int64             `json:"created"`
	Currency           string            `json:"currency"`
	Metadata           map[string]string `json:"metadata"`
	PaymentIntent      *string           `json:"payment_intent"`
	Reason             *string           `json:"reason"`
	ReceiptNumber      *string           `json:"receipt_number"`
	Status             string            `json:"status"`
}

func (f *Fake) createRefund(c *call) (any, *apiError) {
	ch, bad := f.chargeToRefund(c.form)
	if bad != nil {
		return nil, bad
	}
	var r Refund
	amount := ch.Amount - ch.AmountRefunded
	if n := c.form.integer("amount"); n != nil {
		amount = *n
	}
	if reason := c.form.oneOf("reason", "", "duplicate", "fraudulent", "requested_by_customer"); reason != "" {
		r.Reason = &reason
	}
	r.Metadata = c.form.metadata(nil)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.refund(ch, amount, r))
}

// refund gives part of a charge back.
func (f *Fake) refund(ch Charge, amount int64, r Refund) (Refund, *apiError) {
	left := ch.Amount - ch.AmountRefunded
	r.ID, r.Object, r.Amount, r.BalanceTransaction, r.Charge = f.ids.Next("re_3", 23), "refund", amount, f.ids.Next("txn_3", 23), ch.ID
	r.Created, r.Currency, r.PaymentIntent, r.Status = f.now(), ch.Currency, ch.PaymentIntent, "succeeded"
	switch {
	case !ch.Paid:
		return r, invalidRequest("", "", "This charge has failed, so there is nothing to refund.")
	case left == 0:
		return r, invalidRequest("", "charge_already_refunded", "Charge "+ch.ID+" has already been refunded.")
	case ch.Disputed:
		return r, invalidRequest("", "charge_disputed", "Charge "+ch.ID+" has been charged back.")
	case r.Amount < 1 || r.Amount > left:
		return r, invalidRequest("amount", "", fmt.Sprintf("Refund amount (%d) is not between 1 and the unrefunded amount on the charge (%d).", r.Amount, left))
	}
	if bad := save(f, f.refunds, r.ID, r, "refund.created"); bad != nil {
		return r, bad
	}
	ch.AmountRefunded += r.Amount
	ch.Refunded = ch.AmountRefunded == ch.Amount
	return r, save(f, f.charges, ch.ID, ch, "charge.refunded")
}

// chargeToRefund finds the charge by its own identifier or by its payment intent's.
func (f *Fake) chargeToRefund(form *form) (Charge, *apiError) {
	id, byCharge := form.text("charge")
	intent, byIntent := form.text("payment_intent")
	if byCharge == byIntent {
		return Charge{}, invalidRequest("payment_intent", "parameter_missing", "One of the following params should be provided for this request: payment_intent or charge.")
	}
	if byIntent {
		pi, ok := f.intents.Get(intent)
		if !ok {
			return Charge{}, noSuchParam("payment_intent", "payment_intent", intent)
		}
		if pi.Status != "succeeded" {
			return Charge{}, invalidRequest("payment_intent", "", "This PaymentIntent ("+intent+") does not have a successful charge to refund.")
		}
		id = orEmpty(pi.LatestCharge)
	}
	ch, bad := f.charge(id, "charge")
	if bad != nil {
		bad.status = 400
	}
	return ch, bad
}

func (f *Fake) getRefund(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	r, ok := f.refunds.Get(c.id)
	if !ok {
		return nil, noSuch("refund", "id", c.id)
	}
	return r, nil
}

func (f *Fake) updateRefund(c *call) (any, *apiError) {
	r, ok := f.refunds.Get(c.id)
	if !ok {
		return nil, noSuch("refund", "id", c.id)
	}
	r.Metadata = c.form.metadata(r.Metadata)
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return r, save(f, f.refunds, r.ID, r, "refund.updated", "charge.refund.updated")
}

func (f *Fake) listRefunds(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	charge, byCharge := c.form.text("charge")
	intent, byIntent := c.form.text("payment_intent")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.refunds, page, "refund", "/v1/refunds", func(r Refund) string { return r.ID }, func(r Refund) bool {
		return created(r.Created) && (!byCharge || r.Charge == charge) && (!byIntent || orEmpty(r.PaymentIntent) == intent)
	}))
}
