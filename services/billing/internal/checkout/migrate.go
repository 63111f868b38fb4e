package checkout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Migration moves the subscribers of one version of a plan to another one.
type Migration struct {
	From, To plans.Offer
	// AtRenewal has each subscription change with its next period; otherwise it changes at once.
	AtRenewal bool
}

// MigrationError says why a migration is not possible. Field is "from" or "to".
type MigrationError struct{ Field, Problem string }

// Error names the field.
func (e *MigrationError) Error() string { return e.Field + " " + e.Problem }

// Result is what a migration did with a subscription.
type Result int

// The results.
const (
	// Moved means that the subscription has the version now.
	Moved Result = iota + 1
	// Planned means that it gets the version with its next period.
	Planned
	// Unchanged means that it has the version already, or not the earlier one any more.
	Unchanged
	// Skipped means that it stays on the earlier version; Reason says why.
	Skipped
)

// Migrated is what a migration did with the subscription of an account.
type Migrated struct {
	AccountID, SubscriptionID string
	Result                    Result
	// Reason is for people; "" for none.
	Reason string
	// Time is when the version takes effect; zero for one that was skipped or is unchanged.
	Time time.Time
}

// Subscribers counts and lists the accounts that have a live subscription to a version of a plan.
type Subscribers interface {
	CountSubscribers(ctx context.Context, planID string, version int64) (int64, error)
	// Subscribers lists at most limit accounts after one, in order.
	Subscribers(ctx context.Context, planID string, version int64, after string, limit int) ([]string, error)
}

// NewMigration finds two versions such as "pro@3" and "pro@4". Errors: ErrNotApplied, *MigrationError, those of the store.
func (s *Service) NewMigration(ctx context.Context, from, to string, atRenewal bool) (m Migration, err error) {
	if err := s.loaded(ctx); err != nil {
		return m, err
	}
	if len(s.Catalog.Offers()) == 0 {
		return m, ErrNotApplied
	}
	m.AtRenewal = atRenewal
	for _, side := range []struct {
		field, ref string
		into       *plans.Offer
	}{{"from", from, &m.From}, {"to", to, &m.To}} {
		if *side.into, err = s.version(side.field, side.ref); err != nil {
			return m, err
		}
	}
	switch {
	case m.From.Plan.ID != m.To.Plan.ID:
		return m, &MigrationError{"to", "must be a version of the plan " + m.From.Plan.ID}
	case m.From.Plan.Version == m.To.Plan.Version:
		return m, &MigrationError{"to", "must be another version than from"}
	case !m.To.Current:
		return m, &MigrationError{"to", "is off sale: apply a plan file that includes it again"}
	case !m.From.Plan.Sold():
		return m, &MigrationError{"from", "is free: accounts on a free plan follow its newest version"}
	case !m.To.Plan.Sold():
		return m, &MigrationError{"to", "is free: subscribers would pay nothing and have no period; cancel their subscriptions instead"}
	}
	return m, nil
}

// version finds an applied version of a plan.
func (s *Service) version(field, ref string) (plans.Offer, error) {
	id, version := plans.ParseRef(ref)
	if version == 0 {
		return plans.Offer{}, &MigrationError{field, `must be a version of a plan, such as "pro@3"`}
	}
	known := false
	for _, o := range s.Catalog.Offers() {
		if o.Plan == nil || o.Plan.ID != id {
			continue
		}
		if known = true; o.Plan.Version == version {
			return o, nil
		}
	}
	if !known {
		return plans.Offer{}, &MigrationError{field, fmt.Sprintf("names the plan %q, which was never applied", id)}
	}
	return plans.Offer{}, &MigrationError{field, fmt.Sprintf("names version %d of the plan %s, which was never applied", version, id)}
}

// Migrate moves the subscription of an account. An error with a Result says that the change was made at Stripe, and could not be read afterwards. It can be stopped at any moment and repeated: it does what Stripe shows to be missing. What the
// subscriber has chosen stays: a change that is scheduled or waits for its payment, and the end of a canceled subscription. Nothing is charged
// for the rest of the period. The later months of a year that is paid have the credit of the new version, if that is not less. Errors: job.ErrBusy, those of mirror.Fetch, of package outcome and of the store.
func (s *Service) Migrate(ctx context.Context, accountID string, m Migration) (done Migrated, err error) {
	err = s.alone(ctx, accountID, func(ctx context.Context, s *Service, h *job.Holder) (err error) {
		done, err = s.migrate(ctx, h, accountID, m)
		return err
	})
	done.AccountID = accountID
	return done, err
}

func (s *Service) migrate(ctx context.Context, h *job.Holder, accountID string, m Migration) (Migrated, error) {
	known, sub, err := s.seen(ctx, accountID)
	done := Migrated{SubscriptionID: known.SubscriptionID}
	switch {
	case isNotFound(err), errors.Is(err, ErrNoSubscription):
		done.Result, done.Reason = Unchanged, "has no live subscription"
		return done, nil
	case err != nil:
		return done, err
	}
	have, sale, ok := sub.Item(s.Catalog)
	if done.Result, done.Reason = m.check(known, sub, sale, ok); done.Result != 0 {
		return done, nil
	}
	p, problem := m.change(sub, have, sale)
	if problem != "" {
		done.Result, done.Reason = Skipped, problem
		return done, nil
	}
	result, at := Moved, s.Now()
	if m.AtRenewal {
		result, at = Planned, p.Effective
		err = s.Changer.ScheduleChange(ctx, p)
	} else {
		err = s.move(ctx, h, accountID, p)
	}
	if err != nil {
		return done, err
	}
	done.Result, done.Time = result, at
	return done, s.follow(ctx, p, "")
}

