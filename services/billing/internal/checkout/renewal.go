package checkout

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Cancel cancels the account's subscription, at the end of its period or now. It takes a scheduled change back. Errors: ErrNoSubscription, job.ErrBusy,
// those of mirror.Fetch, of package outcome and of the store.
func (s *Service) Cancel(ctx context.Context, accountID string, now bool) error {
	return s.renewal(ctx, accountID, func(ctx context.Context, s *Service, _ *job.Holder, sub subscriptions.Subscription) (string, error) {
		if now {
			return "", s.Changer.CancelNow(ctx, sub.ID)
		}
		return "", s.Changer.CancelAtPeriodEnd(ctx, sub.ID, true)
	})
}

// Resume takes back that the subscription is canceled, or changes, at the end of its period. One that is paused because its trial ended without a card
// continues and is charged. Errors: ErrNoCard and those of Cancel.
func (s *Service) Resume(ctx context.Context, accountID string) error {
	return s.renewal(ctx, accountID, func(ctx context.Context, s *Service, h *job.Holder, sub subscriptions.Subscription) (string, error) {
		if sub.Status == paused {
			return s.unpause(ctx, h, accountID, sub.ID)
		}
		return "", s.Changer.CancelAtPeriodEnd(ctx, sub.ID, false)
	})
}

// renewal changes what happens at the end of the period. do may return an invoice.
func (s *Service) renewal(
	ctx context.Context, accountID string, do func(ctx context.Context, s *Service, h *job.Holder, sub subscriptions.Subscription) (invoice string, err error),
) error {
	return s.alone(ctx, accountID, func(ctx context.Context, s *Service, h *job.Holder) error {
		sub, _, err := s.live(ctx, accountID)
		if err != nil && !errors.Is(err, ErrUnpaid) {
			return err
		}
		if sub.Schedule != "" { // Stripe refuses to cancel a subscription that a schedule manages
			if err := s.Changer.ReleaseSchedule(ctx, sub.Schedule); err != nil {
				return err
			}
		}
		invoice, err := do(ctx, s, h, sub)
		if err != nil {
			return err
		}
		return s.follow(ctx, Preview{Subscription: sub.ID}, invoice)
	})
}

func (s *Service) unpause(ctx context.Context, h *job.Holder, accountID, id string) (invoice string, err error) {
	if has, err := s.Store.HasCards(ctx, accountID); err != nil || !has {
		return "", errors.Join(err, ErrNoCard)
	}
	fresh := attempt{Request: "resume " + id, Key: "trivet/" + accountID + "/resume/" + rand.Text(), Time: s.Now()}
	err = s.keyed(ctx, h, func(a *attempts) *attempt { return &a.Resume }, fresh, func(key string) (err error) {
		invoice, err = s.Changer.Unpause(ctx, id, key)
		return err
	})
	return invoice, err
}
