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
	end := c.closing(now)
	if end.PaidBy, end.Owed, err = c.correct(ctx, tx, &account, now); err != nil {
		return err
	}
	end.BalanceAfter = account.Balance
	if end.UsageTime, err = c.correctUsage(ctx, tx, &account); err != nil {
		return err
	}
	if !account.countable() {
		return &UncountableError{c.cost}
	}
	closed := c.hold
	closed.State, closed.Used, closed.Closing = StateSettled, c.Usage, end
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

// correctUsage replaces the usage of the call and returns its time, which stays that of the sweep.
func (c *settling) correctUsage(ctx context.Context, tx Tx, account *Account) (time.Time, error) {
	old, at, err := tx.Unfold(ctx, c.hold.ID)
	if err != nil {
		return time.Time{}, err
	}
	if !at.Before(account.PeriodStart) {
		account.Period.Remove(old)
		account.Period.Add(totalOf(c.Usage, c.cost))
	}
	return at, nil
}
