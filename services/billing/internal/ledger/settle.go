package ledger

import (
	"context"
	"errors"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/billing/internal/money"
)

// Settlement is what a call used.
type Settlement struct {
	// HoldID is the call's hold.
	HoldID string
	// Usage is the tokens; all zero closes the hold without a charge.
	Usage Usage
	// Outcome is how the call ended.
	Outcome Outcome
	// Estimated is true when Trivet counted the tokens.
	Estimated bool
	// ProviderRequestID is the provider's id of the call; may be empty.
	ProviderRequestID string
}

// errAbsurd marks usage that can't be that of a call, or that costs more than a charge may be.
var errAbsurd = errors.New("usage out of range")

// errUncountable marks a charge beyond the account's bounds.
var errUncountable = errors.New("the account's sums would exceed their bounds")

// maxRaces bounds how often Settle starts anew because another call closed the hold, or another replica charged the account,
// between its read and its write.
const maxRaces = 10

// Settle charges what a call used and closes its hold, in one transaction. The same hold gets the same answer again. A hold
// that was swept is adjusted to the usage given here, up or down. What exceeds the hold is charged too, and may become debt.
// Errors: NOT_FOUND, INVALID_ARGUMENT (absurd usage), SERVICE_UNAVAILABLE.
func (l *Ledger) Settle(ctx context.Context, s Settlement) (Closing, error) {
	h, kept := l.recent.Get(s.HoldID)
	for range maxRaces {
		if !kept {
			var err error
			if h, err = l.store.Hold(ctx, s.HoldID); errors.Is(err, ErrNotFound) {
				return Closing{}, holdNotFound(s.HoldID)
			} else if err != nil {
				return Closing{}, asPublic(err, "settling")
			}
		}
		end, err := l.settle(ctx, h, s)
		if err == nil || errors.Is(err, ErrLost) {
			l.recent.Remove(s.HoldID)
			kept = false
		}
		if !errors.Is(err, ErrLost) {
			return end, asPublic(err, "settling")
		}
	}
	return Closing{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		"The account is too busy to settle the call right now. Please try again in a moment.").After(time.Second)
}

func holdNotFound(id string) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "There is no hold %q.", id).Field("holdId", "is unknown")
}

func (l *Ledger) settle(ctx context.Context, h Hold, s Settlement) (Closing, error) {
	if h.State == StateSettled {
		return h.Closing, nil
	}
	cost, err := h.cost(s.Usage)
	if err != nil {
		return Closing{}, err
	}
	c := &closing{l: l, Settlement: s, hold: h, cost: cost}
	if h.State == StateSwept {
		return c.run(ctx, c.adjust)
	}
	return c.run(ctx, c.charge)
}

// cost prices usage as the hold promised.
func (h Hold) cost(u Usage) (int64, error) {
	if !u.sane() {
		return 0, absurd(u)
	}
	model := models.Model{ID: h.Model, InputPrice: h.InputPrice, CachedInputPrice: h.CachedInputPrice, OutputPrice: h.OutputPrice}
	cost, err := model.Cost(u.Input, u.CachedInput, u.Output)
	if err != nil || cost > MaxAmount {
		return 0, absurd(u)
	}
	return cost, nil
}

func absurd(u Usage) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
		"The usage of %d input tokens (%d cached) and %d output tokens (%d reasoning) can't be right: counts must not be negative, "+
			"nor parts exceed their whole, nor the cost all measure.", u.Input, u.CachedInput, u.Output, u.Reasoning).
		Field("usage", "can't be right").Cause(errAbsurd)
}

// closing is a hold on its way to being closed.
type closing struct {
	Settlement
	l    *Ledger
	hold Hold
	cost int64
	// sweep is true when the sweeper closes it.
	sweep bool
}

func (c *closing) run(ctx context.Context, fn func(context.Context, Tx) (Closing, error)) (end Closing, err error) {
	err = c.l.store.Write(ctx, c.hold.AccountID, func(ctx context.Context, tx Tx) (err error) {
		end, err = fn(ctx, tx)
		return err
	})
	if err == nil && c.hold.State == StateOpen {
		c.l.count.settled(ctx, c.Outcome, c.cost)
	}
	return end, err
}

