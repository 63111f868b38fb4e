package store

import (
	"context"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// loadCallers reads what the limits of the batch's callers need: with one statement for each of the three tables, all together, and with none for accounts
// without limits.
func (u *unit) loadCallers(ctx context.Context, batch []*decision) error {
	var limits, members, keys []string
	for _, d := range batch {
		a := u.accounts[d.caller.AccountID]
		if a == nil || a.missing {
			continue
		}
		if d.caller.Reserves && a.spendLimited {
			limits = a.wantLimits(limits, limitedSubjects(d.caller.UserID, d.caller.APIKeyID))
		}
		members = a.wantWindows(members, ledger.MemberSubject(d.caller.UserID))
		keys = a.wantWindows(keys, ledger.KeySubject(d.caller.APIKeyID))
	}
	statements := u.limitsOf(nil, limits)
	statements = u.windowsOf(statements, ledger.SubjectMember, members)
	return u.t.Together(ctx, u.windowsOf(statements, ledger.SubjectKey, keys))
}

// wantWindows adds a subject to those whose windows are to be read, unless they are in memory.
func (a *account) wantWindows(pairs []string, s ledger.Subject) []string {
	if s.ID == "" || !a.mayHave(s) || a.windows[s] != nil {
		return pairs
	}
	a.windows[s] = &windows{}
	return append(pairs, a.ID, s.ID)
}

// limitedSubjects are the subjects whose limits a caller's calls count against: the member, every member, and the key.
func limitedSubjects(userID, keyID string) (subjects []ledger.Subject) {
	if userID != "" {
		subjects = append(subjects, ledger.MemberSubject(userID), ledger.MemberSubject(ledger.EveryMember))
	}
	if keyID != "" {
		subjects = append(subjects, ledger.KeySubject(keyID))
	}
	return subjects
}

// wantLimits adds subjects to those whose limits are to be read, unless they are in memory.
func (a *account) wantLimits(triples []string, subjects []ledger.Subject) []string {
	for _, s := range subjects {
		if _, known := a.limits[s]; !known {
			a.limits[s] = nil
			triples = append(triples, a.ID, string(s.Kind), s.ID)
		}
	}
	return triples
}

// limitsOf adds the statements that read the limits of subjects, given as triples of an account, a kind and an id.
func (u *unit) limitsOf(statements []database.Statement, triples []string) []database.Statement {
	return u.sql.limits.add(statements, triples, func(row database.Scanner) error {
		var r db.SpendLimit
		if err := row.Scan(&r.AccountID, &r.SubjectKind, &r.SubjectID, &r.Period, &r.ID, &r.Amount, &r.CreateTime, &r.UpdateTime); err != nil {
			return err
		}
		l := toSpendLimit(r)
		of := u.accounts[l.AccountID].limits
		of[l.Subject] = append(of[l.Subject], l)
		return nil
	})
}

// SpendLimits reads the limits that a caller's calls count against.
func (u *unit) SpendLimits(ctx context.Context, accountID, userID, keyID string) ([]ledger.SpendLimit, error) {
	a, err := u.account(ctx, accountID)
	if err != nil || !a.spendLimited {
		return nil, err
	}
	subjects := limitedSubjects(userID, keyID)
	if err := u.t.Together(ctx, u.limitsOf(nil, a.wantLimits(nil, subjects))); err != nil {
		return nil, err
	}
	var all []ledger.SpendLimit
	for _, s := range subjects {
		all = append(all, a.limits[s]...)
	}
	return all, nil
}

// SaveSpendLimit writes a limit.
func (u *unit) SaveSpendLimit(ctx context.Context, l ledger.SpendLimit, most int64) (ledger.SpendLimit, error) {
	if err := u.flush(ctx); err != nil {
		return l, err
	}
	if err := u.findHolds(ctx, l.AccountID); err != nil { // so that no call has to wait for it
		return l, err
	}
	if l.Subject.Kind == ledger.SubjectMember {
		if err := u.loadErased(ctx, []string{l.Subject.ID}); err != nil {
			return l, err
		}
		if u.erased[l.Subject.ID] {
			return l, &ledger.ErasedError{AccountID: l.AccountID}
		}
	}
	row, err := u.q.PutSpendLimit(ctx, db.PutSpendLimitParams{
		AccountID: l.AccountID, SubjectKind: string(l.Subject.Kind), SubjectID: l.Subject.ID, Period: l.Period.Microseconds(), ID: l.ID, Amount: l.Amount,
		Now: l.UpdateTime.UnixMicro(),
	})
	if err != nil {
		return l, err
	}
	n, err := u.q.CountSpendLimits(ctx, l.AccountID)
	if err == nil && n > most {
		err = &ledger.TooManyLimitsError{Most: most}
	}
	if err == nil {
		err = u.forgetWindows(ctx, l.AccountID)
	}
	if err != nil {
		return l, err
	}
	return toSpendLimit(row), u.limitsChanged(ctx, toSpendLimit(row), l.Amount, true)
}

// forgetWindows deletes the windows of the members of an account that had no limits until now: they were not kept up to date.
func (u *unit) forgetWindows(ctx context.Context, accountID string) error {
	a, err := u.account(ctx, accountID)
	if err != nil || a.spendLimited {
		return err
	}
	return u.q.DeleteMemberWindowsOfAccount(ctx, accountID)
}

// SpendLimit reads a limit by its id.
func (u *unit) SpendLimit(ctx context.Context, accountID, id string) (ledger.SpendLimit, error) {
	row, err := u.q.GetSpendLimit(ctx, db.GetSpendLimitParams{AccountID: accountID, ID: id})
	return toSpendLimit(row), translate(err)
}

// DeleteSpendLimit deletes a limit. The windows of members go with the account's last one: from then on they are not kept up to date.
func (u *unit) DeleteSpendLimit(ctx context.Context, accountID, id string) error {
	if err := u.flush(ctx); err != nil {
		return err
	}
	row, err := u.q.DeleteSpendLimit(ctx, db.DeleteSpendLimitParams{AccountID: accountID, ID: id})
	if err != nil {
		return translate(err)
	}
	left, err := u.q.CountSpendLimits(ctx, accountID)
	if err == nil && left == 0 {
		err = u.q.DeleteMemberWindowsOfAccount(ctx, accountID)
	}
	if err != nil {
		return err
	}
	return u.limitsChanged(ctx, toSpendLimit(row), 0, left > 0)
}

// limitsChanged writes what a changed limit means for the windows that are stored, and whether the account has limits at all.
func (u *unit) limitsChanged(ctx context.Context, l ledger.SpendLimit, amount int64, limited bool) (err error) {
	period := l.Period.Microseconds()
	if l.Subject.Kind == ledger.SubjectMember {
		err = u.q.LimitMemberWindows(ctx, db.LimitMemberWindowsParams{AccountID: l.AccountID, UserID: l.Subject.ID, Period: period, Amount: amount})
	} else {
		err = u.q.LimitKeyWindows(ctx, db.LimitKeyWindowsParams{AccountID: l.AccountID, APIKeyID: l.Subject.ID, Period: period, Amount: amount})
	}
	if err != nil {
		return err
	}
	a, err := u.account(ctx, l.AccountID)
	if err != nil {
		return err
	}
	clear(a.windows)
	clear(a.limits)
	a.spendLimited = limited
	return u.q.SetSpendLimited(ctx, db.SetSpendLimitedParams{ID: l.AccountID, Limited: limited})
}

// SpendLimitPage reads limits of an account after one, in the order of kind, subject and period.
func (s *Store) SpendLimitPage(ctx context.Context, q ledger.LimitQuery) ([]ledger.SpendLimit, error) {
	arg := db.ListSpendLimitsParams{
		AccountID: q.AccountID, AfterKind: string(q.After.Subject.Kind), AfterSubjectID: q.After.Subject.ID, AfterPeriod: q.After.Period.Microseconds(),
		OnlyKind: string(q.Only.Kind), OnlySubjectID: q.Only.ID, OrSubjectID: q.Only.ID, Most: int64(q.Limit),
	}
	if q.WithDefaults {
		arg.OrSubjectID = ledger.EveryMember
	}
	rows, err := s.read.ListSpendLimits(ctx, arg)
	limits := make([]ledger.SpendLimit, 0, len(rows))
	for _, row := range rows {
		limits = append(limits, toSpendLimit(row))
	}
	return limits, translate(err)
}

// eraseSpending deletes a person's limits and what is counted for them. Holds do not name the person any more.
func (s *Store) eraseSpending(ctx context.Context, userID string) error {
	return s.write(ctx, userID, func(ctx context.Context, q *db.Queries) error {
		s.cache.reset()
		for _, remove := range []func(context.Context, string) error{
			q.DeleteSpendLimitsOfUser, q.DeleteMemberWindowsOfUser, q.DeleteMemberDaysOfUser,
		} {
			if err := remove(ctx, userID); err != nil {
				return err
			}
		}
		return nil
	})
}

func toSpendLimit(r db.SpendLimit) ledger.SpendLimit {
	return ledger.SpendLimit{
		ID: r.ID, AccountID: r.AccountID, Subject: ledger.Subject{Kind: ledger.SubjectKind(r.SubjectKind), ID: r.SubjectID},
		Period: time.Duration(r.Period) * time.Microsecond, Amount: r.Amount, CreateTime: toTime(r.CreateTime), UpdateTime: toTime(r.UpdateTime),
	}
}

// sameLimits tells whether limits in memory are as they are stored.
func (u *unit) sameLimits(ctx context.Context, a *account) (bool, error) {
	stored := u.accounts[a.ID]
	for s, kept := range a.limits {
		if err := u.t.Together(ctx, u.limitsOf(nil, stored.wantLimits(nil, []ledger.Subject{s}))); err != nil {
			return false, err
		}
		if !slices.Equal(kept, stored.limits[s]) {
			return false, nil
		}
	}
	return true, nil
}
