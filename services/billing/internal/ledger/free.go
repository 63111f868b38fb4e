package ledger

import (
	"context"
	"time"
)

// FreeCredit says who gets the credit of a plan that is not paid for.
type FreeCredit string

// The rules.
const (
	// FreePerAccount gives it to each account.
	FreePerAccount FreeCredit = "account"
	// FreePerPerson gives it to one account of each person: the first that the person opens or begins a period of.
	FreePerPerson FreeCredit = "person"
	// FreeVerified is FreePerPerson for people who have a verified email address or phone number.
	FreeVerified FreeCredit = "verified"
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
	case FreePerPerson, FreeVerified:
		return tx.TakeShare(ctx, ShareOfCredit, accountID, userID)
	default:
		return true, nil
	}
}

// MayShare returns the person of a call if the person may use their share of free credit and trials; otherwise "".
func (l *Ledger) MayShare(userID string, verified bool) string {
	if l.free == FreeVerified && !verified {
		return ""
	}
	return userID
}

// mayClaim tells whether an account that has no free credit may have some by now. userID is as in Account. isDue is true when the account's plan and period
// may change before it claims.
func (l *Ledger) mayClaim(ctx context.Context, account Account, userID string, isDue bool) (bool, error) {
	switch {
	case userID == "" || !givesCredit(l.plans.Default()) || !isDue && !l.mayBeGiven(account, l.now()):
		return false, nil
	case l.free == FreeWithCard:
		return account.Available() <= 0, nil
	case l.free == FreeVerified:
		taken, err := l.store.ShareTaken(ctx, ShareOfCredit, account.ID, userID)
		return !taken, err
	}
	return false, nil
}

// mayBeGiven tells whether an account is on the default plan, in a month of its own: the rest of a month after a subscription has no free credit.
func (l *Ledger) mayBeGiven(account Account, now time.Time) bool {
	start, _ := period(account.CreateTime, now)
	return account.Plan == l.plans.Default().ID && account.PeriodStart.Equal(start)
}

// claim gives an account the free credit of its present month, if it has had none.
func (l *Ledger) claim(ctx context.Context, tx Tx, account *Account, userID string, now time.Time) error {
	if !l.mayBeGiven(*account, now) {
		return nil
	}
	if given, err := l.grantPlan(ctx, tx, account, userID, now); err != nil || !given {
		return err
	}
	return l.save(ctx, tx, account)
}

// reserveVerified tries a refused call again if the account has got free credit since, because the person who calls has been verified. A call at the same
// time may have claimed the credit after the refusal.
func (l *Ledger) reserveVerified(ctx context.Context, r Reservation, refusal *InsufficientError) (Hold, error) {
	account, err := l.store.Account(ctx, r.AccountID)
	if err != nil {
		return Hold{}, err
	}
	may, err := l.mayClaim(ctx, account, r.UserID, false)
	if err != nil {
		return Hold{}, err
	}
	if may {
		if _, err := l.Account(ctx, r.AccountID, r.UserID); err != nil {
			return Hold{}, err
		}
	}
	if account, err = l.store.Account(ctx, r.AccountID); err != nil { // another call may have taken the share for it since it was read
		return Hold{}, err
	}
	if account.Available() <= refusal.Account.Available() {
		return Hold{}, refusal
	}
	return l.reserve(ctx, r)
}

// MayHaveTrial tells whether an account may begin a trial, of which a person has one, and takes the person's share. userID is as in Account. Errors: ErrUnavailable.
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
