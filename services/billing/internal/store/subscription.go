package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

const (
	// billedObjects bounds the subscriptions, and the schedules, that are read of an account; the newest count. So many invoices are read at once.
	billedObjects = 200
	// billedPages bounds how often invoices are read. A year has 8,784 hours, and an automatic top-up makes one invoice an hour at most.
	billedPages = 60
	// billedMargin is how long before the present period unpaid invoices are looked for: longer than any time of grace, and than a month.
	billedMargin = 32 * 24 * time.Hour
)

// Within runs a decision about an account in a transaction that the caller has open, so that both are written together or not at all.
func (s *Store) Within(ctx context.Context, t database.Tx, accountID string, fn func(ctx context.Context, tx ledger.Tx) error) error {
	s.cache.reset() // a batch that has ended a moment ago must not put back what this changes
	u := s.newUnit(t, false)
	u.cache = nil
	if err := u.loadAccounts(ctx, []string{accountID}); err != nil {
		return err
	}
	if err := fn(ctx, u); err != nil {
		return err
	}
	return u.flush(ctx)
}

// AccountOf finds the account of a customer at Stripe, within a transaction. An unknown customer gives ledger.ErrNotFound.
func (s *Store) AccountOf(ctx context.Context, t database.Tx, customer string) (string, error) {
	id, err := db.New(t).GetAccountOfCustomer(ctx, customer)
	return id, translate(err)
}

// AccountOfCustomer finds the account of a customer at Stripe. An unknown customer gives ledger.ErrNotFound.
func (s *Store) AccountOfCustomer(ctx context.Context, customer string) (string, error) {
	id, err := s.read.GetAccountOfCustomer(ctx, customer)
	return id, translate(err)
}

// DropCustomer notes, within a transaction, that Stripe has deleted a customer.
func (s *Store) DropCustomer(ctx context.Context, t database.Tx, customer string) error {
	return db.New(t).DropCustomer(ctx, customer)
}

// DueSubscriptions lists accounts whose subscription time alone has changed; see ledger.Store.
func (s *Store) DueSubscriptions(ctx context.Context, at time.Time, limit int) ([]string, error) {
	ids, err := s.read.ListDueSubscriptions(ctx, db.ListDueSubscriptionsParams{AtTime: at.UnixMicro(), Most: int64(limit)})
	return ids, translate(err)
}

// Sold lists subscriptions at Stripe; see ledger.Store.
func (s *Store) Sold(ctx context.Context, after string, limit int) (all []ledger.Sold, err error) {
	rows, err := s.read.ListSold(ctx, db.ListSoldParams{After: after, Most: int64(limit)})
	for _, r := range rows {
		all = append(all, ledger.Sold{ID: r.ID, AccountID: r.AccountID, Body: r.Body, Followed: r.Followed, Plan: plans.Ref(r.PlanID, r.Version)})
	}
	return all, translate(err)
}

// Subscription reads what an account has bought; ledger.ErrNotFound when it never had a subscription. Of the plan it has the id and the
// version.
func (s *Store) Subscription(ctx context.Context, accountID string) (subscriptions.State, error) {
	row, err := s.read.GetSubscription(ctx, accountID)
	return toSubscription(row), translate(err)
}

func toSubscription(row db.Subscription) subscriptions.State {
	return subscriptions.State{
		SubscriptionID: row.StripeID, Plan: plans.Plan{ID: row.PlanID, Version: row.Version}, Interval: plans.Interval(row.BillingInterval),
		Status: row.Status, Access: subscriptions.Access(row.Access), Seats: row.Seats, PeriodStart: toTimeOrZero(row.PeriodStartTime),
		PeriodEnd: toTimeOrZero(row.PeriodEndTime), TrialEnd: toTimeOrZero(row.TrialEndTime), CancelTime: toTimeOrZero(row.CancelTime),
		Scheduled: subscriptions.Scheduled{
			Plan: plans.Plan{ID: row.ChangePlanID, Version: row.ChangeVersion}, Interval: plans.Interval(row.ChangeInterval), Seats: row.ChangeSeats,
			Time: toTimeOrZero(row.ChangeTime),
		},
	}
}

