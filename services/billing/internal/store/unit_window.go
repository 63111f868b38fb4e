package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// maxSpent is the bound of what a window counts; there it stops.
const maxSpent = 8_000_000_000_000_000_000

// windows are the stored windows of the limits of a member or an API key.
type windows struct{ all []*window }

type window struct {
	ledger.Window
	ledger.Spend
	// limit is what the last call was checked against; 0 for none.
	limit int64
	// stored is what the database has.
	stored  ledger.Spend
	changed bool
}

func (k *windows) find(w ledger.Window) *window {
	for _, known := range k.all {
		if known.Period == w.Period && known.Start.Equal(w.Start) {
			return known
		}
	}
	return nil
}

// mayHave tells whether windows of a subject may be stored.
func (a *account) mayHave(s ledger.Subject) bool {
	if s.Kind == ledger.SubjectMember {
		return a.spendLimited
	}
	return a.keyLimited
}

// windows returns the stored windows of a subject. The account is locked.
func (u *unit) windows(ctx context.Context, accountID string, s ledger.Subject) (*windows, error) {
	a, err := u.account(ctx, accountID)
	if err != nil {
		return nil, err
	}
	if a.windows[s] == nil {
		a.windows[s] = &windows{}
		if err := u.t.Together(ctx, u.windowsOf(nil, s.Kind, []string{accountID, s.ID})); err != nil {
			return nil, err
		}
	}
	return a.windows[s], nil
}

// windowsOf adds the statements that read windows of subjects of one kind, given as pairs of an account and an id.
func (u *unit) windowsOf(statements []database.Statement, kind ledger.SubjectKind, pairs []string) []database.Statement {
	query := u.sql.keyWindows
	if kind == ledger.SubjectMember {
		query = u.sql.memberWindows
	}
	return query.add(statements, pairs, func(row database.Scanner) error {
		var accountID string
		var period, start, end int64
		w, s := &window{}, ledger.Subject{Kind: kind}
		if err := row.Scan(&accountID, &s.ID, &period, &start, &end, &w.Held, &w.Spent, &w.limit); err != nil {
			return err
		}
		w.Window, w.stored = ledger.Window{Period: time.Duration(period) * time.Microsecond, Start: toTime(start), End: toTime(end)}, w.Spend
		of := u.accounts[accountID].windows[s]
		of.all = append(of.all, w)
		return nil
	})
}

// SpendWindow reads a window. One that is not stored is summed up from the holds in the database, so everything is written before.
func (u *unit) SpendWindow(ctx context.Context, accountID string, s ledger.Subject, w ledger.Window, limit int64) (ledger.Spend, error) {
	of, err := u.windows(ctx, accountID, s)
	if err != nil {
		return ledger.Spend{}, err
	}
	known := of.find(w)
	if known == nil || !known.End.Equal(w.End) { // a billing period may end at another time than it was to
		if known, err = u.sumWindow(ctx, accountID, s, w); err != nil {
			return ledger.Spend{}, err
		}
	}
	if known.limit != limit {
		known.limit, known.changed = limit, true
	}
	return known.Spend, nil
}

// sumWindow makes the row of a window from the holds.
func (u *unit) sumWindow(ctx context.Context, accountID string, s ledger.Subject, w ledger.Window) (*window, error) {
	if err := u.flush(ctx); err != nil {
		return nil, err
	}
	if err := u.findHolds(ctx, accountID); err != nil {
		return nil, err
	}
	insert := u.insertKeyWindow
	if s.Kind == ledger.SubjectMember {
		insert = u.insertMemberWindow
	}
	if err := insert(ctx, accountID, s.ID, w); err != nil {
		return nil, err
	}
	delete(u.accounts[accountID].windows, s)
	of, err := u.windows(ctx, accountID, s)
	if err != nil {
		return nil, err
	}
	return of.find(w), nil
}

