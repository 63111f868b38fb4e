package topup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// errStopped says that Stripe does not serve now: the others wait for the next run.
var errStopped = errors.New("topup: Stripe does not serve now")

// refusalPause is the pause of an account after a refusal that an operator has to look at.
const refusalPause = 24 * time.Hour

// findMargin allows for clocks that differ from Stripe's.
const findMargin = time.Hour

// retryAfter is the pause after an attempt that did not end a purchase: from 15 seconds, doubled each time, to an hour.
func retryAfter(attempts int64) time.Duration {
	return min(15*time.Second<<min(max(attempts-1, 0), 10), time.Hour)
}

// advanceAll advances the purchases that are due, until Stripe does not serve.
func (b *Buyer) advanceAll(ctx context.Context, keep func(context.Context) error) error {
	open, err := b.Store.OpenTopUps(ctx, b.Now(), batch)
	if err != nil {
		return err
	}
	var failed []error
	for _, c := range open {
		if err := keep(ctx); err != nil {
			return errors.Join(append(failed, err)...)
		}
		err := b.Turn(ctx, c.AccountID, func(ctx context.Context, keep func(context.Context) error) error { return b.step(ctx, c.ID, keep) })
		switch {
		case err == nil, busy(err):
		case errors.Is(err, errStopped):
			return errors.Join(failed...)
		default:
			failed = append(failed, fmt.Errorf("top up %s: %w", c.AccountID, err))
		}
	}
	return errors.Join(failed...)
}

// paying is one attempt to advance a purchase.
type paying struct {
	*Buyer
	c Charge
	// again is true when an earlier attempt may have done something.
	again bool
}

// step makes an attempt. The purchase is read in the account's turn: another process may have advanced it.
func (b *Buyer) step(ctx context.Context, id string, keep func(context.Context) error) error {
	c, err := b.Store.TopUpCharge(ctx, id)
	if err != nil || c.State != Begun && c.State != Closing || c.NextTime.After(b.Now()) {
		return err
	}
	p := &paying{Buyer: b.keeping(keep), c: c, again: c.Attempts > 0}
	p.c.Attempts++
	p.c.NextTime = b.Now().Add(retryAfter(p.c.Attempts))
	if err := b.Store.SaveTopUp(ctx, p.c, b.Now()); err != nil { // before the calls, so that after a crash the next attempt looks first
		return err
	}
	err = p.judge(ctx, p.advance(ctx))
	if errors.Is(err, job.ErrLost) {
		return err // another process has the account's turn, and writes how far the purchase is
	}
	saved := b.Store.SaveTopUp(ctx, p.c, b.Now())
	if saved != nil && errors.Is(err, errStopped) {
		return saved // errStopped would hide it
	}
	return errors.Join(err, saved)
}

// advance continues a purchase until it ends. It notes each result in c, where the next attempt finds it.
func (p *paying) advance(ctx context.Context) error {
	if p.c.State == Closing {
		return p.close(ctx)
	}
	wanted, err := p.stillWanted(ctx)
	if err != nil {
		return err
	}
	if p.c.InvoiceID == "" {
		if err := p.draft(ctx, wanted); err != nil || p.c.State == Canceled {
			return err
		}
	}
	status, err := p.Provider.InvoiceStatus(ctx, p.c.InvoiceID)
	switch {
	case outcome.Missing(err): // an operator has deleted the draft
		p.c.State = Canceled
		return nil
	case err != nil:
		return err
	case status == "paid":
		return p.paid(ctx)
	case status != "draft" && status != "open", !wanted:
		return p.leave(ctx, "")
	}
	return p.pay(ctx, status)
}

// stillWanted tells whether the account still needs the purchase: its balance may have risen while Stripe was down, or the setting changed.
func (p *paying) stillWanted(ctx context.Context) (bool, error) {
	s, err := p.Store.TopUp(ctx, p.c.AccountID)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	account, err := p.Ledger.Account(ctx, p.c.AccountID, "")
	if err != nil {
		return false, err
	}
	offer, _, err := p.wanted(ctx, s, account)
	return offer.Pack != nil && s.PackID == p.c.PackID, err
}

