package ledger

import (
	"context"
	"slices"
	"time"
)

// adjust corrects a swept hold to what the call really used, and closes it for good.
func (c *settling) adjust(ctx context.Context, tx Tx) error {
	account, now, err := c.touch(ctx, tx)
	if err != nil {
		return err
	}
	// Read again, because bringing the account up to date may have paid what the hold owes.
	if c.hold, err = tx.Hold(ctx, c.hold.ID); err != nil {
		return err
	}
	end := Closing{Cost: c.cost, SettleTime: now}
	if end.PaidBy, end.Owed, err = c.correct(ctx, tx, &account, now); err != nil {
		return err
	}
	end.BalanceAfter = account.Balance
	if end.UsageID, err = c.correctUsage(ctx, tx, &account, now); err != nil {
		return err
	}
	if !account.countable() {
		return &UncountableError{c.cost}
	}
	closed := c.hold
	closed.State, closed.Closing = StateSettled, end
	if err := tx.CloseHold(ctx, closed, StateSwept); err != nil {
		return err
	}
	if err := tx.AddKeySpend(ctx, c.hold, KeySpend{Spent: c.cost - c.hold.Cost}); err != nil {
		return err
	}
	// Credit may have come back to a grant whose time is over.
	if err := c.l.expire(ctx, tx, &account, now); err != nil {
		return err
	}
	c.end = end
	return c.l.save(ctx, tx, &account)
}

// correct moves the difference between the true cost and what the sweeper charged. It returns which grants have paid then, and what the
// hold owes.
func (c *settling) correct(ctx context.Context, tx Tx, account *Account, now time.Time) (paid []Burn, owed int64, err error) {
	customer, more := SideCustomer(account.ID), c.cost-c.hold.Cost
	account.Balance -= more
	switch {
	case more > 0:
		paid, owed, err = c.l.burn(ctx, tx, account, more, c.hold.CreateTime)
		if err != nil {
			return nil, 0, err
		}
		paid, owed = slices.Concat(c.hold.PaidBy, paid), c.hold.Owed+owed
		return paid, owed, tx.InsertEntry(ctx, c.entry(KindAdjustment, customer, SideUsage, more, now))
	case more < 0:
		paid, owed, err = c.l.unburn(ctx, tx, account, c.hold, -more, now)
		if err != nil {
			return nil, 0, err
		}
		return paid, owed, tx.InsertEntry(ctx, c.entry(KindAdjustment, SideUsage, customer, -more, now))
	default:
		return c.hold.PaidBy, c.hold.Owed, nil
	}
}

// correctUsage replaces the usage record and returns its id. It stays on the day on which the call was swept.
func (c *settling) correctUsage(ctx context.Context, tx Tx, account *Account, now time.Time) (string, error) {
	record := c.record(now)
	var old UsageRecord
	if c.hold.UsageID != "" {
		var err error
		if old, err = tx.Usage(ctx, account.ID, c.hold.UsageID); err != nil {
			return "", err
		}
		if err := tx.DeleteUsage(ctx, account.ID, old.ID); err != nil {
			return "", err
		}
		record.SettleTime = old.SettleTime
		if record.ID != "" {
			record.ID = old.ID
		}
	}
	if !record.SettleTime.Before(account.PeriodStart) {
		account.Period.remove(old.Total())
		account.Period.add(record.Total())
	}
	if record.ID == "" {
		return "", nil
	}
	return record.ID, tx.InsertUsage(ctx, record)
}
