package store

import (
	"context"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

func (u *unit) Hold(ctx context.Context, id string) (ledger.Hold, error) {
	h, err := u.hold(ctx, id)
	if err != nil {
		return ledger.Hold{}, translate(err)
	}
	return h.Hold, nil
}

func (u *unit) hold(ctx context.Context, id string) (*hold, error) {
	if known := u.holds[id]; known != nil {
		return known, nil
	}
	row, err := u.q.GetHold(ctx, id)
	if err != nil {
		return nil, err
	}
	stored, err := toHold(row)
	if err != nil {
		return nil, err
	}
	found := u.newHold(stored)
	found.fold, found.segment = row.Fold, row.Segment
	u.holds[id] = found
	return found, nil
}

// OpenHold takes the caller's word in the first run: reading the row would cost more than all else.
func (u *unit) OpenHold(ctx context.Context, known ledger.Hold) (ledger.Hold, error) {
	if !u.assume || u.holds[known.ID] != nil {
		return u.Hold(ctx, known.ID)
	}
	u.holds[known.ID] = u.newHold(known)
	return known, nil
}

func (u *unit) InsertHold(ctx context.Context, h ledger.Hold) (bool, error) {
	if u.holds[h.ID] != nil {
		return false, nil
	}
	if !u.assume {
		_, err := u.hold(ctx, h.ID)
		if found, err := one(err); err != nil || found {
			return false, err
		}
	}
	inserted := u.newHold(h)
	u.holds[h.ID] = inserted
	u.inserts = append(u.inserts, inserted)
	return true, nil
}

func (u *unit) ExtendHold(ctx context.Context, h ledger.Hold) error {
	known, err := u.hold(ctx, h.ID)
	if err != nil {
		return translate(err)
	}
	known.Used, known.UsedCost, known.LeaseTime = h.Used, h.UsedCost, h.LeaseTime
	u.extends = append(u.extends, known)
	return nil
}

func (u *unit) CloseHold(ctx context.Context, h ledger.Hold, was ledger.State) error {
	known, err := u.hold(ctx, h.ID)
	if err != nil {
		return translate(err)
	}
	if known.was != "" { // a second closing within the batch, as of a hold that was swept in it
		if err := u.flush(ctx); err != nil {
			return err
		}
	}
	known.State, known.Used, known.Closing, known.was = h.State, h.Used, h.Closing, was
	if known.fold = foldUsage; was == ledger.StateOpen && h.State == ledger.StateSettled {
		known.fold = foldAll
	}
	u.closes = append(u.closes, known)
	return nil
}

func (u *unit) HeldBefore(ctx context.Context, accountID string, before time.Time) (int64, error) {
	if err := u.flush(ctx); err != nil {
		return 0, err
	}
	return u.q.SumOpenHoldsBefore(ctx, db.SumOpenHoldsBeforeParams{AccountID: accountID, Before: before.UnixMicro()})
}

func (u *unit) HoldsInDebt(ctx context.Context, accountID string) ([]ledger.HoldDebt, error) {
	if err := u.flush(ctx); err != nil {
		return nil, err
	}
	rows, err := u.q.ListHoldsInDebt(ctx, accountID)
	if err != nil {
		return nil, err
	}
	debts := make([]ledger.HoldDebt, 0, len(rows))
	for _, r := range rows {
		paid, err := readBurns(r.PaidBy)
		if err != nil {
			return nil, fmt.Errorf("hold %s: %w", r.ID, err)
		}
		debts = append(debts, ledger.HoldDebt{HoldID: r.ID, Owed: r.Owed, PaidBy: paid})
	}
	return debts, nil
}

func (u *unit) PayHold(ctx context.Context, d ledger.HoldDebt) error {
	if err := u.flush(ctx); err != nil {
		return err
	}
	if known := u.holds[d.HoldID]; known != nil {
		known.Owed, known.PaidBy = d.Owed, d.PaidBy
	}
	return u.q.PayHold(ctx, db.PayHoldParams{ID: d.HoldID, Owed: d.Owed, PaidBy: writeBurns(d.PaidBy)})
}

// PayOldDebt adds to what the grant paid that no hold says.
func (u *unit) PayOldDebt(ctx context.Context, b ledger.Burn) error {
	if err := u.flush(ctx); err != nil {
		return err
	}
	return u.q.AddPaidBefore(ctx, db.AddPaidBeforeParams{ID: b.GrantID, Amount: b.Amount})
}

func (u *unit) InsertEntry(_ context.Context, e ledger.Entry) error {
	u.entries = append(u.entries, e.AccountID, e.ID, storedKind(e.Kind), e.Debit, e.Credit, e.Amount, e.Reference, e.CreateTime.UnixMicro())
	return nil
}