// draft finds the invoice that an earlier attempt has made, or makes it if the purchase is wanted.
func (p *paying) draft(ctx context.Context, wanted bool) (err error) {
	if !wanted && !p.again {
		p.c.State = Canceled
		return nil
	}
	if p.c.CustomerID == "" {
		if p.c.CustomerID, err = p.Store.Customer(ctx, p.c.AccountID); err != nil {
			return err
		}
	}
	if p.c.CustomerID == "" {
		return &outcome.RefusedError{Status: http.StatusNotFound, Message: "the account has no customer at Stripe any more"}
	}
	if p.again {
		if p.c.InvoiceID, err = p.Provider.FindTopUpInvoice(ctx, p.c.CustomerID, p.c.ID, p.c.CreateTime.Add(-findMargin)); err != nil {
			return err
		}
	}
	switch {
	case p.c.InvoiceID == "" && !wanted:
		p.c.State = Canceled
		return nil
	case p.c.InvoiceID == "":
		n := NewInvoice{ChargeID: p.c.ID, Customer: p.c.CustomerID, AutomaticTax: p.AutomaticTax, Key: p.key("invoice")}
		if p.c.InvoiceID, err = p.Provider.NewTopUpInvoice(ctx, n); err != nil {
			return err
		}
	}
	return p.Store.SaveTopUp(ctx, p.c, p.Now())
}

// pay adds the pack, finalizes the invoice and charges it once.
func (p *paying) pay(ctx context.Context, status string) error {
	if status == "draft" {
		if err := p.finalize(ctx); err != nil {
			return err
		}
	}
	st, err := p.Store.Subscription(ctx, p.c.AccountID)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	if st.Access == subscriptions.Ended {
		st.SubscriptionID = ""
	}
	method, err := p.Provider.PaymentMethod(ctx, p.c.CustomerID, st.SubscriptionID)
	if err != nil {
		return err
	}
	if method == "" {
		p.c.Problem = "the account has no payment method at Stripe"
		return p.leave(ctx, NoCard)
	}
	switch status, err := p.Provider.PayInvoice(ctx, p.c.InvoiceID, method, p.key("pay/"+method)); {
	case err != nil:
		return p.refused(ctx, err)
	case status != "paid": // the payment takes its time; the next attempt looks again
		return nil
	}
	return p.paid(ctx)
}

func (p *paying) finalize(ctx context.Context) (err error) {
	if p.c.ItemID == "" {
		if p.again {
			if p.c.ItemID, err = p.Provider.FindTopUpItem(ctx, p.c.InvoiceID, p.c.ID); err != nil {
				return err
			}
		}
		if p.c.ItemID == "" {
			n := NewItem{ChargeID: p.c.ID, Customer: p.c.CustomerID, Invoice: p.c.InvoiceID, Price: p.c.Price, Key: p.key("item")}
			if p.c.ItemID, err = p.Provider.NewTopUpItem(ctx, n); err != nil {
				return err
			}
		}
	}
	return p.Provider.FinalizeForPayment(ctx, p.c.InvoiceID)
}

// refused looks at the invoice after Stripe refused a payment: somebody may have paid it on its page.
func (p *paying) refused(ctx context.Context, why error) error {
	no, ok := errors.AsType[*outcome.RefusedError](why)
	if !ok || saysNothing(no) {
		return why
	}
	status, err := p.Provider.InvoiceStatus(ctx, p.c.InvoiceID)
	if err != nil {
		return err
	}
	if status == "paid" {
		return p.paid(ctx)
	}
	return why
}

// paid stores the invoice, which gives the credit.
func (p *paying) paid(ctx context.Context) error {
	if _, err := p.Mirror.Sync(ctx, mirror.Invoice, p.c.InvoiceID); err != nil {
		return err
	}
	p.c.State, p.c.Problem = Paid, ""
	return nil
}

