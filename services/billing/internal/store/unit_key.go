package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// maxSpent is the bound of what a window counts; there it stops.
const maxSpent = 8_000_000_000_000_000_000

// keyWindows are the stored windows of a key's limits.
type keyWindows struct{ all []*keyWindow }

type keyWindow struct {
	ledger.Window
	ledger.KeySpend
	// stored is what the database has.
	stored  ledger.KeySpend
	changed bool
}

func (k *keyWindows) find(w ledger.Window) *keyWindow {
	for _, known := range k.all {
		if known.Period == w.Period && known.Start.Equal(w.Start) {
			return known
		}
	}
	return nil
}

// keyWindows returns the stored windows of a key. The account is locked.
func (u *unit) keyWindows(ctx context.Context, accountID, key string) (*keyWindows, error) {
	a, err := u.account(ctx, accountID)
	if err != nil {
		return nil, err
	}
	if known := a.windows[key]; known != nil {
		return known, nil
	}
	rows, err := u.q.ListKeyWindows(ctx, db.ListKeyWindowsParams{AccountID: accountID, APIKeyID: key})
	if err != nil {
		return nil, err
	}
	windows := &keyWindows{}
	for _, r := range rows {
		windows.all = append(windows.all, &keyWindow{
			Window:   ledger.Window{Period: time.Duration(r.Period) * time.Microsecond, Start: toTime(r.StartTime), End: toTime(r.EndTime)},
			KeySpend: ledger.KeySpend{Held: r.Held, Spent: r.Spent}, stored: ledger.KeySpend{Held: r.Held, Spent: r.Spent},
		})
	}
	a.windows[key] = windows
	return windows, nil
}

// KeyWindow reads a window. One that is not stored is summed up from the holds in the database, so everything is written before.
func (u *unit) KeyWindow(ctx context.Context, accountID, keyID string, w ledger.Window) (ledger.KeySpend, error) {
	windows, err := u.keyWindows(ctx, accountID, keyID)
	if err != nil {
		return ledger.KeySpend{}, err
	}
	if known := windows.find(w); known != nil {
		return known.KeySpend, nil
	}
	if err := u.flush(ctx); err != nil {
		return ledger.KeySpend{}, err
	}
	if err := u.q.InsertKeyWindow(ctx, db.InsertKeyWindowParams{
		AccountID: accountID, APIKeyID: keyID, Period: w.Period.Microseconds(), StartTime: w.Start.UnixMicro(), EndTime: w.End.UnixMicro(),
	}); err != nil {
		return ledger.KeySpend{}, err
	}
	if err := u.q.LimitKeys(ctx, accountID); err != nil {
		return ledger.KeySpend{}, err
	}
	a := u.accounts[accountID]
	a.keyLimited = true
	delete(a.windows, keyID)
	if windows, err = u.keyWindows(ctx, accountID, keyID); err != nil {
		return ledger.KeySpend{}, err
	}
	return windows.find(w).KeySpend, nil
}

// AddKeySpend adds to the stored windows in which the hold was made. A hold of an older version may not have been counted, so what is held
// stops at 0.
func (u *unit) AddKeySpend(ctx context.Context, h ledger.Hold, more ledger.KeySpend) error {
	if a := u.accounts[h.AccountID]; h.APIKeyID == "" || a != nil && !a.keyLimited {
		return nil
	}
	windows, err := u.keyWindows(ctx, h.AccountID, h.APIKeyID)
	if err != nil {
		return err
	}
	for _, w := range windows.all {
		if h.CreateTime.Before(w.Start) || !h.CreateTime.Before(w.End) {
			continue
		}
		w.Held = max(w.Held+more.Held, 0)
		if w.changed = true; w.Spent > maxSpent-more.Spent {
			w.Spent = maxSpent
		} else {
			w.Spent += more.Spent
		}
	}
	return nil
}

// PruneKeyWindows deletes windows that ended at or before that time.
func (s *Store) PruneKeyWindows(ctx context.Context, ended time.Time, limit int) (deleted int, err error) {
	err = s.write(ctx, "key windows", func(ctx context.Context, q *db.Queries) error {
		n, err := q.DeleteKeyWindows(ctx, db.DeleteKeyWindowsParams{Ended: ended.UnixMicro(), Most: int64(limit)})
		if deleted = int(n); deleted > 0 {
			s.cache.reset()
		}
		return err
	})
	return deleted, err
}
