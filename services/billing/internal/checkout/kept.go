package checkout

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// stepTime bounds one call at Stripe. The lease is renewed before each call, so it outlives the call even when Keep has found it young enough.
const stepTime = 35 * time.Second

// kept renews an account's lease before each call at Stripe, so that a slow Stripe never lets two processes act for one account. A process that
// has lost the lease gets job.ErrLost and calls nothing.
type kept struct {
	provider  Provider
	changer   Changer
	customers Customers
	mirror    Mirror
	holder    *job.Holder
}

// keeping returns a service whose calls at Stripe keep the lease.
func (s *Service) keeping(h *job.Holder) *Service {
	k := &kept{provider: s.Provider, changer: s.Changer, customers: s.Customers, mirror: s.Mirror, holder: h}
	o := s.Options
	o.Provider, o.Changer, o.Customers, o.Mirror = k, k, k, k
	return &Service{o}
}

// step renews the lease and makes a call.
func step[T any](ctx context.Context, k *kept, call func(ctx context.Context) (T, error)) (T, error) {
	if err := k.holder.Keep(ctx); err != nil {
		var none T
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return call(ctx)
}

// do is step for a call without a result.
func (k *kept) do(ctx context.Context, call func(ctx context.Context) error) error {
	_, err := step(ctx, k, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

func (k *kept) Ensure(ctx context.Context, accountID string) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) { return k.customers.Ensure(ctx, accountID) })
}

func (k *kept) Sync(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	return step(ctx, k, func(ctx context.Context) (mirror.Object, error) { return k.mirror.Sync(ctx, kind, id) })
}

func (k *kept) Look(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	return step(ctx, k, func(ctx context.Context) (mirror.Object, error) { return k.mirror.Look(ctx, kind, id) })
}

func (k *kept) LiveSubscriptions(ctx context.Context, customer string) ([]string, error) {
	return step(ctx, k, func(ctx context.Context) ([]string, error) { return k.provider.LiveSubscriptions(ctx, customer) })
}

func (k *kept) OpenSessions(ctx context.Context, customer string) ([]Session, error) {
	return step(ctx, k, func(ctx context.Context) ([]Session, error) { return k.provider.OpenSessions(ctx, customer) })
}

func (k *kept) ExpireSession(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.provider.ExpireSession(ctx, id) })
}

func (k *kept) NewCheckout(ctx context.Context, n NewSession) (Session, error) {
	return step(ctx, k, func(ctx context.Context) (Session, error) { return k.provider.NewCheckout(ctx, n) })
}

func (k *kept) Change(ctx context.Context, p Preview, key string) (Changed, error) {
	return step(ctx, k, func(ctx context.Context) (Changed, error) { return k.changer.Change(ctx, p, key) })
}

func (k *kept) Reprice(ctx context.Context, p Preview, key string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.changer.Reprice(ctx, p, key) })
}

func (k *kept) ScheduleChange(ctx context.Context, p Preview) error {
	return k.do(ctx, func(ctx context.Context) error { return k.changer.ScheduleChange(ctx, p) })
}

func (k *kept) ReleaseSchedule(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.changer.ReleaseSchedule(ctx, id) })
}

func (k *kept) GiveUpChange(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.changer.GiveUpChange(ctx, id) })
}

func (k *kept) CancelAtPeriodEnd(ctx context.Context, id string, cancel bool) error {
	return k.do(ctx, func(ctx context.Context) error { return k.changer.CancelAtPeriodEnd(ctx, id, cancel) })
}

func (k *kept) Unpause(ctx context.Context, id, key string) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) { return k.changer.Unpause(ctx, id, key) })
}

func (k *kept) CancelNow(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.changer.CancelNow(ctx, id) })
}

func (k *kept) PreviewChange(ctx context.Context, p Preview) (amount int64, currency string, err error) {
	err = k.do(ctx, func(ctx context.Context) (err error) {
		amount, currency, err = k.changer.PreviewChange(ctx, p)
		return err
	})
	return amount, currency, err
}

func (k *kept) NewPortal(ctx context.Context, customer, configuration, returnURL string) (string, error) {
	return step(ctx, k, func(ctx context.Context) (string, error) {
		return k.provider.NewPortal(ctx, customer, configuration, returnURL)
	})
}

func (k *kept) Invoices(ctx context.Context, customer, status, after string, limit int) (page []Invoice, more bool, err error) {
	err = k.do(ctx, func(ctx context.Context) (err error) {
		page, more, err = k.provider.Invoices(ctx, customer, status, after, limit)
		return err
	})
	return page, more, err
}

func (k *kept) Invoice(ctx context.Context, id string) (Invoice, error) {
	return step(ctx, k, func(ctx context.Context) (Invoice, error) { return k.provider.Invoice(ctx, id) })
}