// leave gives a purchase up. verdict is the state that the setting gets; "" when the purchase is only not needed.
func (p *paying) leave(ctx context.Context, verdict State) error {
	p.c.State, p.c.Verdict = Closing, verdict
	if err := p.Store.SaveTopUp(ctx, p.c, p.Now()); err != nil { // the invoice must not be paid any more, also after a crash
		return err
	}
	return p.close(ctx)
}

// close voids the invoice, so that no payment of it is left for a later attempt.
func (p *paying) close(ctx context.Context) error {
	if p.c.InvoiceID != "" {
		switch status, err := p.Provider.InvoiceStatus(ctx, p.c.InvoiceID); {
		case outcome.Missing(err):
		case err != nil:
			return err
		case status == "paid": // on its page
			return p.paid(ctx)
		default:
			if err := p.Provider.CloseInvoice(ctx, p.c.InvoiceID); err != nil {
				return err
			}
		}
	}
	if p.c.State = Canceled; p.c.Verdict != "" {
		p.c.State = Failed
	}
	return nil
}

func (p *paying) key(kind string) string {
	return fmt.Sprintf("trivet/%s/%s/%d", p.c.ID, kind, p.c.SpentKeys)
}

// saysNothing tells whether a refusal is not about the purchase: another key or a later call may be taken.
func saysNothing(r *outcome.RefusedError) bool {
	switch r.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return true
	}
	return r.Status < http.StatusBadRequest
}

// judge notes what a call's error means. It returns errStopped and errors of the store.
func (p *paying) judge(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	attributes := []any{slog.String("account", p.c.AccountID), slog.String("charge", p.c.ID), slog.Any("error", err)}
	if unknown, ok := errors.AsType[*outcome.UnknownError](err); ok {
		if unknown.Spent {
			p.c.SpentKeys++
		}
		p.Logger.WarnContext(ctx, "it is unknown whether an automatic top-up reached Stripe; looking it up later", attributes...)
		return errStopped
	}
	if slow, ok := errors.AsType[*outcome.BusyError](err); ok {
		if later := p.Now().Add(slow.After); later.After(p.c.NextTime) {
			p.c.NextTime = later
		}
		return errStopped
	}
	later, turnedAway := errors.AsType[*mirror.LaterError](err)
	_, unread := errors.AsType[*mirror.SilentError](err)
	if turnedAway || unread {
		p.Logger.WarnContext(ctx, "an invoice of an automatic top-up cannot be read at Stripe; retrying", attributes...)
		if turnedAway && p.Now().Add(later.After).After(p.c.NextTime) {
			p.c.NextTime = p.Now().Add(later.After)
		}
		return errStopped
	}
	no, ok := errors.AsType[*outcome.RefusedError](err)
	switch {
	case !ok:
		return err
	case no.Type == "idempotency_error": // the call's parameters have changed; what the earlier one did is looked up
		p.c.SpentKeys++
		return nil
	case saysNothing(no):
		p.Logger.ErrorContext(ctx, "Stripe refused an automatic top-up; check STRIPE_SECRET_KEY and its permissions for invoices", attributes...)
		return errStopped
	case p.c.State == Closing:
		p.Logger.ErrorContext(ctx, "the invoice of an automatic top-up that failed cannot be voided; void it in Stripe's dashboard", attributes...)
		return nil
	}
	p.Logger.WarnContext(ctx, "the payment of an automatic top-up failed", attributes...)
	p.c.Problem = no.Message
	var verdict State
	switch {
	case no.Code == "authentication_required", no.Code == "invoice_payment_intent_requires_action", no.Code == "subscription_payment_intent_requires_action":
		verdict = Authentication
	case no.Type == "card_error", no.Status == http.StatusPaymentRequired:
		verdict = Declined
	default: // not the card's fault
		p.Logger.ErrorContext(ctx, "Stripe refused an automatic top-up for a reason other than the card; check the pack's price and the customer at Stripe", attributes...)
		if err := p.Store.PostponeTopUp(ctx, p.c.AccountID, p.Now().Add(refusalPause)); err != nil {
			return err
		}
	}
	if err := p.leave(ctx, verdict); err != nil && ctx.Err() == nil {
		return p.judge(ctx, err) // it is closing now, so this ends
	}
	return nil
}
