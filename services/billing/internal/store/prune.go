package store

import (
	"context"
	"fmt"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// PruneHolds deletes the holds of a page that are over; see ledger.Store. What they cost goes into the sums of the days of their keys and members in the
// same transaction, so that the windows of limits can still be summed up.
func (s *Store) PruneHolds(ctx context.Context, after string, r ledger.Retention, limit int) (next string, err error) {
	rows, err := s.read.ListHoldsToDelete(ctx, db.ListHoldsToDeleteParams{After: after, Most: int64(limit)})
	if err != nil || len(rows) == 0 {
		return "", translate(err)
	}
	over := map[string][]db.DeleteFoldedHoldParams{}
	for _, row := range rows {
		before := r.Holds
		if ledger.State(row.State) == ledger.StateSwept {
			before = r.Swept
		}
		if row.Fold == folded && row.Owed == 0 && row.SettleTime < before.UnixMicro() {
			over[row.AccountID] = append(over[row.AccountID], db.DeleteFoldedHoldParams{ID: row.ID, Before: before.UnixMicro()})
		}
	}
	for accountID, holds := range over {
		err := s.Write(ctx, accountID, func(ctx context.Context, tx ledger.Tx) error {
			return tx.(*unit).deleteHolds(ctx, holds) //nolint:forcetypeassert // this store's own
		})
		if err != nil {
			return "", err
		}
	}
	if len(rows) < limit {
		return "", nil
	}
	return rows[len(rows)-1].ID, nil
}

// deleteHolds deletes holds of one account.
func (u *unit) deleteHolds(ctx context.Context, holds []db.DeleteFoldedHoldParams) error {
	if err := u.flush(ctx); err != nil {
		return err
	}
	paid := map[string]int64{}
	spent := map[db.AddKeyDayParams]int64{}
	members := map[db.AddMemberDayParams]int64{}
	for _, h := range holds {
		row, err := u.q.DeleteFoldedHold(ctx, h)
		switch found, err := one(err); {
		case err != nil:
			return err
		case !found:
			continue
		}
		delete(u.holds, h.ID)
		burns, err := readBurns(row.PaidBy)
		if err != nil {
			return fmt.Errorf("hold %s: %w", h.ID, err)
		}
		for _, b := range burns {
			paid[b.GrantID] += b.Amount
		}
		if row.APIKeyID != "" && row.Cost > 0 {
			k := db.AddKeyDayParams{AccountID: row.AccountID, APIKeyID: row.APIKeyID, Day: dayOf(toTime(row.CreateTime))}
			spent[k] = min(spent[k], maxSpent-row.Cost) + row.Cost
		}
		if row.UserID != "" && row.Cost > 0 {
			m := db.AddMemberDayParams{AccountID: row.AccountID, UserID: row.UserID, Day: dayOf(toTime(row.CreateTime))}
			members[m] = min(members[m], maxSpent-row.Cost) + row.Cost
		}
	}
	for id, amount := range paid {
		if err := u.q.AddPaidBefore(ctx, db.AddPaidBeforeParams{ID: id, Amount: amount}); err != nil {
			return err
		}
	}
	for m, amount := range members {
		m.Spent = amount
		if err := u.q.AddMemberDay(ctx, m); err != nil {
			return err
		}
	}
	for k, amount := range spent {
		k.Spent = amount
		if err := u.q.AddKeyDay(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// PruneRecords deletes the records of single calls that are over, and sums of days that no window of a limit reaches.
func (s *Store) PruneRecords(ctx context.Context, r ledger.Retention, limit int) (deleted int, err error) {
	err = s.write(ctx, "usage records", func(ctx context.Context, q *db.Queries) error {
		if _, err := q.DeleteKeyDays(ctx, dayOf(r.KeyDays)); err != nil {
			return err
		}
		if _, err := q.DeleteMemberDays(ctx, dayOf(r.KeyDays)); err != nil {
			return err
		}
		if deleted = 0; r.Records.IsZero() {
			return nil
		}
		segments, err := q.DeleteSegments(ctx, db.DeleteSegmentsParams{Before: r.Records.UnixMicro(), Most: int64(limit)})
		if err != nil {
			return err
		}
		records, err := q.DeleteUsageRecords(ctx, db.DeleteUsageRecordsParams{Before: r.Records.UnixMicro(), Most: int64(limit)})
		deleted = int(max(segments, records))
		return err
	})
	return deleted, err
}