// CountSubscribers counts the accounts with a live subscription to a version of a plan.
func (s *Store) CountSubscribers(ctx context.Context, planID string, version int64) (int64, error) {
	n, err := s.read.CountSubscribers(ctx, db.CountSubscribersParams{PlanID: planID, Version: version})
	return n, translate(err)
}

// Subscribers lists accounts with a live subscription to a version of a plan; see checkout.Subscribers.
func (s *Store) Subscribers(ctx context.Context, planID string, version int64, after string, limit int) ([]string, error) {
	ids, err := s.read.ListSubscribers(ctx, db.ListSubscribersParams{PlanID: planID, Version: version, After: after, Most: int64(limit)})
	return ids, translate(err)
}

// GrantGiven tells whether an account has a grant for a source.
func (s *Store) GrantGiven(ctx context.Context, accountID, source string) (bool, error) {
	_, err := s.read.GetGrantBySource(ctx, db.GetGrantBySourceParams{AccountID: accountID, Source: source})
	return one(err)
}

func (u *unit) SetPlan(ctx context.Context, accountID, ref string) error {
	if _, err := u.LockAccount(ctx, accountID); err != nil {
		return err
	}
	u.accounts[accountID].Plan = ref
	return u.q.SetPlan(ctx, db.SetPlanParams{Plan: ref, ID: accountID})
}

// EndGrants also ends grants that are not in memory because nothing is left of them.
func (u *unit) EndGrants(ctx context.Context, accountID, sourcePrefix string, at time.Time) (bool, error) {
	a, err := u.account(ctx, accountID)
	if err != nil {
		return false, err
	}
	n, err := u.q.EndGrants(ctx, db.EndGrantsParams{AtTime: at.UnixMicro(), AccountID: accountID, SourcePrefix: sourcePrefix})
	if err != nil {
		return false, err
	}
	ended := n > 0
	for _, g := range a.grants {
		if strings.HasPrefix(g.Source, sourcePrefix) && g.ExpireTime.After(at) {
			g.ExpireTime, ended = at, true
		}
	}
	a.sort()
	return ended, nil
}

// GrantsOf reads those that are in memory as they are there.
func (u *unit) GrantsOf(ctx context.Context, accountID, source string) ([]ledger.Grant, error) {
	a, err := u.account(ctx, accountID)
	if err != nil {
		return nil, err
	}
	rows, err := u.q.ListGrantsOf(ctx, db.ListGrantsOfParams{AccountID: accountID, Source: source})
	if err != nil {
		return nil, err
	}
	all := toGrants(rows)
	for i, g := range all {
		if known := u.grants[g.ID]; known != nil {
			all[i] = known.Grant
		}
	}
	for _, g := range a.grants {
		if strings.HasPrefix(g.Source+":", source+":") && !slices.ContainsFunc(all, func(o ledger.Grant) bool { return o.ID == g.ID }) {
			all = append(all, g.Grant) // the batch opens the account
		}
	}
	return all, nil
}

func (u *unit) ExtendGrant(ctx context.Context, grantID string, until time.Time) error {
	g, err := u.grant(ctx, grantID)
	if err != nil {
		return translate(err)
	}
	if g.ExpireTime.Before(until) {
		g.ExpireTime = until
	}
	if a := u.accounts[g.AccountID]; a != nil {
		a.sort()
	}
	return u.q.ExtendGrant(ctx, db.ExtendGrantParams{Until: until.UnixMicro(), ID: grantID})
}

func (u *unit) Expired(ctx context.Context, g ledger.Grant) (int64, error) {
	u.planEntries()
	if err := u.run(ctx); err != nil {
		return 0, err
	}
	return u.q.SumExpired(ctx, db.SumExpiredParams{AccountID: g.AccountID, GrantID: g.ID})
}

func (u *unit) Billed(ctx context.Context, accountID string) (ledger.Billed, error) {
	var billed ledger.Billed
	customers, err := u.q.ListCustomersOfAccount(ctx, accountID)
	if err != nil || len(customers) == 0 {
		return billed, err
	}
	if billed.Subscriptions, err = u.bodies(ctx, accountID, mirror.Subscription); err != nil || len(billed.Subscriptions) == 0 {
		return billed, err
	}
	if billed.Invoices, err = u.invoices(ctx, accountID, sinceWhen(billed.Subscriptions)); err != nil {
		return billed, err
	}
	if billed.Schedules, err = u.bodies(ctx, accountID, mirror.Schedule); err != nil {
		return billed, err
	}
	for _, id := range customers {
		row, err := u.q.GetObject(ctx, db.GetObjectParams{Kind: string(mirror.Customer), ID: id})
		switch known, err := one(err); {
		case err != nil:
			return billed, err
		case known && row.Deleted:
			billed.Deleted = append(billed.Deleted, id)
		}
	}
	return billed, nil
}

