package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// flush writes what changed since the last flush.
func (u *unit) flush(ctx context.Context) error {
	for _, write := range []func(context.Context) error{
		u.flushHolds, u.flushEntries, u.flushOpens, u.flushAccounts, u.flushNewGrants, u.flushGrants, u.flushWindows, u.flushOverage,
	} {
		if err := write(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (u *unit) flushHolds(ctx context.Context) error {
	users := make([]string, 0, len(u.inserts)+len(u.closes))
	for _, h := range u.inserts {
		users = append(users, h.UserID)
	}
	for _, h := range u.closes {
		users = append(users, h.UserID)
	}
	if err := u.loadErased(ctx, users); err != nil {
		return err
	}
	rows := u.rows[:0]
	for _, h := range u.inserts {
		rows = append(rows, h.ID, h.AccountID, h.RequestID, h.Fingerprint, u.nameable(h.UserID), h.APIKeyID, h.Model,
			h.InputPrice, h.CachedInputPrice, h.OutputPrice, h.Amount, h.OutputTokens, h.CreateTime.UnixMicro(), h.LeaseTime.UnixMicro(),
			h.Used.Input, h.Used.CachedInput, h.Used.Output, h.Used.Reasoning, u.limits(h.AccountID))
	}
	u.rows = rows
	if err := u.hit(ctx, u.sql.insertHolds, rows, len(u.inserts)); err != nil {
		return err
	}
	rows = rows[:0]
	for _, h := range u.extends {
		rows = append(rows, h.ID, h.LeaseTime.UnixMicro(), h.Used.Input, h.Used.CachedInput, h.Used.Output, h.Used.Reasoning, h.UsedCost)
	}
	if _, err := u.sql.extendHolds.exec(ctx, u.t, rows); err != nil {
		return err
	}
	rows = rows[:0]
	for _, h := range u.closes {
		rows = append(rows, h.ID, string(h.was), string(h.State), h.Cost, h.BalanceAfter, writeBurns(h.PaidBy), h.Owed,
			microsOrZero(h.SettleTime), h.Used.Input, h.Used.CachedInput, h.Used.Output, h.Used.Reasoning, string(h.Outcome), h.Estimated,
			h.ProviderRequestID, microsOrZero(h.UsageTime), folded, h.Target, h.ServedModel,
			h.Latency.Microseconds(), h.FirstByte.Microseconds(), h.ErrorCode, h.HTTPRequestID, h.Overage, microsOrZero(h.OverageStart), h.Details)
		if h.was == ledger.StateOpen { // and not a correction
			u.opened--
		}
		h.was = ""
	}
	u.rows = rows
	if err := u.hit(ctx, u.sql.closeHolds, rows, len(u.closes)); err != nil {
		return err
	}
	if err := u.insertCalls(ctx); err != nil {
		return err
	}
	u.opened += int64(len(u.inserts))
	u.inserts, u.extends, u.closes = nil, nil, nil
	return nil
}

// loadErased learns which of the users were erased: they are not named again. The accounts are locked, so an erasure that begins after this
// statement waits for the end of the transaction, and then takes the names out of what it wrote.
func (u *unit) loadErased(ctx context.Context, users []string) error {
	byHash := map[string]string{}
	for _, user := range users {
		if _, known := u.erased[user]; !known && user != "" {
			u.erased[user] = false
			byHash[hash(user)] = user
		}
	}
	return u.sql.erased.each(ctx, u.t, slices.Sorted(maps.Keys(byHash)), func(row scanner) error {
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

// hit runs a statement that must change each of its rows: else a row is not as this batch believes.
func (u *unit) hit(ctx context.Context, b *bulk, rows []any, want int) error {
	got, err := b.exec(ctx, u.t, rows)
	if err == nil && got != int64(want) {
		return fmt.Errorf("%w: %d of %d rows", errAssumed, got, want)
	}
	return err
}

func (u *unit) flushEntries(ctx context.Context) error {
	if _, err := u.sql.insertEntries.exec(ctx, u.t, u.entries); err != nil {
		return err
	}
	u.entries = nil
	return nil
}

// flushOpens inserts new accounts, with what they have by now. All processes insert in one order, so that they do not wait for each other
// in a circle.
func (u *unit) flushOpens(ctx context.Context) error {
	slices.SortFunc(u.opens, func(a, b *account) int { return strings.Compare(a.ID, b.ID) })
	var rows []any
	for _, a := range u.opens {
		rows = append(rows, hash(a.ID), a.Plan, a.CreateTime.UnixMicro())
		rows = append(rows, a.values()...)
		a.opened, a.changed, a.stored = false, false, a.Account
	}
	if err := u.hit(ctx, u.sql.openAccounts, rows, len(u.opens)); err != nil {
		return err
	}
	u.opens = nil
	return nil
}

func (u *unit) flushNewGrants(ctx context.Context) error {
	var rows []any
	for _, g := range u.newGrants {
		rows = append(rows, g.ID, g.AccountID, g.Source, g.Amount, g.Remaining, g.CreateTime.UnixMicro(), g.ExpireTime.UnixMicro())
		g.changed, g.stored = false, g.Remaining
	}
	err := u.hit(ctx, u.sql.insertGrants, rows, len(u.newGrants))
	u.newGrants = nil
	return err
}

func (u *unit) flushAccounts(ctx context.Context) error {
	var rows []any
	n := 0
	for _, a := range u.accounts {
		if a.changed {
			rows = append(rows, a.values()...)
			rows = append(rows, a.stored.Balance, a.stored.Held, a.stored.Debt, a.stored.Due.UnixMicro(), a.stored.Period.Cost, a.stored.Overage.Total)
			a.changed, a.stored = false, a.Account
			n++
		}
	}
	return u.hit(ctx, u.sql.saveAccounts, rows, n)
}

func (a *account) values() []any {
	return []any{
		a.ID, a.Balance, a.Held, a.Debt, a.PeriodStart.UnixMicro(), a.PeriodEnd.UnixMicro(), a.Due.UnixMicro(), a.Period.Requests,
		a.Period.Usage.Input, a.Period.Usage.CachedInput, a.Period.Usage.Output, a.Period.Usage.Reasoning, a.Period.Cost,
		a.Overage.Cap, a.Overage.Used, a.Overage.Total, microsOrZero(a.Overage.CloseTime), microsOrZero(a.Overage.StartTime),
		microsOrZero(a.Overage.EndTime),
	}
}

func (u *unit) flushGrants(ctx context.Context) error {
	var rows []any
	n := 0
	for _, g := range u.grants {
		if g.changed {
			rows = append(rows, g.ID, g.Remaining, g.stored)
			g.changed, g.stored = false, g.Remaining
			n++
		}
	}
	return u.hit(ctx, u.sql.saveGrants, rows, n)
}

// flushWindows writes windows in the order of their keys, so that statements of the same windows do not depend on the order of a map.
func (u *unit) flushWindows(ctx context.Context) error {
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
	for kind, b := range map[ledger.SubjectKind]*bulk{ledger.SubjectKey: u.sql.saveKeyWindows, ledger.SubjectMember: u.sql.saveMemberWindows} {
		if err := u.hit(ctx, b, rows[kind], len(rows[kind])/b.width); err != nil {
			return err
		}
	}
	return nil
}

func compareSubjects(a, b ledger.Subject) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
}

func compareWindows(a, b *window) int {
	return cmp.Or(cmp.Compare(a.Period, b.Period), a.Start.Compare(b.Start))
}

var _ ledger.Tx = (*unit)(nil)
