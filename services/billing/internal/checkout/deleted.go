package checkout

import (
	"context"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// endAll cancels all subscriptions of a deleted organization at the end of their periods: nobody can sign in for it to cancel them.
func (s *Service) endAll(ctx context.Context, accountID string) error {
	customer, err := s.Store.Customer(ctx, accountID)
	if err != nil || customer == "" {
		return err
	}
	live, err := s.Provider.LiveSubscriptions(ctx, customer)
	if err != nil {
		return s.gone(ctx, customer, err)
	}
	for _, id := range live {
		if err := s.endOne(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// endOne cancels a subscription at the end of its period, unless it ends already.
func (s *Service) endOne(ctx context.Context, id string) error {
	o, err := s.Mirror.Sync(ctx, mirror.Subscription, id)
	if err != nil || o.Deleted {
		return err
	}
	sub, err := subscriptions.ParseSubscription(o.Body)
	if err != nil || sub.CancelAtPeriodEnd || sub.CancelAt != 0 {
		return err
	}
	if sub.Schedule != "" { // Stripe refuses to cancel a subscription that a schedule manages
		if err := s.Changer.ReleaseSchedule(ctx, sub.Schedule); err != nil {
			return err
		}
	}
	if err := s.Changer.CancelAtPeriodEnd(ctx, id, true); err != nil {
		return err
	}
	return s.follow(ctx, Preview{Subscription: id}, "")
}
