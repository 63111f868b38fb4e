package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// flush writes what changed since the last flush. All of it travels to PostgreSQL together.
func (u *unit) flush(ctx context.Context) error {
	if err := u.loadNamed(ctx); err != nil {
		return err
	}
	for _, plan := range []func(){
		u.planHolds, u.planEntries, u.planOpens, u.planAccounts, u.planNewGrants, u.planGrants, u.planWindows, u.planMoves,
	} {
		plan()
	}
	return u.run(ctx)
}

// anyRows is what a statement wants that may change any number of rows.
const anyRows = -1

// plan adds statements for rows. Each must change as many rows as it has.
func (u *unit) plan(b *bulk, rows []any) {
	u.planned = b.add(u.planned, rows)
	for _, s := range u.planned[len(u.wants):] {
		u.wants = append(u.wants, int64(len(s.Args)/b.width))
	}
}

// planAny adds statements for rows that may change any number of them.
func (u *unit) planAny(b *bulk, rows []any) {
	u.planned = b.add(u.planned, rows)
	for range u.planned[len(u.wants):] {
		u.wants = append(u.wants, anyRows)
	}
}

// run runs the planned statements. One that does not change each of its rows shows that a row is not as this batch believes. That explains an error of
// a later one, too.
func (u *unit) run(ctx context.Context) error {
	err := u.t.Together(ctx, u.planned)
	for i, s := range u.planned {
		if s.Changed == database.NotRun {
			break
		}
		if want := u.wants[i]; want != anyRows && s.Changed != want {
			err = fmt.Errorf("%w: %d of %d rows", errAssumed, s.Changed, want)
			break
		}
	}
	u.forgetPlan()
	return err
}

// values adds to the values of the planned statements and returns those that it has added.
func (u *unit) values(fill func(rows []any) []any) []any {
	before := len(u.rows)
	u.rows = fill(u.rows) // where it grows, values that were added before stay in the old memory
	return u.rows[before:]
}

// loadNamed learns which of the people that the holds name were erased.
func (u *unit) loadNamed(ctx context.Context) error {
	users := make([]string, 0, len(u.inserts)+len(u.closes))
	for _, h := range u.inserts {
		users = append(users, h.UserID)
	}
	for _, h := range u.closes {
		users = append(users, h.UserID)
	}
	return u.loadErased(ctx, users)
}

func (u *unit) planHolds() {
	u.plan(u.sql.insertHolds, u.values(func(rows []any) []any {
		for _, h := range u.inserts {
			rows = append(rows, h.ID, h.AccountID, h.RequestID, h.Fingerprint, u.nameable(h.UserID), h.APIKeyID, h.Model,
				h.InputPrice, h.CachedInputPrice, h.OutputPrice, h.Amount, h.OutputTokens, h.CreateTime.UnixMicro(), h.LeaseTime.UnixMicro(),
				h.Used.Input, h.Used.CachedInput, h.Used.Output, h.Used.Reasoning, u.limits(h.AccountID))
		}
		return rows
	}))
	u.planAny(u.sql.extendHolds, u.values(func(rows []any) []any {
		for _, h := range u.extends {
			rows = append(rows, h.ID, h.LeaseTime.UnixMicro(), h.Used.Input, h.Used.CachedInput, h.Used.Output, h.Used.Reasoning, h.UsedCost)
		}
		return rows
	}))
	u.plan(u.sql.closeHolds, u.values(func(rows []any) []any {
		for _, h := range u.closes {
			rows = append(rows, h.ID, string(h.was), string(h.State), h.Cost, h.BalanceAfter, writeBurns(h.PaidBy), h.Owed,
				microsOrZero(h.SettleTime), h.Used.Input, h.Used.CachedInput, h.Used.Output, h.Used.Reasoning, string(h.Outcome), h.Estimated,
				h.ProviderRequestID, microsOrZero(h.UsageTime), int64(folded), h.Target, h.ServedModel,
				h.Latency.Microseconds(), h.FirstByte.Microseconds(), h.ErrorCode, h.HTTPRequestID, h.Overage, microsOrZero(h.OverageStart), h.Details)
			if h.was == ledger.StateOpen { // and not a correction
				u.opened--
			}
			h.was = ""
		}
		return rows
	}))
	u.planAny(u.sql.insertCalls, u.values(u.calls))
	u.opened += int64(len(u.inserts))
	u.inserts, u.extends, u.closes = nil, nil, nil
}

// loadErased learns which of the users were erased: they are not named again. The accounts are locked, so an erasure that begins after this
// statement waits for the end of the transaction, and then takes the names out of what it wrote.
func (u *unit) loadErased(ctx context.Context, users []string) error {
	return u.t.Together(ctx, u.erasedAmong(nil, users))
}

