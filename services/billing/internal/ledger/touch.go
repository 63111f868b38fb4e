package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// touchAside is touch for what no person asks for, such as news of Stripe, a job and an operator's grant. Only an account that it opens has a share of free
// credit of its own. The id of one that exists may be that of an organization, which is not a person.
func (l *Ledger) touchAside(ctx context.Context, tx Tx, id string, now time.Time) (Account, error) {
	opener := ""
	if _, err := tx.LockAccount(ctx, id); errors.Is(err, ErrNotFound) {
		opener = id
	} else if err != nil {
		return Account{}, err
	}
	return l.touch(ctx, tx, id, opener, now)
}

// touch opens the account if need be, locks it, and brings it up to date: credit whose time is over leaves, a new period
// begins and its credit is granted. userID is who caused it; "" for nobody. The account returned is as the database has it.
func (l *Ledger) touch(ctx context.Context, tx Tx, id, userID string, now time.Time) (Account, error) {
	if l.free == FreeVerified { // whoever caused it may not be verified; Account gives the credit to those who are
		userID = ""
	}
	account, err := tx.LockAccount(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return l.open(ctx, tx, id, userID, now)
	}
	if err != nil || now.Before(account.Due) {
		return account, err
	}
	return account, l.roll(ctx, tx, &account, userID, now)
}

// open makes an account on the default plan, with that plan's credit.
func (l *Ledger) open(ctx context.Context, tx Tx, id, userID string, now time.Time) (Account, error) {
	account := Account{ID: id, Plan: l.plans.Default().ID, CreateTime: now}
	account.PeriodStart, account.PeriodEnd = period(now, now)
	account.Due = account.PeriodEnd
	inserted, err := tx.InsertAccount(ctx, account)
	if err != nil {
		return Account{}, err
	}
	account, err = tx.LockAccount(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Account{}, &ErasedError{id}
	case err != nil || !inserted: // another replica opened it first
		return account, err
	}
	if _, err := l.grantPlan(ctx, tx, &account, userID, now); err != nil {
		return Account{}, err
	}
	return account, tx.SaveAccount(ctx, account)
}

// roll expires credit and begins a new period, where their time has come, and writes the account. An account that is due only because credit waits to be
// taken back is not followed: each of its calls comes here. Otherwise the payments that were taken back are compared again: a version that runs beside this
// one may have stored a refund without taking its credit.
func (l *Ledger) roll(ctx context.Context, tx Tx, account *Account, userID string, now time.Time) error {
	within := account.Due.Equal(dueAtOnce) && now.Before(account.PeriodEnd)
	if err := l.expire(ctx, tx, account, now); err != nil {
		return err
	}
	if err := l.clawReleased(ctx, tx, account, now); err != nil {
		return err
	}
	if within {
		return l.save(ctx, tx, account)
	}
	if err := l.clawCorrected(ctx, tx, account, now); err != nil {
		return err
	}
	followed, err := l.follow(ctx, tx, account, now)
	if err != nil {
		return err
	}
	if !followed && !now.Before(account.PeriodEnd) {
		account.PeriodStart, account.PeriodEnd = period(account.CreateTime, now)
		account.Period = UsageTotal{}
		account.Overage.begin(account.PeriodStart)
		if _, err := l.grantPlan(ctx, tx, account, userID, now); err != nil {
			return err
		}
	}
	return l.save(ctx, tx, account)
}

// save works out when the account is due next and writes it.
func (l *Ledger) save(ctx context.Context, tx Tx, account *Account) error {
	if account.Due.Equal(dueAtOnce) {
		return tx.SaveAccount(ctx, *account)
	}
	live, err := tx.LiveGrants(ctx, account.ID)
	if err != nil {
		return err
	}
	account.Due = account.PeriodEnd
	if len(live) > 0 && live[0].ExpireTime.Before(account.Due) {
		account.Due = live[0].ExpireTime
	}
	return tx.SaveAccount(ctx, *account)
}

