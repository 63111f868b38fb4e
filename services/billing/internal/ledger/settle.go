package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/models"
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

// maxRaces bounds how often Settle starts anew because another call closed the hold, or another replica charged the account,
// between its read and its write.
const maxRaces = 10

// Settle charges what a call used and closes its hold, in one transaction. The same hold gets the same answer again. A hold
// that was swept is adjusted to the usage given here, up or down. What exceeds the hold is charged too, and may become debt.
// Errors: *HoldNotFoundError, *UsageError, *UncountableError, ErrBusy, ErrUnavailable.
func (l *Ledger) Settle(ctx context.Context, s Settlement) (Closing, error) {
	h, kept := l.recent.Get(s.HoldID)
	for range maxRaces {
		if !kept {
			var err error
			if h, err = l.store.Hold(ctx, s.HoldID); errors.Is(err, ErrNotFound) {
				return Closing{}, &HoldNotFoundError{s.HoldID}
			} else if err != nil {
				return Closing{}, err
			}
		}
		end, err := l.settle(ctx, h, s)
		if err == nil || errors.Is(err, ErrLost) {
			l.recent.Remove(s.HoldID)
			kept = false
		}
		if !errors.Is(err, ErrLost) {
			return end, err
		}
	}
	return Closing{}, ErrBusy
}

func (l *Ledger) settle(ctx context.Context, h Hold, s Settlement) (Closing, error) {
	if h.State == StateSettled {
		return h.Closing, nil
	}
	cost, err := h.cost(s.Usage)
	if err != nil {
		return Closing{}, err
	}
	c := &settling{l: l, Settlement: s, hold: h, cost: cost}
	if h.State == StateSwept {
		return c.run(ctx, c.adjust)
	}
	return c.run(ctx, c.charge)
}

// cost prices usage as the hold promised.
func (h Hold) cost(u Usage) (int64, error) {
	if !u.sane() {
		return 0, &UsageError{u}
	}
	model := models.Model{ID: h.Model, InputPrice: h.InputPrice, CachedInputPrice: h.CachedInputPrice, OutputPrice: h.OutputPrice}
	cost, err := model.Cost(u.Input, u.CachedInput, u.Output)
	if err != nil || cost > MaxAmount {
		return 0, &UsageError{u}
	}
	return cost, nil
}

// settling is one Settle, or one hold of a sweep, in progress.
type settling struct {
	Settlement
	l    *Ledger
	hold Hold
	cost int64
	// sweep is true when the sweeper closes it.
	sweep bool
}

func (c *settling) run(ctx context.Context, fn func(context.Context, Tx) (Closing, error)) (end Closing, err error) {
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
func (c *settling) charge(ctx context.Context, tx Tx) (Closing, error) {
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
	return c.chargeSlowPath(ctx, tx)
}

// touch brings the account up to date. The time it returns is never before the account's period: a replica whose clock is ahead
// may have begun that already.
func (c *settling) touch(ctx context.Context, tx Tx) (Account, time.Time, error) {
	now := c.l.now()
	account, err := c.l.touch(ctx, tx, c.hold.AccountID, now)
	if now.Before(account.PeriodStart) {
		now = account.PeriodStart
	}
	return account, now, err
}

// chargeSlowPath is charge for an account that must be brought up to date first, or whose cost takes several grants or makes debt.
func (c *settling) chargeSlowPath(ctx context.Context, tx Tx) (Closing, error) {
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
		return Closing{}, &UncountableError{c.cost}
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

func (c *settling) entry(kind, debit, credit string, amount int64, now time.Time) Entry {
	return Entry{
		ID: c.l.ids.make(prefixEntry, now), AccountID: c.hold.AccountID, Kind: kind, Debit: debit, Credit: credit,
		Amount: amount, Reference: c.hold.ID, CreateTime: now,
	}
}

// record is the usage record; it has no id when nothing was used.
func (c *settling) record(at time.Time) UsageRecord {
	r := UsageRecord{
		HoldID: c.hold.ID, AccountID: c.hold.AccountID, UserID: c.hold.UserID, APIKeyID: c.hold.APIKeyID, Model: c.hold.Model,
		Usage: c.Usage, Cost: c.cost, Outcome: c.Outcome, Estimated: c.Estimated, ProviderRequestID: c.ProviderRequestID, SettleTime: at,
	}
	if !c.Usage.IsZero() {
		r.ID = c.l.ids.make(prefixUsage, at)
	}
	return r
}