// charge closes an open hold.
func (c *closing) charge(ctx context.Context, tx Tx) (Closing, error) {
	now := c.l.now()
	record := c.record(now)
	balance, ok, err := tx.ChargeHold(ctx, Charge{
		Hold: c.hold, Sweep: c.sweep, EntryID: c.l.ids.make(prefixEntry, now), Record: record,
	})
	if err != nil {
		return Closing{}, err
	}
	if ok {
		return Closing{Cost: c.cost, BalanceAfter: balance, SettleTime: now}, nil
	}
	return c.chargeCarefully(ctx, tx)
}

// touch brings the account up to date. The time it returns is never before the account's period: a replica whose clock is ahead
// may have begun that already.
func (c *closing) touch(ctx context.Context, tx Tx) (Account, time.Time, error) {
	now := c.l.now()
	account, err := c.l.touch(ctx, tx, c.hold.AccountID, now)
	if now.Before(account.PeriodStart) {
		now = account.PeriodStart
	}
	return account, now, err
}

// chargeCarefully is charge for an account that must be brought up to date first, or whose cost takes several grants or makes debt.
func (c *closing) chargeCarefully(ctx context.Context, tx Tx) (Closing, error) {
	account, now, err := c.touch(ctx, tx)
	if err != nil {
		return Closing{}, err
	}
	record := c.record(now)
	account.Balance -= c.cost
	account.Held -= c.hold.Amount
	account.Period.add(record.Total())
	end := Closing{Cost: c.cost, BalanceAfter: account.Balance, SettleTime: now, UsageID: record.ID}
	if end.PaidBy, end.Owed, err = c.l.burn(ctx, tx, &account, c.cost, c.hold.CreateTime); err != nil {
		return Closing{}, err
	}
	if !account.countable() {
		return Closing{}, c.uncountable()
	}
	if err := tx.CloseHold(ctx, c.hold, end, c.sweep); err != nil {
		return Closing{}, err
	}
	if c.cost > 0 {
		if err := tx.InsertEntry(ctx, c.entry(KindUsage, SideCustomer(account.ID), SideUsage, c.cost, now)); err != nil {
			return Closing{}, err
		}
	}
	if record.ID != "" {
		if err := tx.InsertUsage(ctx, record); err != nil {
			return Closing{}, err
		}
	}
	if err := tx.AddKeySpend(ctx, c.hold, KeySpend{Held: -c.hold.Amount, Spent: c.cost}); err != nil {
		return Closing{}, err
	}
	// What stayed for this hold beyond its time and was not used leaves now.
	if err := c.l.expire(ctx, tx, &account, now); err != nil {
		return Closing{}, err
	}
	return end, c.l.save(ctx, tx, &account)
}

// uncountable refuses a charge that would take one of the account's sums beyond what can be counted.
func (c *closing) uncountable() error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
		"The charge of %s can't be booked: with it the account's balance or its usage in this period would exceed what can be counted.",
		money.Format(c.cost)).Field("usage", "exceeds what the account can count").Cause(errUncountable)
}

func (c *closing) entry(kind, debit, credit string, amount int64, now time.Time) Entry {
	return Entry{
		ID: c.l.ids.make(prefixEntry, now), AccountID: c.hold.AccountID, Kind: kind, Debit: debit, Credit: credit,
		Amount: amount, Reference: c.hold.ID, CreateTime: now,
	}
}

// record is the usage record; it has no id when nothing was used.
func (c *closing) record(at time.Time) UsageRecord {
	r := UsageRecord{
		HoldID: c.hold.ID, AccountID: c.hold.AccountID, UserID: c.hold.UserID, APIKeyID: c.hold.APIKeyID, Model: c.hold.Model,
		Usage: c.Usage, Cost: c.cost, Outcome: c.Outcome, Estimated: c.Estimated, ProviderRequestID: c.ProviderRequestID, SettleTime: at,
	}
	if !c.Usage.IsZero() {
		r.ID = c.l.ids.make(prefixUsage, at)
	}
	return r
}