// expire takes away what is left of grants whose time is over, but for what the holds need that were made while a grant
// was good: that part stays until those holds are closed, and nothing else can be paid from it.
func (l *Ledger) expire(ctx context.Context, tx Tx, account *Account, now time.Time) error {
	live, err := tx.LiveGrants(ctx, account.ID)
	if err != nil {
		return err
	}
	kept := int64(0) // for holds, by the grants before
	for _, g := range live {
		if g.ExpireTime.After(now) {
			break
		}
		needed, err := tx.HeldBefore(ctx, account.ID, g.ExpireTime)
		if err != nil {
			return err
		}
		keep := min(g.Remaining, max(0, needed-kept))
		kept += keep
		if err := l.expireTo(ctx, tx, account, g, keep, now); err != nil {
			return err
		}
	}
	return nil
}

// expireTo leaves keep of the grant.
func (l *Ledger) expireTo(ctx context.Context, tx Tx, account *Account, g Grant, keep int64, now time.Time) error {
	gone := g.Remaining - keep
	if gone == 0 {
		return nil
	}
	account.Balance -= gone
	if err := tx.SetRemaining(ctx, g.ID, keep); err != nil {
		return err
	}
	return tx.InsertEntry(ctx, Entry{
		ID: l.ids.make(prefixEntry, now), AccountID: account.ID, Kind: KindExpiry, Debit: SideCustomer(account.ID), Credit: SideExpired,
		Amount: gone, Reference: g.ID, CreateTime: now,
	})
}

// grantPlan grants the plan's credit for the present period, once, and tells whether it did. The plan is one that is not paid for.
func (l *Ledger) grantPlan(ctx context.Context, tx Tx, account *Account, userID string, now time.Time) (bool, error) {
	plan, ok := l.plans.Get(account.Plan)
	if !ok {
		l.log.ErrorContext(ctx, "the account's plan is not in the plan file; no credit granted", "account", account.ID, "plan", account.Plan)
		return false, nil
	}
	if !givesCredit(plan) {
		return false, nil
	}
	if free, err := l.mayHaveFree(ctx, tx, account.ID, userID); err != nil || !free {
		return false, err
	}
	return l.give(ctx, tx, account, Grant{
		Source: planSource(plan, account.PeriodStart), Amount: plan.IncludedCredit, ExpireTime: account.PeriodEnd,
	}, now)
}

// givesCredit tells whether a plan gives credit without a payment. The credit of a sold plan comes from its subscription.
func givesCredit(plan plans.Plan) bool { return plan.IncludedCredit > 0 && !plan.Sold() }

func planSource(plan plans.Plan, start time.Time) string {
	return sourcePlan + plan.ID + ":" + start.Format(time.DateOnly)
}

// give writes a grant, its entry, and the account's money in memory; it pays debt first. False: the source is not new.
func (l *Ledger) give(ctx context.Context, tx Tx, account *Account, g Grant, now time.Time) (bool, error) {
	return l.insertGrant(ctx, tx, account, g, min(account.Debt, g.Amount), now)
}

// insertGrant writes a grant that pays a part of the account's debt.
func (l *Ledger) insertGrant(ctx context.Context, tx Tx, account *Account, g Grant, paid int64, now time.Time) (bool, error) {
	g.ID, g.AccountID, g.CreateTime, g.Remaining = l.ids.make(prefixGrant, now), account.ID, now, g.Amount-paid
	inserted, err := tx.InsertGrant(ctx, g)
	if err != nil || !inserted {
		return false, err
	}
	if paid > 0 {
		if err := l.payHolds(ctx, tx, account.ID, account.Debt, "", []Burn{{GrantID: g.ID, Amount: paid}}); err != nil {
			return false, err
		}
	}
	account.Debt -= paid
	account.Balance += g.Amount
	return true, tx.InsertEntry(ctx, Entry{
		ID: l.ids.make(prefixEntry, now), AccountID: account.ID, Kind: KindGrant, Debit: SideGrants, Credit: SideCustomer(account.ID),
		Amount: g.Amount, Reference: g.ID, CreateTime: now,
	})
}
