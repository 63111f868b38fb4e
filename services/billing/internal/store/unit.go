package store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// unit is the state of one batch in memory: the accounts that it touches, with their grants, holds and the windows of their limits. Decisions
// change it, and flush writes what changed: each row once. It is the ledger.Tx of all of them.
//
// What is rare goes to the database at once, or writes first and then asks the database.
type unit struct {
	t     database.Tx
	q     *db.Queries
	sql   *statements
	cache *cache
	// deliver queues what is done with a new notice; it may be nil.
	deliver func(ctx context.Context, t database.Tx, n notices.Notice) error
	mark    int64
	assume  bool
	// limitedPage is the store's, and marked has the accounts of which this transaction has marked a page.
	limitedPage int64
	marked      map[string]bool

	accounts map[string]*account
	grants   map[string]*grant
	holds    map[string]*hold
	// erased are the people who were looked up, and whether they were erased.
	erased map[string]bool

	opens                    []*account
	newGrants                []*grant
	inserts, closes, extends []*hold
	entries                  []any
	overage                  map[overagePeriod]overageSum
	// opened counts the holds that were opened, less those that were closed.
	opened int64
	*scratch
}

// scratch is memory that one batch uses after another.
type scratch struct {
	// made are the holds of this batch; the maps and lists of the unit point to them.
	made []hold
	// planned are the statements of a flush, rows their values, and wants how many rows each must change; see plan.
	planned []database.Statement
	rows    []any
	wants   []int64
}

// maxScratch bounds what is kept for the next batch.
const maxScratch = 4 * maxDecisions

// forget lets go of what the memory points to.
func (s *scratch) forget() {
	clear(s.made)
	s.made = s.made[:0]
	s.forgetPlan()
}

func (s *scratch) forgetPlan() {
	clear(s.planned)
	clear(s.rows)
	s.planned, s.rows, s.wants = s.planned[:0], s.rows[:0], s.wants[:0]
}

// newHold returns a hold of this batch.
func (s *scratch) newHold(h ledger.Hold) *hold {
	s.made = append(s.made, hold{Hold: h}) // where it grows, holds that were made before stay in the old memory
	return &s.made[len(s.made)-1]
}

// account is an account with its grants, in the order in which they burn, and those windows of limits that were read.
type account struct {
	ledger.Account
	// stored is what the database has.
	stored ledger.Account
	// keyLimited tells whether its keys have windows of limits, and spendLimited whether it has stored limits.
	keyLimited, spendLimited bool
	// limitedUpTo tells which holds the windows of limits find; see limited.go.
	limitedUpTo string
	missing     bool
	// opened is true for an account that this batch opens.
	opened  bool
	changed bool
	grants  []*grant
	windows map[ledger.Subject]*windows
	// limits are those that were read; a subject without limits has an empty list.
	limits map[ledger.Subject][]ledger.SpendLimit
}

func newAccount(stored ledger.Account) *account {
	return &account{
		Account: stored, stored: stored, windows: map[ledger.Subject]*windows{}, limits: map[ledger.Subject][]ledger.SpendLimit{},
	}
}

type grant struct {
	ledger.Grant
	// stored is what the database has of it.
	stored  int64
	changed bool
}

type hold struct {
	ledger.Hold
	// was is the state of the row that closing replaces.
	was ledger.State
	// fold is what is left to fold of it, and segment what it was folded into.
	fold    int64
	segment string
}

func (s *Store) newUnit(t database.Tx, assume bool) *unit {
	return &unit{
		t: t, q: db.New(t), sql: s.sql, cache: s.cache, deliver: s.deliver, assume: assume, limitedPage: s.limitedPage, accounts: map[string]*account{}, grants: map[string]*grant{},
		holds: map[string]*hold{}, erased: map[string]bool{}, marked: map[string]bool{}, overage: map[overagePeriod]overageSum{}, scratch: &scratch{},
	}
}

