package ledger

import "context"

// FreeCredit says who gets the credit of a plan that is not paid for.
type FreeCredit string

// The rules.
const (
	// FreePerAccount gives it to each account.
	FreePerAccount FreeCredit = "account"
	// FreePerPerson gives it to one account of each person: the first that the person opens or begins a period of.
	FreePerPerson FreeCredit = "person"
	// FreeWithCard is FreePerPerson for accounts that have a card at Stripe.
	FreeWithCard FreeCredit = "card"
	// NoFreeCredit gives it to nobody.
	NoFreeCredit FreeCredit = "none"
)

// mayHaveFree tells whether an account gets free credit. It takes the person's share if the account has none.
func (l *Ledger) mayHaveFree(ctx context.Context, tx Tx, accountID, userID string) (bool, error) {
	switch l.free {
	case NoFreeCredit:
		return false, nil
	case FreeWithCard:
		if has, err := tx.HasCard(ctx, accountID); err != nil || !has {
			return false, err
		}
		return tx.TakeShare(ctx, ShareOfCredit, accountID, userID)
	case FreePerPerson:
		return tx.TakeShare(ctx, ShareOfCredit, accountID, userID)
	default:
		return true, nil
	}
}

// MayHaveTrial tells whether an account may begin a trial, of which a person has one, and takes the person's share. Errors: ErrUnavailable.
func (l *Ledger) MayHaveTrial(ctx context.Context, accountID, userID string) (may bool, err error) {
	if l.free == FreePerAccount || l.free == "" {
		return true, nil
	}
	err = l.store.Write(ctx, accountID, func(ctx context.Context, tx Tx) (err error) {
		may, err = tx.TakeShare(ctx, ShareOfTrial, accountID, userID)
		return err
	})
	return may, err
}

// Share is what each person has once.
type Share string

// The shares.
const (
	ShareOfCredit Share = "credit"
	ShareOfTrial  Share = "trial"
)
