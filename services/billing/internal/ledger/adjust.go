package ledger

import (
	"context"
	"slices"
	"time"
)

// adjust corrects a swept hold to what the call really used, and closes it for good.
func (c *closing) adjust(ctx context.Context, tx Tx) (Closing, error) {
	account, now, err := c.touch(ctx, tx)
	if err != nil {
		return Closing{}, err
	}
	end := Closing{Cost: c.cost, SettleTime: now}
	if end.PaidBy, err = c.correct(ctx, tx, &account, now); err != nil {
		return Closing{}, err
	}
	end.BalanceAfter = account.Balance
	if end.UsageID, err = c.correctUsage(ctx, tx, &account, now); err != nil {
		return Closing{}, err
	}
	if err := tx.CloseHold(ctx, c.hold, end, false); err != nil {
		return Closing{}, err
	}
	if err := c.l.addKeySpend(ctx, tx, c.hold, KeySpend{Spent: c.cost - c.hold.Cost}); err != nil {
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
		return slices.Concat(c.hold.PaidBy, paid), tx.InsertEntry(ctx, c.entry(KindAdjustment, customer, SideUsage, more, now))
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

// correctUsage replaces the usage record and returns its id. It stays on the day on which the call was swept.
func (c *closing) correctUsage(ctx context.Context, tx Tx, account *Account, now time.Time) (string, error) {
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
		account.Period.add(old.Total(), -1)
		account.Period.add(record.Total(), 1)
	}
	if record.ID == "" {
		return "", nil
	}
	return record.ID, tx.InsertUsage(ctx, record)
}
