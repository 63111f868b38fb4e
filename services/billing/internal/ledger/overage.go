package ledger

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Overage is what an account may use, and has used, beyond its credit, in nano-dollars. Stripe's invoices charge it.
type Overage struct {
	// Cap is the maximum of a period.
	Cap int64
	// Used is the part of Cap that is used.
	Used int64
	// Total is all overage of the account, invoiced or not.
	Total int64
	// CloseTime ends the overage: calls that begin from then on use credit only. It is Never while the plan allows overage, and zero for an
	// account that never could.
	CloseTime time.Time
	// StartTime is the start of the first period that Used counts. A period that begins before EndTime shares the cap with those counted: a
	// plan that is changed or bought again within a period does not give a cap twice.
	StartTime, EndTime time.Time
}

// left is what a call that began at a time may use of the cap.
func (o Overage) left(began time.Time) int64 {
	if !began.Before(o.CloseTime) {
		return 0
	}
	return max(o.Cap-o.Used, 0)
}

// Spendable is what new holds may take: the credit that is left, and the overage that is allowed at a time.
func (a Account) Spendable(now time.Time) int64 { return a.Available() + a.Overage.left(now) }

// Headroom is the overage that new holds may take.
func (a Account) Headroom(now time.Time) int64 {
	return max(min(a.Overage.left(now), a.Spendable(now)), 0)
}

// begin starts a period. A period after the counted ones has the whole cap.
func (o *Overage) begin(start time.Time) {
	if o.Used == 0 || !start.Before(o.EndTime) {
		o.Used, o.StartTime = 0, start
	}
}

// periodOverage is the overage of the present period. Used is that, too, unless earlier periods share the cap with it.
func (a *Account) periodOverage(ctx context.Context, tx Tx) (int64, error) {
	if a.Overage.Used == 0 || a.Overage.StartTime.Equal(a.PeriodStart) {
		return a.Overage.Used, nil
	}
	return tx.PeriodOverage(ctx, a.ID, a.PeriodStart)
}

// OverageMove is overage that is added to a period of an account, or taken from it.
type OverageMove struct {
	AccountID string
	// Start and End bound the period. End is used for a period that has no overage yet.
	Start, End time.Time
	Amount     int64
}

// useOverage moves debt of a call that began at a time to the overage of the present period, as far as the cap allows. It changes the account in
// memory and returns how much it moved.
func (a *Account) useOverage(debt int64, began time.Time) int64 {
	used := min(debt, a.Overage.left(began))
	if used == 0 {
		return 0
	}
	a.Overage.begin(a.PeriodStart)
	if a.PeriodEnd.After(a.Overage.EndTime) {
		a.Overage.EndTime = a.PeriodEnd
	}
	a.Balance, a.Overage.Used, a.Overage.Total = a.Balance+used, a.Overage.Used+used, a.Overage.Total+used
	return used
}

// moveOverage writes what useOverage moved.
func (a *Account) moveOverage(ctx context.Context, tx Tx, used int64) error {
	if used == 0 {
		return nil
	}
	return tx.MoveOverage(ctx, OverageMove{AccountID: a.ID, Start: a.PeriodStart, End: a.PeriodEnd, Amount: used})
}

// unuseOverage takes overage of a hold back.
func (a *Account) unuseOverage(ctx context.Context, tx Tx, h Hold, amount int64) error {
	if amount == 0 {
		return nil
	}
	a.Balance, a.Overage.Total = a.Balance-amount, a.Overage.Total-amount
	if !h.OverageStart.Before(a.Overage.StartTime) {
		a.Overage.Used -= amount
	}
	return tx.MoveOverage(ctx, OverageMove{AccountID: a.ID, Start: h.OverageStart, Amount: -amount})
}

// allowOverage opens or closes the overage of an account as its subscription says, and plans how it is invoiced.
func (l *Ledger) allowOverage(ctx context.Context, tx Tx, account *Account, st subscriptions.State, now time.Time) error {
	o := &account.Overage
	allowed, err := mayUseOverage(ctx, tx, account.ID, st)
	if err != nil {
		return err
	}
	if allowed {
		o.Cap, o.CloseTime = st.Plan.Overage.Cap, Never
	} else if o.CloseTime.After(now) {
		o.CloseTime = now // calls that run keep what they may use
	}
	if o.CloseTime.IsZero() {
		return nil
	}
	name, due := chargeOf(st, now)
	return tx.PlanOverage(ctx, OveragePlan{AccountID: account.ID, SubscriptionID: st.SubscriptionID, Plan: st.Plan.Ref(), Cycle: name, DueTime: due})
}

// mayUseOverage tells whether new calls may use overage. Until the invoice of the period is paid, its credit has not been granted, and usage that it should pay
// would be overage.
func mayUseOverage(ctx context.Context, tx Tx, accountID string, st subscriptions.State) (bool, error) {
	if st.Plan.Overage == nil || st.Access != subscriptions.Active || !st.Paid || st.OverageUnpaid {
		return false, nil
	}
	refused, err := tx.OverageRefused(ctx, accountID)
	return !refused, err
}

