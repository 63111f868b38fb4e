package topup

import (
	"context"
	"errors"
	"fmt"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Refusals of settings.
var (
	// ErrNotOffered says that the account's plan has no automatic top-up.
	ErrNotOffered = errors.New("topup: the plan has no automatic top-up")
	// ErrUnknownPack says that no such pack is on sale.
	ErrUnknownPack = errors.New("topup: no such pack is on sale")
	// ErrNoCard says that the account has no payment method at Stripe.
	ErrNoCard = errors.New("topup: the account has no payment method")
)

// BoundsError says that an amount is out of bounds, in nano-dollars.
type BoundsError struct {
	// Cap is true for the monthly cap, and false for the threshold.
	Cap      bool
	Min, Max int64
}

// Error names the bounds.
func (e *BoundsError) Error() string {
	return fmt.Sprintf("topup: the amount must be from %d to %d nano-dollars", e.Min, e.Max)
}

// Shown is a setting with what it may be and what was bought.
type Shown struct {
	Setting
	// Offered tells whether the account's plan has automatic top-up, with MaxThreshold and MaxMonthlyCap.
	Offered                     bool
	MaxThreshold, MaxMonthlyCap int64
	// Spent is the price of the packs that were bought in this calendar month.
	Spent int64
	// Charges are the newest purchases.
	Charges []Charge
}

// shownCharges is how many purchases Get shows.
const shownCharges = 20

// Get shows the account's setting. An account that never had one is off.
func (b *Buyer) Get(ctx context.Context, accountID string) (Shown, error) {
	s, err := b.Store.TopUp(ctx, accountID)
	if errors.Is(err, ledger.ErrNotFound) {
		s, err = Setting{AccountID: accountID, State: Off}, nil
	}
	if err != nil {
		return Shown{}, err
	}
	if err := b.loaded(ctx); err != nil {
		return Shown{}, err
	}
	out := Shown{Setting: s}
	plan, err := b.Ledger.Plan(ctx, accountID)
	if err != nil {
		return Shown{}, err
	}
	if plan.TopUp != nil {
		out.Offered, out.MaxThreshold, out.MaxMonthlyCap = true, maxThreshold(plan), plan.TopUp.MonthlyCap
	}
	spent, err := b.Store.TopUpSpent(ctx, accountID, month(b.Now()))
	if err != nil {
		return Shown{}, err
	}
	out.Spent = spent * plans.Cent
	out.Charges, err = b.Store.TopUpCharges(ctx, accountID, shownCharges)
	return out, err
}

// maxThreshold is the plan's bound; without one, it is that of the monthly cap.
func maxThreshold(p plans.Plan) int64 {
	if p.TopUp.MaxThreshold == 0 {
		return p.TopUp.MonthlyCap
	}
	return p.TopUp.MaxThreshold
}

// Set replaces the account's setting. It begins anew: earlier declines do not count. Errors: the refusals, *BoundsError, *ledger.ErasedError and those
// of the store.
func (b *Buyer) Set(ctx context.Context, s Setting) error {
	s.SetTime = b.Now()
	if s.State == Off {
		known, err := b.Store.TopUp(ctx, s.AccountID)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		s.PackID, s.Threshold, s.MonthlyCap = known.PackID, known.Threshold, known.MonthlyCap // what was set up is shown when it is turned on again
		return b.Store.SetTopUp(ctx, s, pause)
	}
	if err := b.loaded(ctx); err != nil {
		return err
	}
	plan, err := b.Ledger.Plan(ctx, s.AccountID)
	if err != nil {
		return err
	}
	if plan.TopUp == nil {
		return ErrNotOffered
	}
	offer, ok := b.Catalog.OfferOf("", s.PackID)
	if !ok || offer.Pack == nil {
		return ErrUnknownPack
	}
	if s.Threshold < 0 || s.Threshold > maxThreshold(plan) {
		return &BoundsError{Min: 0, Max: maxThreshold(plan)}
	}
	if s.MonthlyCap < offer.Pack.Price || s.MonthlyCap > plan.TopUp.MonthlyCap {
		return &BoundsError{Cap: true, Min: offer.Pack.Price, Max: plan.TopUp.MonthlyCap}
	}
	if has, err := b.Store.HasCards(ctx, s.AccountID); err != nil || !has {
		if err == nil {
			err = ErrNoCard
		}
		return err
	}
	return b.Store.SetTopUp(ctx, s, pause)
}
