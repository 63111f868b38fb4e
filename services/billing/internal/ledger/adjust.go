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
	if err := c.correct(ctx, tx, &account, &end, now); err != nil {
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
	if err := tx.AddSpend(ctx, c.hold, Spend{Spent: c.cost - c.hold.Cost}); err != nil {
		return err
	}
	// Credit may have come back to a grant whose time is over.
	if err := c.l.expire(ctx, tx, &account, now); err != nil {
		return err
	}
	// Or to one whose payment was taken back meanwhile.
	if c.cost < c.hold.Cost {
		if err := c.l.clawCorrected(ctx, tx, &account, now); err != nil {
			return err
		}
	}
	if err := c.tell(ctx, tx, account, c.cost-c.hold.Cost); err != nil {
		return err
	}
	c.end = end
	return c.l.save(ctx, tx, &account)
}

// correct moves the difference between the true cost and what the sweeper charged. It writes to end which grants have paid then, and what the
// hold owes and has used beyond all credit.
func (c *settling) correct(ctx context.Context, tx Tx, account *Account, end *Closing, now time.Time) error {
	more := c.cost - c.hold.Cost
	account.Balance -= more
	end.PaidBy, end.Owed, end.Overage, end.OverageStart = c.hold.PaidBy, c.hold.Owed, c.hold.Overage, c.hold.OverageStart
	switch {
	case more > 0:
		return c.correctUp(ctx, tx, account, end, more, now)
	case more < 0:
		return c.correctDown(ctx, tx, account, end, -more, now)
	default:
		return nil
	}
}

func (c *settling) correctUp(ctx context.Context, tx Tx, account *Account, end *Closing, more int64, now time.Time) error {
	paid, owed, err := c.l.burn(ctx, tx, account, more, c.hold.CreateTime)
	if err != nil {
		return err
	}
	if c.hold.Overage == 0 || c.hold.OverageStart.Equal(account.PeriodStart) { // a hold counts in one period
		used := account.useOverage(owed, c.hold.CreateTime)
		account.Debt -= used
		owed -= used
		if err := account.moveOverage(ctx, tx, used); err != nil {
			return err
		}
		if used > 0 {
			end.Overage, end.OverageStart = end.Overage+used, account.PeriodStart
			if err := tx.InsertEntry(ctx, c.entry(KindOverage, SideReceivable, SideCustomer(account.ID), used, now)); err != nil {
				return err
			}
		}
	}
	end.PaidBy, end.Owed = slices.Concat(end.PaidBy, paid), end.Owed+owed
	return tx.InsertEntry(ctx, c.entry(KindAdjustment, SideCustomer(account.ID), SideUsage, more, now))
}

// correctDown gives back what the call did not use: first what it still owes, then its overage, then what grants paid.
func (c *settling) correctDown(ctx context.Context, tx Tx, account *Account, end *Closing, less int64, now time.Time) error {
	back := min(max(less-c.hold.Owed, 0), c.hold.Overage)
	if err := account.unuseOverage(ctx, tx, c.hold, back); err != nil {
		return err
	}
	end.Overage -= back
	if back > 0 {
		if err := tx.InsertEntry(ctx, c.entry(KindOverage, SideCustomer(account.ID), SideReceivable, back, now)); err != nil {
			return err
		}
	}
	var err error
	if end.PaidBy, end.Owed, err = c.l.unburn(ctx, tx, account, c.hold, less-back, now); err != nil {
		return err
	}
	return tx.InsertEntry(ctx, c.entry(KindAdjustment, SideUsage, SideCustomer(account.ID), less, now))
}

// correctUsage replaces the usage of the call and returns its time, which stays that of the sweep.
func (c *settling) correctUsage(ctx context.Context, tx Tx, account *Account) (time.Time, error) {
	old, at, err := tx.Unfold(ctx, c.hold.ID)
	if err != nil {
		return time.Time{}, err
	}
	// A period that is sold begins with the subscription. The news of it may come after a call ended, which then counts in the period before.
	if !at.Before(account.PeriodStart) && account.Period.covers(old) {
		account.Period.Remove(old)
		account.Period.Add(totalOf(c.Usage, c.cost))
	}
	return at, nil
}
