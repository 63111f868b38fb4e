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
	Provider
	Changer
	Customers
	Mirror
	holder *job.Holder
}

// keeping returns a service whose calls at Stripe keep the lease.
func (s *Service) keeping(h *job.Holder) *Service {
	k := &kept{Provider: s.Provider, Changer: s.Changer, Customers: s.Customers, Mirror: s.Mirror, holder: h}
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
	return step(ctx, k, func(ctx context.Context) (string, error) { return k.Customers.Ensure(ctx, accountID) })
}

func (k *kept) Sync(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	return step(ctx, k, func(ctx context.Context) (mirror.Object, error) { return k.Mirror.Sync(ctx, kind, id) })
}

func (k *kept) Look(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	return step(ctx, k, func(ctx context.Context) (mirror.Object, error) { return k.Mirror.Look(ctx, kind, id) })
}

func (k *kept) LiveSubscriptions(ctx context.Context, customer string) ([]string, error) {
	return step(ctx, k, func(ctx context.Context) ([]string, error) { return k.Provider.LiveSubscriptions(ctx, customer) })
}

func (k *kept) OpenSessions(ctx context.Context, customer string) ([]Session, error) {
	return step(ctx, k, func(ctx context.Context) ([]Session, error) { return k.Provider.OpenSessions(ctx, customer) })
}

func (k *kept) ExpireSession(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.Provider.ExpireSession(ctx, id) })
}

func (k *kept) NewCheckout(ctx context.Context, n NewSession) (Session, error) {
	return step(ctx, k, func(ctx context.Context) (Session, error) { return k.Provider.NewCheckout(ctx, n) })
}

func (k *kept) Change(ctx context.Context, p Preview, key string) (Changed, error) {
	return step(ctx, k, func(ctx context.Context) (Changed, error) { return k.Changer.Change(ctx, p, key) })
}

func (k *kept) Reprice(ctx context.Context, p Preview, key string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.Changer.Reprice(ctx, p, key) })
}

func (k *kept) ScheduleChange(ctx context.Context, p Preview) error {
	return k.do(ctx, func(ctx context.Context) error { return k.Changer.ScheduleChange(ctx, p) })
}

func (k *kept) ReleaseSchedule(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.Changer.ReleaseSchedule(ctx, id) })
}

func (k *kept) GiveUpChange(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.Changer.GiveUpChange(ctx, id) })
}

func (k *kept) CancelAtPeriodEnd(ctx context.Context, id string, cancel bool) error {
	return k.do(ctx, func(ctx context.Context) error { return k.Changer.CancelAtPeriodEnd(ctx, id, cancel) })
}

func (k *kept) CancelNow(ctx context.Context, id string) error {
	return k.do(ctx, func(ctx context.Context) error { return k.Changer.CancelNow(ctx, id) })
}
