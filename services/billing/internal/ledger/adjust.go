package ledger

import (
	"context"
	"errors"
	"time"
)

// adjust corrects a swept hold to what the call really used, and closes it for good.
func (c *closing) adjust(ctx context.Context, tx Tx) (Closing, error) {
	now := c.l.now()
	account, err := c.l.touch(ctx, tx, c.hold.AccountID, now)
	if err != nil {
		return Closing{}, err
	}
	end := Closing{Cost: c.cost, SettleTime: now}
	if end.PaidBy, err = c.correct(ctx, tx, &account, now); err != nil {
		return Closing{}, err
	}
	end.BalanceAfter = account.Balance
	swapped, err := tx.CloseHold(ctx, c.hold.ID, StateSwept, end)
	if err != nil {
		return Closing{}, err
	}
	if !swapped {
		return Closing{}, errLostRace
	}
	if err := c.correctUsage(ctx, tx, &account, now); err != nil {
		return Closing{}, err
	}
	// Credit may have come back to a grant whose time is over.
	if err := c.l.expire(ctx, tx, &account, now); err != nil {
		return Closing{}, err
	}
	return end, c.l.save(ctx, tx, &account)
}

// correct moves the difference between the true cost and what the sweeper charged.
func (c *closing) correct(ctx context.Context, tx Tx, account *Account, now time.Time) ([]Burn, error) {
	customer, more := SideCustomer(account.ID), c.cost-c.hold.Cost
	account.Balance -= more
	switch {
	case more > 0:
		paid, err := c.l.burn(ctx, tx, account, more, c.hold.CreateTime)
		if err != nil {
			return nil, err
		}
		return append(c.hold.PaidBy, paid...), tx.InsertEntry(ctx, c.entry(KindAdjustment, customer, SideUsage, more, now))
	case more < 0:
		paid, err := c.l.unburn(ctx, tx, account, c.hold, -more, now)
		if err != nil {
			return nil, err
		}
		return paid, tx.InsertEntry(ctx, c.entry(KindAdjustment, SideUsage, customer, -more, now))
	default:
		return c.hold.PaidBy, nil
	}
}

// correctUsage replaces the usage record. It stays on the day on which the call was swept.
func (c *closing) correctUsage(ctx context.Context, tx Tx, account *Account, now time.Time) error {
	at := now
	old, err := tx.Usage(ctx, c.hold.ID)
	switch {
	case err == nil:
		at = old.SettleTime
		if err := tx.DeleteUsage(ctx, c.hold.ID); err != nil {
			return err
		}
	case !errors.Is(err, ErrNotFound):
		return err
	}
	if !at.Before(account.PeriodStart) {
		if err == nil {
			account.Period.add(old.total(), -1)
		}
		account.Period.add(c.total(), 1)
	}
	if c.Usage.IsZero() {
		return nil
	}
	return tx.InsertUsage(ctx, c.usageRecord(at))
}