// load reads and locks the accounts of the decisions, then their grants and who of the callers was erased: what others committed before the lock was taken
// is seen. Accounts in the cache are not read.
func (u *unit) load(ctx context.Context, batch []*decision) (err error) {
	if u.mark, err = u.cache.begin(ctx, u.t); err != nil {
		return err
	}
	ids, users := make([]string, 0, len(batch)), make([]string, 0, len(batch))
	for _, d := range batch {
		ids, users = append(ids, d.caller.AccountID), append(users, d.caller.UserID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if err := u.t.Together(ctx, u.erasedAmong(u.accountsOf(nil, ids), users)); err != nil {
		return err
	}
	u.sorted(ids)
	return u.loadCallers(ctx, batch)
}

func (u *unit) loadAccounts(ctx context.Context, ids []string) error {
	err := u.t.Together(ctx, u.accountsOf(nil, ids))
	u.sorted(ids)
	return err
}

// accountsOf adds the statements that read and lock accounts, without those in the cache.
func (u *unit) accountsOf(statements []database.Statement, ids []string) []database.Statement {
	ids = slices.DeleteFunc(slices.Clone(ids), u.cached)
	for _, id := range ids {
		u.accounts[id] = newAccount(ledger.Account{})
		u.accounts[id].missing = true
	}
	statements = u.sql.accounts.add(statements, ids, func(row database.Scanner) error {
		var r db.Account
		err := row.Scan(&r.ID, &r.Plan, &r.Balance, &r.Held, &r.Debt, &r.CreateTime, &r.PeriodStartTime, &r.PeriodEndTime, &r.DueTime,
			&r.PeriodRequests, &r.PeriodInputTokens, &r.PeriodCachedInputTokens, &r.PeriodOutputTokens, &r.PeriodReasoningTokens,
			&r.PeriodCost, &r.KeyLimited, &r.SpendLimited, &r.OverageCap, &r.OverageUsed, &r.OverageTotal, &r.OverageCloseTime, &r.OverageStartTime,
			&r.OverageEndTime, &r.LimitedUpTo)
		a := newAccount(toAccount(r))
		a.keyLimited, a.spendLimited, a.limitedUpTo = r.KeyLimited, r.SpendLimited, r.LimitedUpTo
		u.accounts[r.ID] = a
		return err
	})
	return u.sql.grants.add(statements, ids, func(row database.Scanner) error {
		var r db.CreditGrant
		err := row.Scan(&r.ID, &r.AccountID, &r.Source, &r.Amount, &r.Remaining, &r.CreateTime, &r.ExpireTime)
		u.adopt(toGrant(r))
		return err
	})
}

// sorted puts the grants of accounts into the order in which they burn.
func (u *unit) sorted(ids []string) {
	for _, id := range ids {
		u.accounts[id].sort()
	}
}

// cached takes an account from the cache, if it is there.
func (u *unit) cached(id string) bool {
	a := u.cache.take(id)
	if a == nil {
		return false
	}
	u.accounts[id] = a
	for _, g := range a.grants {
		u.grants[g.ID] = g
	}
	return true
}

// adopt takes a stored grant into the state.
func (u *unit) adopt(g ledger.Grant) *grant {
	adopted := u.grants[g.ID]
	fresh := adopted == nil
	if fresh {
		adopted = &grant{Grant: g, stored: g.Remaining}
		u.grants[g.ID] = adopted
	}
	switch a := u.accounts[g.AccountID]; {
	case a == nil:
		_ = u.cache.take(g.AccountID) // it is about to change, and is read again
	case fresh || !slices.Contains(a.grants, adopted):
		a.grants = append(a.grants, adopted)
	}
	return adopted
}

// sort puts the grants into the order in which they burn.
func (a *account) sort() {
	slices.SortFunc(a.grants, func(x, y *grant) int {
		return cmp.Or(x.ExpireTime.Compare(y.ExpireTime), x.CreateTime.Compare(y.CreateTime), strings.Compare(x.ID, y.ID))
	})
}

func (u *unit) Assumes() bool { return u.assume }

// LockAccount returns the account, which is locked since it was loaded.
func (u *unit) LockAccount(ctx context.Context, id string) (ledger.Account, error) {
	a, err := u.account(ctx, id)
	switch {
	case err != nil:
		return ledger.Account{}, err
	case a.missing:
		return ledger.Account{}, ledger.ErrNotFound
	}
	return a.Account, nil
}

// account returns the state of an account, which may be missing.
func (u *unit) account(ctx context.Context, id string) (*account, error) {
	if known := u.accounts[id]; known != nil {
		return known, nil
	}
	err := u.loadAccounts(ctx, []string{id})
	return u.accounts[id], err
}

// InsertAccount takes an account that was not found for new, and its person for not erased, in the first run.
func (u *unit) InsertAccount(ctx context.Context, a ledger.Account) (bool, error) {
	if u.assume {
		known, err := u.account(ctx, a.ID)
		if err != nil || !known.missing {
			return false, err
		}
		known.missing, known.opened, known.Account = false, true, a
		u.opens = append(u.opens, known)
		return true, nil
	}
	n, err := u.q.InsertAccount(ctx, db.InsertAccountParams{
		ID: a.ID, IDHash: hash(a.ID), Plan: a.Plan, CreateTime: a.CreateTime.UnixMicro(), PeriodStartTime: a.PeriodStart.UnixMicro(),
		PeriodEndTime: a.PeriodEnd.UnixMicro(), DueTime: a.Due.UnixMicro(),
	})
	if err != nil {
		return false, err
	}
	if known := u.accounts[a.ID]; known == nil || known.missing {
		delete(u.accounts, a.ID) // it is read again, also when another replica was faster
	}
	return n > 0, nil
}

func (u *unit) SaveAccount(ctx context.Context, a ledger.Account) error {
	if _, err := u.LockAccount(ctx, a.ID); err != nil {
		return err
	}
	known := u.accounts[a.ID]
	known.Account, known.changed = a, true
	return nil
}

// InsertGrant asks the database whether the source is new, unless the batch opens the account.
func (u *unit) InsertGrant(ctx context.Context, g ledger.Grant) (bool, error) {
	if a := u.accounts[g.AccountID]; a != nil && a.opened {
		if a.granted(g.Source) != nil {
			return false, nil
		}
		u.newGrants = append(u.newGrants, u.adopt(g))
		a.sort()
		return true, nil
	}
	n, err := u.q.InsertGrant(ctx, db.InsertGrantParams{
		ID: g.ID, AccountID: g.AccountID, Source: g.Source, Amount: g.Amount, Remaining: g.Remaining,
		CreateTime: g.CreateTime.UnixMicro(), ExpireTime: g.ExpireTime.UnixMicro(),
	})
	if err != nil || n == 0 {
		return false, err
	}
	u.adopt(g)
	if a := u.accounts[g.AccountID]; a != nil {
		a.sort()
	}
	return true, nil
}

// granted returns the grant of a source, if it is in memory.
func (a *account) granted(source string) *grant {
	for _, g := range a.grants {
		if g.Source == source {
			return g
		}
	}
	return nil
}

func (u *unit) GrantBySource(ctx context.Context, accountID, source string) (ledger.Grant, error) {
	if a := u.accounts[accountID]; a != nil {
		if g := a.granted(source); g != nil {
			return g.Grant, nil
		}
	}
	row, err := u.q.GetGrantBySource(ctx, db.GetGrantBySourceParams{AccountID: accountID, Source: source})
	if known := u.grants[row.ID]; err == nil && known != nil {
		return known.Grant, nil
	}
	return toGrant(row), translate(err)
}

func (u *unit) LiveGrants(ctx context.Context, accountID string) ([]ledger.Grant, error) {
	a, err := u.account(ctx, accountID)
	if err != nil {
		return nil, err
	}
	live := make([]ledger.Grant, 0, len(a.grants))
	for _, g := range a.grants {
		if g.Remaining > 0 {
			live = append(live, g.Grant)
		}
	}
	return live, nil
}

func (u *unit) Grant(ctx context.Context, id string) (ledger.Grant, error) {
	g, err := u.grant(ctx, id)
	if err != nil {
		return ledger.Grant{}, translate(err)
	}
	return g.Grant, nil
}

func (u *unit) grant(ctx context.Context, id string) (*grant, error) {
	if known := u.grants[id]; known != nil {
		return known, nil
	}
	row, err := u.q.GetGrant(ctx, id)
	if err != nil {
		return nil, err
	}
	g := u.adopt(toGrant(row))
	if a := u.accounts[g.AccountID]; a != nil {
		a.sort()
	}
	return g, nil
}

func (u *unit) SetRemaining(ctx context.Context, grantID string, remaining int64) error {
	g, err := u.grant(ctx, grantID)
	if err != nil {
		return translate(err)
	}
	g.Remaining, g.changed = remaining, true
	return nil
}
