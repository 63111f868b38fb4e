package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Replacement is a change at once that replaces a scheduled one. The schedule stays until the change is paid: a declined card must not take
// the scheduled change back.
type Replacement struct {
	Subscription, Schedule string
	// Price and Quantity are what the subscription has once the change is paid.
	Price    string
	Quantity int64
}

const (
	// replacementCheck is how often a replacement that waits for its payment is checked. Stripe gives it up after 23 hours, or when the period ends.
	replacementCheck = time.Minute
	// replacementBatch is how many are checked in one round.
	replacementBatch = 100
	// endingTime is how long before the end of a period a replacement must be paid. The scheduled change takes effect at that end, so a later payment
	// would buy what is undone at once. It leaves time for some checks.
	endingTime = 5 * time.Minute
)

// ending tells whether a period is about to end.
func (s *Service) ending(end time.Time) bool { return s.Now().Add(endingTime).After(end) }

// FinishReplacements releases the schedules that paid changes have replaced, until Stripe does not answer. Errors: those of mirror.Fetch, of package outcome and of the store.
func (s *Service) FinishReplacements(ctx context.Context) error {
	due, err := s.Store.DueReplacements(ctx, s.Now(), replacementBatch)
	if err != nil {
		return err
	}
	var failed []error
	for _, accountID := range due {
		err := s.aside(ctx, accountID, func(ctx context.Context, s *Service) error { return s.finishReplacement(ctx, accountID) })
		if err != nil && !errors.Is(err, job.ErrBusy) { // it stays due
			failed = append(failed, fmt.Errorf("replace the scheduled change of %s: %w", accountID, err))
			if outcome.Silent(err) {
				break // the next round tries the others
			}
		}
	}
	return errors.Join(failed...)
}

// finishReplacement releases the schedule that a change has replaced, once the change is paid.
func (s *Service) finishReplacement(ctx context.Context, accountID string) error {
	r, err := s.Store.Replacement(ctx, accountID)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.Store.SaveReplacement(ctx, accountID, r, s.Now().Add(replacementCheck)); err != nil { // others have their turn when this fails
		return err
	}
	o, err := s.Mirror.Sync(ctx, mirror.Subscription, r.Subscription)
	if err != nil {
		return err
	}
	if o.Deleted {
		return s.Store.DropReplacement(ctx, accountID)
	}
	sub, err := subscriptions.ParseSubscription(o.Body)
	if err != nil {
		return err
	}
	switch {
	case sub.Schedule != r.Schedule: // it has ended, or was taken back
	case r.done(sub):
		if err := s.Changer.ReleaseSchedule(ctx, r.Schedule); err != nil {
			return err
		}
		if _, err := s.Mirror.Sync(ctx, mirror.Subscription, r.Subscription); err != nil {
			return err
		}
	case sub.PendingUpdate != nil:
		return s.giveUpEnding(ctx, sub) // it can still be paid
	}
	return s.Store.DropReplacement(ctx, accountID)
}

// giveUpEnding drops a change that was not paid before its period is about to end. The next check finds that it is gone, or that it was paid meanwhile.
func (s *Service) giveUpEnding(ctx context.Context, sub subscriptions.Subscription) error {
	if _, end := sub.Period(); !s.ending(end) {
		return nil
	}
	return s.Changer.GiveUpChange(ctx, sub.ID)
}

// done tells whether the subscription has what the change is for.
func (r Replacement) done(sub subscriptions.Subscription) bool {
	for _, item := range sub.Items.Data {
		if item.Price.ID == r.Price && item.Quantity == r.Quantity {
			return true
		}
	}
	return false
}