// invoices reads the invoices that entitle to something or that are owed: the newest, and all since a time. The invoice of a year is behind those of the
// year's automatic top-ups.
func (u *unit) invoices(ctx context.Context, accountID string, since time.Time) (bodies [][]byte, err error) {
	last := db.StripeObject{CreateTime: math.MaxInt64}
	for range billedPages {
		rows, err := u.billed(ctx, accountID, mirror.Invoice, last)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if inv, err := subscriptions.ParseInvoice(row.Body); err != nil || inv.Counts() { // whoever reads it reports the error
				bodies = append(bodies, row.Body)
			}
		}
		if len(rows) < billedObjects {
			break
		}
		if last = rows[len(rows)-1]; toTime(last.CreateTime).Before(since) {
			break
		}
	}
	return bodies, nil
}

// sinceWhen is from when on invoices count: since before the oldest present period of the subscriptions. Without one, the newest suffice.
func sinceWhen(bodies [][]byte) time.Time {
	since := ledger.Never
	for _, body := range bodies {
		s, err := subscriptions.ParseSubscription(body)
		if err != nil || s.Status == "canceled" || s.Status == "incomplete_expired" {
			continue
		}
		if start, _ := s.Period(); !start.IsZero() && start.Before(since) {
			since = start
		}
	}
	return since.Add(-billedMargin)
}

func (u *unit) billed(ctx context.Context, accountID string, kind mirror.Kind, after db.StripeObject) ([]db.StripeObject, error) {
	return u.q.ListBilled(ctx, db.ListBilledParams{
		AccountID: accountID, Kind: string(kind), BeforeTime: after.CreateTime, AfterID: after.ID, Most: billedObjects,
	})
}

func (u *unit) bodies(ctx context.Context, accountID string, kind mirror.Kind) ([][]byte, error) {
	rows, err := u.billed(ctx, accountID, kind, db.StripeObject{CreateTime: math.MaxInt64})
	bodies := make([][]byte, 0, len(rows))
	for _, row := range rows {
		bodies = append(bodies, row.Body)
	}
	return bodies, err
}

func (u *unit) Subscription(ctx context.Context, accountID string) (subscriptions.State, error) {
	row, err := u.q.GetSubscription(ctx, accountID)
	if err = translate(err); errors.Is(err, ledger.ErrNotFound) {
		return subscriptions.State{}, nil
	}
	return toSubscription(row), err
}

func (u *unit) SaveSubscription(ctx context.Context, accountID string, st subscriptions.State) error {
	next := int64(math.MaxInt64)
	if !st.Next.IsZero() {
		next = st.Next.UnixMicro()
	}
	return u.q.PutSubscription(ctx, db.PutSubscriptionParams{
		AccountID: accountID, StripeID: st.SubscriptionID, PlanID: st.Plan.ID, Version: st.Plan.Version, BillingInterval: string(st.Interval),
		Status: st.Status, Access: string(st.Access), Seats: st.Seats, PeriodStartTime: microsOrZero(st.PeriodStart),
		PeriodEndTime: microsOrZero(st.PeriodEnd), TrialEndTime: microsOrZero(st.TrialEnd), CancelTime: microsOrZero(st.CancelTime), NextTime: next,
		ChangePlanID: st.Scheduled.Plan.ID, ChangeVersion: st.Scheduled.Plan.Version, ChangeInterval: string(st.Scheduled.Interval),
		ChangeSeats: st.Scheduled.Seats, ChangeTime: microsOrZero(st.Scheduled.Time),
	})
}

// PostponeSubscription has a subscription that is still due wait; see ledger.Store.
func (s *Store) PostponeSubscription(ctx context.Context, accountID string, now, next time.Time) error {
	return translate(s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		return q.PostponeSubscription(ctx, db.PostponeSubscriptionParams{NextTime: next.UnixMicro(), AccountID: accountID, Now: now.UnixMicro()})
	}))
}
