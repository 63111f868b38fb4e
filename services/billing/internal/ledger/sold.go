package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Sold is a subscription at Stripe that is not over, and what its account follows.
type Sold struct {
	ID, AccountID string
	// Body is the stored object.
	Body []byte
	// Followed is the subscription that the account follows, "" for none, and Plan the reference of its version.
	Followed, Plan string
}

const soldPage = 1000

// FollowSold follows the accounts of subscriptions whose prices have become known: their news came before the plan was applied, and no more news may come. It
// reads all subscriptions that are not over, and is for changes of the applied plans. Errors: ErrUnavailable.
func (l *Ledger) FollowSold(ctx context.Context) error {
	var failed []error
	for after := ""; ; {
		page, err := l.store.Sold(ctx, after, soldPage)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, s := range page {
			failed = append(failed, l.followSold(ctx, s))
		}
		if len(page) < soldPage {
			return errors.Join(failed...)
		}
		after = page[len(page)-1].ID
	}
}

func (l *Ledger) followSold(ctx context.Context, s Sold) error {
	sub, err := subscriptions.ParseSubscription(s.Body)
	if err != nil {
		return err
	}
	ref, known := subscriptions.PlanOf(sub, l.plans)
	if !known || s.Followed == s.ID && s.Plan == ref {
		return nil
	}
	err = l.store.Write(ctx, s.AccountID, func(ctx context.Context, tx Tx) error { return l.Follow(ctx, tx, s.AccountID) })
	if _, erased := errors.AsType[*ErasedError](err); erased {
		return nil
	}
	if err != nil {
		return fmt.Errorf("follow the subscription of %s: %w", s.AccountID, err)
	}
	return nil
}
