package store

import (
	"context"
	"strings"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// A window of a limit that is not stored is summed up from the holds of a member or an API key. The indexes for that cost every call, so only holds
// that are marked as limited are in them. An account without limits marks none. When it gets its first limit, new holds are marked first, then the
// earlier ones.

// What account.limited_up_to says: limitedNone, limitedAll, or limitedAfter and the id of a hold.
const (
	limitedNone  = ""
	limitedAll   = "all"
	limitedAfter = "after "
)

// limitedPage is how many holds, of whichever account, one transaction looks at.
const limitedPage = 5000

// unfoundHoldsError says that the account has holds which are not in the indexes of limits. It ends a decision, which is made again afterwards.
type unfoundHoldsError struct{ accountID string }

func (e *unfoundHoldsError) Error() string {
	return "not all holds of account " + e.accountID + " are in the indexes of limits"
}

// limits tells whether new holds of an account are marked as limited.
func (u *unit) limits(accountID string) bool {
	a := u.accounts[accountID]
	return a == nil || a.limitedUpTo != limitedNone
}

// findHolds makes sure that a window is summed up from all holds of the account. An account without calls has none to mark.
func (u *unit) findHolds(ctx context.Context, accountID string) error {
	a, err := u.account(ctx, accountID)
	if err != nil || a.limitedUpTo == limitedAll {
		return err
	}
	if a.limitedUpTo == limitedNone {
		found, err := u.q.HasCalls(ctx, accountID)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return u.setLimited(ctx, a, limitedAll)
		}
	}
	return &unfoundHoldsError{accountID}
}

func (u *unit) setLimited(ctx context.Context, a *account, upTo string) error {
	a.limitedUpTo = upTo
	return u.q.SetLimitedUpTo(ctx, db.SetLimitedUpToParams{ID: a.ID, UpTo: upTo})
}

// limitHolds marks all holds of an account, a page in a transaction, so that other calls have their turn. Each page is kept: whoever comes next continues
// behind it. New holds are marked since the first page.
func (s *Store) limitHolds(ctx context.Context, accountID string) error {
	for done := false; !done; {
		err := s.decide(ctx, ledger.Caller{AccountID: accountID}, func(ctx context.Context, tx ledger.Tx) (err error) {
			done, err = tx.(*unit).limitPage(ctx, accountID) //nolint:forcetypeassert // this store's own
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// limitPage marks the next page, and tells whether it was the last. Many callers may wait for the same account: one of them marks a page in each
// transaction, which would become too long otherwise.
func (u *unit) limitPage(ctx context.Context, accountID string) (last bool, err error) {
	if u.marked[accountID] {
		return false, nil
	}
	u.marked[accountID] = true
	if err := u.flush(ctx); err != nil {
		return false, err
	}
	a, err := u.account(ctx, accountID)
	if err != nil || a.missing || a.limitedUpTo == limitedAll {
		return true, err
	}
	if a.limitedUpTo == limitedNone {
		return false, u.setLimited(ctx, a, limitedAfter)
	}
	after := strings.TrimPrefix(a.limitedUpTo, limitedAfter)
	end, err := u.q.EndOfHoldPage(ctx, db.EndOfHoldPageParams{After: after, Skip: u.limitedPage - 1})
	if err != nil {
		return false, err
	}
	if len(end) == 0 {
		if err := u.q.LimitLastHolds(ctx, db.LimitLastHoldsParams{AccountID: accountID, After: after}); err != nil {
			return false, err
		}
		return true, u.setLimited(ctx, a, limitedAll)
	}
	if err := u.q.LimitHolds(ctx, db.LimitHoldsParams{AccountID: accountID, After: after, Last: end[0]}); err != nil {
		return false, err
	}
	return false, u.setLimited(ctx, a, limitedAfter+end[0])
}
