package store

import (
	"context"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

func (u *unit) TakeShare(ctx context.Context, share ledger.Share, accountID, userID string) (bool, error) {
	n, err := u.q.GetShare(ctx, db.GetShareParams{Share: string(share), AccountID: accountID})
	if err != nil || n > 0 || userID == "" {
		return n > 0, err
	}
	if n, err = u.q.IsErasedUser(ctx, hash(userID)); err != nil || n > 0 { // a passport can outlive the person's data
		return false, err
	}
	n, err = u.q.TakeShare(ctx, db.TakeShareParams{Share: string(share), Person: userID, AccountID: accountID})
	return n > 0, err
}

// ShareTaken tells whether an account has a share, or the person's share is gone.
func (s *Store) ShareTaken(ctx context.Context, share ledger.Share, accountID, userID string) (bool, error) {
	n, err := s.read.CountShares(ctx, db.CountSharesParams{Share: string(share), AccountID: accountID, Person: userID})
	if err != nil || n > 0 {
		return n > 0, err
	}
	n, err = s.read.IsErasedUser(ctx, hash(userID))
	return n > 0, err
}

func (u *unit) HasCard(ctx context.Context, accountID string) (bool, error) {
	n, err := u.q.CountCards(ctx, accountID)
	return n > 0, err
}
