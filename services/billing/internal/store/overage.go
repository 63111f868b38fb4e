package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

var _ overage.Store = (*Store)(nil)

// overagePeriod names a row of overage_period.
type overagePeriod struct {
	account string
	start   int64
}

// overageSum is what a batch adds to one.
type overageSum struct{ end, amount int64 }

func (u *unit) MoveOverage(_ context.Context, m ledger.OverageMove) error {
	k := overagePeriod{m.AccountID, microsOrZero(m.Start)}
	sum := u.overage[k]
	u.overage[k] = overageSum{end: max(sum.end, microsOrZero(m.End)), amount: sum.amount + m.Amount}
	return nil
}

func (u *unit) PeriodOverage(ctx context.Context, accountID string, start time.Time) (int64, error) {
	k := overagePeriod{accountID, microsOrZero(start)}
	stored, err := u.q.GetOveragePeriod(ctx, db.GetOveragePeriodParams{AccountID: k.account, StartTime: k.start})
	if _, err := one(err); err != nil {
		return 0, err
	}
	return stored + u.overage[k].amount, nil
}

// planMoves writes overage in one order everywhere, so that transactions do not wait for each other in a circle.
func (u *unit) planMoves() {
	keys := make([]overagePeriod, 0, len(u.overage))
	for k := range u.overage {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b overagePeriod) int {
		return cmp.Or(strings.Compare(a.account, b.account), cmp.Compare(a.start, b.start))
	})
	var rows []any
	for _, k := range keys {
		rows = append(rows, k.account, k.start, u.overage[k].end, u.overage[k].amount)
	}
	clear(u.overage)
	u.planAny(u.sql.moveOverage, rows)
}

func (u *unit) PlanOverage(ctx context.Context, p ledger.OveragePlan) error {
	return u.q.PlanOverage(ctx, db.PlanOverageParams{
		AccountID: p.AccountID, SubscriptionID: p.SubscriptionID, Plan: p.Plan, Cycle: p.Cycle, DueTime: p.DueTime.UnixMicro(),
	})
}

func (u *unit) OveragePlan(ctx context.Context, accountID string) (ledger.OveragePlan, error) {
	row, err := u.q.GetOveragePlan(ctx, accountID)
	return toOveragePlan(row), translate(err)
}

func toOveragePlan(r db.OverageBilling) ledger.OveragePlan {
	return ledger.OveragePlan{
		AccountID: r.AccountID, SubscriptionID: r.SubscriptionID, Plan: r.Plan, Cycle: r.Cycle, DueTime: toTime(r.DueTime), Charged: r.Charged,
	}
}

func (u *unit) ChargeOverage(ctx context.Context, c ledger.OverageCharge, next time.Time) error {
	if err := u.q.AddOverageCharged(ctx, db.AddOverageChargedParams{AccountID: c.AccountID, Amount: c.Cents * plans.Cent, DueTime: next.UnixMicro()}); err != nil || c.Cents == 0 {
		return err
	}
	return u.q.InsertOverageCharge(ctx, db.InsertOverageChargeParams{
		ID: c.ID, AccountID: c.AccountID, SubscriptionID: c.SubscriptionID, Plan: c.Plan, Cents: c.Cents,
		CreateTime: c.CreateTime.UnixMicro(),
	})
}

func (u *unit) OverageRefused(ctx context.Context, accountID string) (bool, error) {
	n, err := u.q.CountRefusedOverageCharges(ctx, accountID)
	return n > 0, translate(err)
}

func (u *unit) RefusedCharges(ctx context.Context, accountID string) (all []ledger.OverageCharge, err error) {
	rows, err := u.q.ListRefusedOverageCharges(ctx, accountID)
	for _, c := range toCharges(rows) {
		all = append(all, c.OverageCharge)
	}
	return all, err
}

// DueOverage lists at most limit accounts whose charge is due.
func (s *Store) DueOverage(ctx context.Context, at time.Time, limit int) ([]string, error) {
	ids, err := s.read.ListDueOverage(ctx, db.ListDueOverageParams{AtTime: at.UnixMicro(), Most: int64(limit)})
	return ids, translate(err)
}

// PostponeOverage has a charge that is still due at now wait until next.
func (s *Store) PostponeOverage(ctx context.Context, accountID string, now, next time.Time) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		return q.PostponeOverage(ctx, db.PostponeOverageParams{AccountID: accountID, AtTime: now.UnixMicro(), DueTime: next.UnixMicro()})
	})
}

// OpenCharges lists at most limit charges that are to be sent by now.
func (s *Store) OpenCharges(ctx context.Context, at time.Time, limit int) ([]overage.Charge, error) {
	rows, err := s.read.ListOpenOverageCharges(ctx, db.ListOpenOverageChargesParams{AtTime: at.UnixMicro(), Most: int64(limit)})
	return toCharges(rows), translate(err)
}

// Charges lists at most limit charges of an account with ids below one, newest first. "" begins with the newest.
func (s *Store) Charges(ctx context.Context, accountID, before string, limit int) ([]overage.Charge, error) {
	rows, err := s.read.ListOverageCharges(ctx, db.ListOverageChargesParams{AccountID: accountID, Before: cmp.Or(before, lastID), Most: int64(limit)})
	return toCharges(rows), translate(err)
}

func toCharges(rows []db.OverageCharge) []overage.Charge {
	all := make([]overage.Charge, 0, len(rows))
	for _, r := range rows {
		all = append(all, overage.Charge{
			OverageCharge: ledger.OverageCharge{
				ID: r.ID, AccountID: r.AccountID, SubscriptionID: r.SubscriptionID, Plan: r.Plan, Cents: r.Cents,
				CreateTime: toTime(r.CreateTime),
			},
			State: overage.State(r.State), NextTime: toTime(r.NextTime), Attempts: r.Attempts, SpentKeys: r.SpentKeys, CustomerID: r.CustomerID,
			ItemID: r.ItemID, InvoiceID: r.InvoiceID, Problem: r.Problem,
		})
	}
	return all
}

// SaveCharge writes how far a charge is. One that is invoiced stays as it is.
func (s *Store) SaveCharge(ctx context.Context, c overage.Charge) error {
	return s.write(ctx, c.AccountID, func(ctx context.Context, q *db.Queries) error {
		return q.SaveOverageCharge(ctx, db.SaveOverageChargeParams{
			ID: c.ID, State: string(c.State), NextTime: c.NextTime.UnixMicro(), Attempts: c.Attempts,
			SpentKeys: c.SpentKeys, CustomerID: c.CustomerID, ItemID: c.ItemID, InvoiceID: c.InvoiceID, Problem: c.Problem,
		})
	})
}

// OverageSums reads what the charges of an account come to, in nano-dollars, by state.
func (s *Store) OverageSums(ctx context.Context, accountID string) (map[overage.State]int64, error) {
	rows, err := s.read.SumOverageCharges(ctx, accountID)
	sums := map[overage.State]int64{}
	for _, r := range rows {
		sums[overage.State(r.State)] = r.Cents * plans.Cent
	}
	return sums, translate(err)
}

// OveragePeriods reads at most limit periods of an account that have overage, newest first.
func (s *Store) OveragePeriods(ctx context.Context, accountID string, limit int) ([]overage.Period, error) {
	rows, err := s.read.ListOveragePeriods(ctx, db.ListOveragePeriodsParams{AccountID: accountID, Most: int64(limit)})
	all := make([]overage.Period, 0, len(rows))
	for _, r := range rows {
		all = append(all, overage.Period{Start: toTime(r.StartTime), End: toTime(r.EndTime), Amount: r.Amount})
	}
	return all, translate(err)
}