// FollowOverage opens or closes the overage of an account after Stripe has refused a charge of it, or has taken one that it refused before.
// Error: ErrUnavailable.
func (l *Ledger) FollowOverage(ctx context.Context, accountID string) error {
	return l.store.Write(ctx, accountID, func(ctx context.Context, tx Tx) error {
		if err := l.Follow(ctx, tx, accountID); err != nil {
			return err
		}
		return l.noticeRefusedCharges(ctx, tx, accountID)
	})
}

// OveragePlan is how the overage of an account is invoiced.
type OveragePlan struct {
	AccountID, SubscriptionID string
	// Plan is the reference of the version that allows it.
	Plan string
	// Cycle is what the next charge is for: one of the prefixes, and a time.
	Cycle string
	// DueTime is when the next charge is made. A new cycle never makes it later.
	DueTime time.Time
	// Charged is the sum of the charges, in nano-dollars.
	Charged int64
}

// Prefixes of cycles.
const (
	// cycleMonth is a month of a subscription: its period, or a part of a billed year.
	cycleMonth = "month:"
	// cycleEnd is the end of a subscription.
	cycleEnd = "end:"
)

const (
	// chargeDelay is how long after the end of a cycle its charge is made: calls that run may still settle.
	chargeDelay = 15 * time.Minute
	// lateInterval is how often late overage of a subscription that has ended is looked for, and lateKept is for how long.
	lateInterval = 24 * time.Hour
	lateKept     = 40 * 24 * time.Hour
)

// chargeOf works out what the next charge is for, and when it is due.
func chargeOf(st subscriptions.State, now time.Time) (name string, due time.Time) {
	prefix, at := cycleMonth, st.CreditEnd
	switch {
	case st.Access == subscriptions.Ended:
		prefix, at = cycleEnd, now
	case !st.CancelTime.IsZero() && !st.CancelTime.After(st.CreditEnd):
		prefix, at = cycleEnd, st.CancelTime
	}
	return prefix + strconv.FormatInt(at.Unix(), 10), at.Add(chargeDelay)
}

// OverageCharge is whole cents of an account's overage, which Stripe invoices once.
type OverageCharge struct {
	ID, AccountID, SubscriptionID string
	// Plan is the reference of the version that allowed it.
	Plan       string
	Cents      int64
	CreateTime time.Time
}

// maxChargeCents is the maximum amount of one line at Stripe.
const maxChargeCents = 99_999_999

// ChargeOverage makes the charge of an account that is due: the whole cents of its overage that no earlier charge has. What is less than a cent
// stays for the next charge. It returns false when nothing was due. Error: ErrUnavailable.
func (l *Ledger) ChargeOverage(ctx context.Context, accountID string) (charged bool, err error) {
	err = l.store.Write(ctx, accountID, func(ctx context.Context, tx Tx) error {
		charged = false
		now := l.now()
		if _, err := l.touchAside(ctx, tx, accountID, now); err != nil { // a period that has ended begins its successor first
			return err
		}
		plan, err := tx.OveragePlan(ctx, accountID)
		if err != nil || plan.DueTime.After(now) {
			return err
		}
		account, err := tx.LockAccount(ctx, accountID)
		if err != nil {
			return err
		}
		c := OverageCharge{
			ID: l.ids.make(prefixCharge, now), AccountID: accountID, SubscriptionID: plan.SubscriptionID, Plan: plan.Plan,
			Cents: min(max(account.Overage.Total-plan.Charged, 0)/plans.Cent, maxChargeCents), CreateTime: now,
		}
		charged = c.Cents > 0
		return tx.ChargeOverage(ctx, c, plan.next(c, now))
	})
	return charged, err
}

// next is when the charge after one is due, unless a new cycle begins before.
func (p OveragePlan) next(c OverageCharge, now time.Time) time.Time {
	if c.Cents == maxChargeCents {
		return now // there may be more
	}
	for _, prefix := range []string{cycleMonth, cycleEnd} { // the charge of a cycle is made when its successor is planned already
		if at, is := p.time(prefix); is && at.Add(chargeDelay).After(now) {
			return at.Add(chargeDelay)
		}
	}
	for _, prefix := range []string{cycleMonth, cycleEnd} { // nothing came after it: late usage, or a subscription that entitles to nothing
		if at, is := p.time(prefix); is && now.Before(at.Add(lateKept)) {
			return now.Add(lateInterval)
		}
	}
	return Never
}

// time is the time of a cycle, if it has that prefix.
func (p OveragePlan) time(prefix string) (time.Time, bool) {
	text, is := strings.CutPrefix(p.Cycle, prefix)
	at, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(at, 0).UTC(), is && err == nil
}