func (u *unit) insertKeyWindow(ctx context.Context, accountID, keyID string, w ledger.Window) error {
	period, start := w.Period.Microseconds(), w.Start.UnixMicro()
	if err := u.q.DeleteKeyWindow(ctx, db.DeleteKeyWindowParams{AccountID: accountID, APIKeyID: keyID, Period: period, StartTime: start}); err != nil {
		return err
	}
	if err := u.q.InsertKeyWindow(ctx, db.InsertKeyWindowParams{
		AccountID: accountID, APIKeyID: keyID, Period: period, StartTime: start, EndTime: w.End.UnixMicro(),
	}); err != nil {
		return err
	}
	a := u.accounts[accountID]
	if a.keyLimited {
		return nil
	}
	a.keyLimited = true
	return u.q.LimitKeys(ctx, accountID)
}

// insertMemberWindow stores nothing about a person who was erased.
func (u *unit) insertMemberWindow(ctx context.Context, accountID, userID string, w ledger.Window) error {
	if err := u.loadErased(ctx, []string{userID}); err != nil {
		return err
	}
	if u.erased[userID] {
		return &ledger.ErasedError{AccountID: accountID}
	}
	period, start := w.Period.Microseconds(), w.Start.UnixMicro()
	if err := u.q.DeleteMemberWindow(ctx, db.DeleteMemberWindowParams{AccountID: accountID, UserID: userID, Period: period, StartTime: start}); err != nil {
		return err
	}
	return u.q.InsertMemberWindow(ctx, db.InsertMemberWindowParams{
		AccountID: accountID, UserID: userID, Period: period, StartTime: start, EndTime: w.End.UnixMicro(),
	})
}

// AddSpend adds to the stored windows in which the hold was made. A hold of an older version may not have been counted, so what is held and
// what is spent stop at 0.
func (u *unit) AddSpend(ctx context.Context, h ledger.Hold, more ledger.Spend) error {
	return u.eachWindow(ctx, h, func(_ ledger.Subject, w *window) {
		w.Held = max(w.Held+more.Held, 0)
		if w.changed = true; w.Spent > maxSpent-more.Spent {
			w.Spent = maxSpent
		} else {
			w.Spent = max(w.Spent+more.Spent, 0)
		}
	})
}

// LimitedWindows reads the windows with a limit in which the hold counts.
func (u *unit) LimitedWindows(ctx context.Context, h ledger.Hold) (found []ledger.LimitedWindow, err error) {
	err = u.eachWindow(ctx, h, func(s ledger.Subject, w *window) {
		if w.limit > 0 {
			found = append(found, ledger.LimitedWindow{Subject: s, Window: w.Window, Limit: w.limit, Spent: w.Spent})
		}
	})
	return found, err
}

// eachWindow calls fn for the stored windows in which a hold counts.
func (u *unit) eachWindow(ctx context.Context, h ledger.Hold, fn func(s ledger.Subject, w *window)) error {
	for _, s := range [...]ledger.Subject{ledger.MemberSubject(h.UserID), ledger.KeySubject(h.APIKeyID)} {
		if a := u.accounts[h.AccountID]; s.ID == "" || a != nil && !a.mayHave(s) {
			continue
		}
		of, err := u.windows(ctx, h.AccountID, s)
		if err != nil {
			return err
		}
		for _, w := range of.all {
			if !h.CreateTime.Before(w.Start) && h.CreateTime.Before(w.End) {
				fn(s, w)
			}
		}
	}
	return nil
}

// PruneWindows deletes windows that ended at or before that time: at most limit of members, and as many of keys. It returns the larger number.
func (s *Store) PruneWindows(ctx context.Context, ended time.Time, limit int) (deleted int, err error) {
	err = s.write(ctx, "windows", func(ctx context.Context, q *db.Queries) error {
		keys, err := q.DeleteKeyWindows(ctx, db.DeleteKeyWindowsParams{Ended: ended.UnixMicro(), Most: int64(limit)})
		if err != nil {
			return err
		}
		members, err := q.DeleteMemberWindows(ctx, db.DeleteMemberWindowsParams{Ended: ended.UnixMicro(), Most: int64(limit)})
		if deleted = int(max(keys, members)); deleted > 0 {
			s.cache.reset()
		}
		return err
	})
	return deleted, err
}