// seen reads the subscription of an account at Stripe, with its schedule, and what follows from both.
func (s *Service) seen(ctx context.Context, accountID string) (known subscriptions.State, sub subscriptions.Subscription, err error) {
	if known, err = s.Store.Subscription(ctx, accountID); err != nil {
		return known, sub, err
	}
	o, err := s.Mirror.Sync(ctx, mirror.Subscription, known.SubscriptionID)
	switch {
	case err != nil:
		return known, sub, err
	case o.Deleted:
		return known, sub, ErrNoSubscription
	}
	if sub, err = subscriptions.ParseSubscription(o.Body); err != nil {
		return known, sub, err
	}
	if sub.Schedule != "" {
		if _, err := s.Mirror.Sync(ctx, mirror.Schedule, sub.Schedule); err != nil {
			return known, sub, err
		}
	}
	if known, err = s.Store.Subscription(ctx, accountID); err != nil {
		return known, sub, err
	}
	if known.Access == subscriptions.Ended || known.SubscriptionID != sub.ID {
		return known, sub, ErrNoSubscription
	}
	return known, sub, nil
}

// check says why a subscription is not to be changed; 0 when it is.
func (m Migration) check(known subscriptions.State, sub subscriptions.Subscription, sale plans.Sale, mapped bool) (Result, string) {
	next := known.Scheduled
	switch {
	case !mapped:
		return Unchanged, "has a price that no applied plan has"
	case sale.Plan.Ref() == m.To.Plan.Ref():
		return Unchanged, "has the version already"
	case sale.Plan.Ref() != m.From.Plan.Ref():
		return Unchanged, "is on " + sale.Plan.Ref()
	case !next.Time.IsZero() && next.Plan.Ref() == m.To.Plan.Ref() && m.AtRenewal:
		return Unchanged, "gets the version with its next period already"
	case !next.Time.IsZero():
		return Skipped, "a change to " + next.Plan.Ref() + " is scheduled"
	case sub.PendingUpdate != nil:
		return Skipped, "a change waits for its payment"
	case !known.CancelTime.IsZero():
		return Skipped, "is canceled, and ends on " + known.CancelTime.UTC().Format(time.DateOnly)
	}
	return 0, ""
}

// change is the change of a subscription's item. problem says why the version cannot be bought like that.
func (m Migration) change(sub subscriptions.Subscription, have subscriptions.Item, sale plans.Sale) (p Preview, problem string) {
	price, ok := m.To.Prices[sale.Interval]
	if !ok {
		return p, fmt.Sprintf("is billed by the %s, and %s has no price for that interval", sale.Interval, m.To.Plan.Ref())
	}
	least, most := int64(1), int64(1)
	if seats := m.To.Plan.Seats; seats != nil {
		least, most = seats.Min, m.To.Plan.MostSeats(sale.Interval)
	}
	if have.Quantity < least || have.Quantity > most {
		return p, fmt.Sprintf("has %d seats, and %s allows %d to %d", have.Quantity, m.To.Plan.Ref(), least, most)
	}
	if problem := m.unfair(sub, sale); problem != "" {
		return p, problem
	}
	_, end := sub.Period()
	return Preview{
		Subscription: sub.ID, Item: have.ID, FromPrice: have.Price.ID, FromQuantity: have.Quantity, Price: price, Quantity: have.Quantity, Effective: end,
	}, ""
}

// unfair says why a change at once takes something that is paid: Stripe credits the present price when a later change is prorated, and the later
// months of a year have the credit of the version that the subscription has then.
func (m Migration) unfair(sub subscriptions.Subscription, sale plans.Sale) string {
	switch {
	case m.AtRenewal || sub.Status == "trialing":
		return ""
	case charge(*m.To.Plan, sale.Interval, 1) < charge(*m.From.Plan, sale.Interval, 1):
		return "has paid more than " + m.To.Plan.Ref() + " costs, and a later upgrade would not give that back: use --at-renewal"
	case sale.Interval == plans.Year && m.To.Plan.IncludedCredit < m.From.Plan.IncludedCredit:
		return "has paid for more credit in its year than " + m.To.Plan.Ref() + " has: use --at-renewal"
	}
	return ""
}

// move changes the price at once.
func (s *Service) move(ctx context.Context, h *job.Holder, accountID string, p Preview) error {
	fresh := attempt{Request: "migrate " + p.Subscription + " " + p.Price, Key: "trivet/" + accountID + "/migrate/" + rand.Text(), Time: s.Now()}
	return s.keyed(ctx, h, func(a *attempts) *attempt { return &a.Migrate }, fresh, func(key string) error { return s.Changer.Reprice(ctx, p, key) })
}
