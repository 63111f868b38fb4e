package topup

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// stepTime bounds what is done at Stripe between two renewals of the turn, which it must not outlive.
const stepTime = 35 * time.Second

// kept keeps the account's turn before each step at Stripe, so that a slow Stripe never lets two processes act for one account.
type kept struct {
	provider Provider
	mirror   Mirror
	keep     func(context.Context) error
}

// keeping returns a buyer whose steps at Stripe keep the account's turn.
func (b *Buyer) keeping(keep func(context.Context) error) *Buyer {
	k := &kept{provider: b.Provider, mirror: b.Mirror, keep: keep}
	o := b.Options
	o.Provider, o.Mirror = k, k
	return &Buyer{o}
}

func step[T any](ctx context.Context, k *kept, call func(ctx context.Context) (T, error)) (T, error) {
	if err := k.keep(ctx); err != nil {
		var none T
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return call(ctx)
}

func (k *kept) do(ctx context.Context, call func(ctx context.Context) error) error {
	_, err := step(ctx, k, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

func (k *kept) Sync(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	return step(ctx, k, func(ctx context.Context) (mirror.Object, error) { return k.mirror.Sync(ctx, kind, id) })
}

func (k *kept) OpenSessions(ctx context.Context, customer string) ([]checkout.Session, error) {
	return step(ctx, k, func(ctx context.Context) ([]checkout.Session, error) { return k.provider.OpenSessions(ctx, customer) })
}

func (k *kept) ExpireSession(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.provider.ExpireSession(ctx, id) })
}

func (k *kept) PaymentMethod(ctx context.Context, customer, subscription string) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) {
		return k.provider.PaymentMethod(ctx, customer, subscription)
	})
}

func (k *kept) FindTopUpInvoice(ctx context.Context, customer, chargeID string, since time.Time) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) {
		return k.provider.FindTopUpInvoice(ctx, customer, chargeID, since)
	})
}

func (k *kept) NewTopUpInvoice(ctx context.Context, n NewInvoice) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) { return k.provider.NewTopUpInvoice(ctx, n) })
}

func (k *kept) FindTopUpItem(ctx context.Context, invoiceID, chargeID string) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) { return k.provider.FindTopUpItem(ctx, invoiceID, chargeID) })
}

func (k *kept) NewTopUpItem(ctx context.Context, n NewItem) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) { return k.provider.NewTopUpItem(ctx, n) })
}

func (k *kept) InvoiceStatus(ctx context.Context, id string) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) { return k.provider.InvoiceStatus(ctx, id) })
}

func (k *kept) FinalizeForPayment(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.provider.FinalizeForPayment(ctx, id) })
}

func (k *kept) PayInvoice(ctx context.Context, id, method, key string) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) { return k.provider.PayInvoice(ctx, id, method, key) })
}

func (k *kept) CloseInvoice(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.provider.CloseInvoice(ctx, id) })
}