// erasedAmong adds the statements that tell who of the users were erased, without those who were looked up before.
func (u *unit) erasedAmong(statements []database.Statement, users []string) []database.Statement {
	var byHash map[string]string
	for _, user := range users {
		if _, known := u.erased[user]; known || user == "" {
			continue
		}
		if byHash == nil {
			byHash = map[string]string{}
		}
		u.erased[user] = false
		byHash[hash(user)] = user
	}
	return u.sql.erased.add(statements, slices.Sorted(maps.Keys(byHash)), func(row database.Scanner) error {
		var found string
		err := row.Scan(&found)
		u.erased[byHash[found]] = true
		return err
	})
}

// nameable is a user's id, or nothing once the person was erased.
func (u *unit) nameable(userID string) string {
	if u.erased[userID] {
		return ""
	}
	return userID
}

func microsOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func (u *unit) planEntries() {
	u.planAny(u.sql.insertEntries, u.entries)
	u.entries = nil
}

// planOpens inserts new accounts, with what they have by now. All processes insert in one order, so that they do not wait for each other
// in a circle.
func (u *unit) planOpens() {
	slices.SortFunc(u.opens, func(a, b *account) int { return strings.Compare(a.ID, b.ID) })
	var rows []any
	for _, a := range u.opens {
		rows = append(rows, hash(a.ID), a.Plan, a.CreateTime.UnixMicro())
		rows = a.appendTo(rows)
		a.opened, a.changed, a.stored = false, false, a.Account
	}
	u.plan(u.sql.openAccounts, rows)
	u.opens = nil
}

func (u *unit) planNewGrants() {
	var rows []any
	for _, g := range u.newGrants {
		rows = append(rows, g.ID, g.AccountID, g.Source, g.Amount, g.Remaining, g.CreateTime.UnixMicro(), g.ExpireTime.UnixMicro())
		g.changed, g.stored = false, g.Remaining
	}
	u.plan(u.sql.insertGrants, rows)
	u.newGrants = nil
}

func (u *unit) planAccounts() {
	u.plan(u.sql.saveAccounts, u.values(func(rows []any) []any {
		for _, a := range u.accounts {
			if a.changed {
				rows = a.appendTo(rows)
				rows = append(rows, a.stored.Balance, a.stored.Held, a.stored.Debt, a.stored.Due.UnixMicro(), a.stored.Period.Cost, a.stored.Overage.Total)
				a.changed, a.stored = false, a.Account
			}
		}
		return rows
	}))
}

func (a *account) appendTo(rows []any) []any {
	return append(rows,
		a.ID, a.Balance, a.Held, a.Debt, a.PeriodStart.UnixMicro(), a.PeriodEnd.UnixMicro(), a.Due.UnixMicro(), a.Period.Requests,
		a.Period.Usage.Input, a.Period.Usage.CachedInput, a.Period.Usage.Output, a.Period.Usage.Reasoning, a.Period.Cost,
		a.Overage.Cap, a.Overage.Used, a.Overage.Total, microsOrZero(a.Overage.CloseTime), microsOrZero(a.Overage.StartTime),
		microsOrZero(a.Overage.EndTime))
}

func (u *unit) planGrants() {
	u.plan(u.sql.saveGrants, u.values(func(rows []any) []any {
		for _, g := range u.grants {
			if g.changed {
				rows = append(rows, g.ID, g.Remaining, g.stored)
				g.changed, g.stored = false, g.Remaining
			}
		}
		return rows
	}))
}

// planWindows writes windows in the order of their keys, so that statements of the same windows do not depend on the order of a map.
func (u *unit) planWindows() {
	rows := map[ledger.SubjectKind][]any{}
	for _, id := range slices.Sorted(maps.Keys(u.accounts)) {
		windows := u.accounts[id].windows
		for _, s := range slices.SortedFunc(maps.Keys(windows), compareSubjects) {
			for _, w := range slices.SortedFunc(slices.Values(windows[s].all), compareWindows) {
				if w.changed {
					rows[s.Kind] = append(rows[s.Kind], id, s.ID, w.Period.Microseconds(), w.Start.UnixMicro(), w.Held, w.Spent, w.limit, w.stored.Held, w.stored.Spent)
					w.changed, w.stored = false, w.Spend
				}
			}
		}
	}
	u.plan(u.sql.saveKeyWindows, rows[ledger.SubjectKey])
	u.plan(u.sql.saveMemberWindows, rows[ledger.SubjectMember])
}

func compareSubjects(a, b ledger.Subject) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
}

func compareWindows(a, b *window) int {
	return cmp.Or(cmp.Compare(a.Period, b.Period), a.Start.Compare(b.Start))
}

var _ ledger.Tx = (*unit)(nil)
