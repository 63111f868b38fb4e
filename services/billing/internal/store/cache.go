package store

import (
	"context"
	"slices"
	"sync"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

const (
	// maxCached bounds the accounts that are kept in memory, of about 1 kB each.
	maxCached = 4096
	// maxCachedRows bounds the grants, and the limits with their windows, of an account that is kept.
	maxCachedRows = 64
)

// cache keeps accounts in memory from batch to batch. Only SQLite has one: there all batches run one after another in one process, so that
// what a batch committed is what the next one finds. Three things keep it from becoming stale:
//
//   - A batch takes its accounts out and puts them back only after its commit. Whatever else happens, they are read again.
//   - Each batch compares the database's version, which commits of other processes change.
//   - Each UPDATE names the values that it replaces. Where a row has others, the batch runs again on what is stored.
//
// A nil cache keeps nothing.
type cache struct {
	mu       sync.Mutex
	accounts map[string]*account
	// version is the database's when it was last compared.
	version int64
	// resets counts resets: what was taken out before one is not put back.
	resets int64
}

func newCache(dialect database.Dialect) *cache {
	if dialect != database.SQLite {
		return nil
	}
	return &cache{accounts: map[string]*account{}}
}

// begin forgets everything if another process has written. It returns the mark that put wants.
func (c *cache) begin(ctx context.Context, t database.Tx) (mark int64, err error) {
	if c == nil {
		return 0, nil
	}
	var version int64
	if err := t.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if version != c.version {
		c.version = version
		c.forget()
	}
	return c.resets, nil
}

// take takes an account out; nil when it is not kept.
func (c *cache) take(id string) *account {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[id]
	delete(c.accounts, id)
	return a
}

// put keeps what a batch has committed.
func (c *cache) put(accounts map[string]*account, mark int64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resets != mark {
		return
	}
	for id, a := range accounts {
		if a.missing || !a.shrink() {
			continue
		}
		for other := range c.accounts { // any one: maps are walked in random order
			if len(c.accounts) < maxCached {
				break
			}
			delete(c.accounts, other)
		}
		c.accounts[id] = a
	}
}

// reset forgets all accounts, also those that a batch has taken out.
func (c *cache) reset() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
}

func (c *cache) forget() {
	clear(c.accounts)
	c.resets++
}

// shrink drops spent grants; false means that the account is too large to be kept.
func (a *account) shrink() bool {
	a.grants = slices.DeleteFunc(a.grants, func(g *grant) bool { return g.Remaining == 0 })
	kept := 0
	for _, k := range a.windows {
		kept += 1 + len(k.all)
	}
	for _, l := range a.limits {
		kept += 1 + len(l)
	}
	if kept > maxCachedRows {
		clear(a.windows)
		clear(a.limits)
	}
	return len(a.grants) <= maxCachedRows
}

// ids lists the accounts that are kept.
func (c *cache) ids() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.accounts))
	for id := range c.accounts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// ruleCached is broken by an account that was changed while this process kept it.
const ruleCached = "an account in memory is as it is stored"

// stale compares what is kept with what is stored, at most limit accounts that differ. No batch runs meanwhile.
func (s *Store) stale(ctx context.Context, limit int) (found []ledger.Violation, err error) {
	if s.cache == nil {
		return nil, nil
	}
	turn := s.queue.turn
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-turn }()
	for page := range slices.Chunk(s.cache.ids(), 1<<maxSelect) {
		var differ []ledger.Violation
		err = s.db.Write(ctx, s.queue.key, func(ctx context.Context, t database.Tx) (err error) {
			differ, err = s.compare(ctx, t, page)
			return err
		})
		if found = append(found, differ...); err != nil || len(found) >= limit {
			break
		}
	}
	return found[:min(len(found), limit)], err
}

func (s *Store) compare(ctx context.Context, t database.Tx, ids []string) (found []ledger.Violation, err error) {
	mark, err := s.cache.begin(ctx, t)
	if err != nil {
		return nil, err
	}
	u := s.newUnit(t, false)
	u.cache = nil
	kept := map[string]*account{}
	for _, id := range ids {
		if a := s.cache.take(id); a != nil {
			kept[id] = a
		}
	}
	defer s.cache.put(kept, mark)
	if err := u.loadAccounts(ctx, ids); err != nil {
		return nil, err
	}
	for _, id := range ids {
		a := kept[id]
		if a == nil {
			continue
		}
		same, err := u.same(ctx, a)
		if err != nil {
			return nil, err
		}
		if !same {
			found = append(found, ledger.Violation{Rule: ruleCached, Subject: id, Want: u.accounts[id].Balance, Got: a.Balance})
		}
	}
	return found, nil
}

// same tells whether a kept account is as this unit has read it.
func (u *unit) same(ctx context.Context, a *account) (bool, error) {
	stored := u.accounts[a.ID]
	equal := func(x, y *grant) bool { return x.Grant == y.Grant }
	if stored.missing || stored.Account != a.Account || stored.keyLimited != a.keyLimited || stored.spendLimited != a.spendLimited || stored.limitedUpTo != a.limitedUpTo || !slices.EqualFunc(stored.grants, a.grants, equal) {
		return false, nil
	}
	for s, kept := range a.windows {
		of, err := u.windows(ctx, a.ID, s)
		if err != nil {
			return false, err
		}
		for _, w := range kept.all {
			if now := of.find(w.Window); now == nil || now.Spend != w.Spend || now.limit != w.limit {
				return false, nil
			}
		}
	}
	return u.sameLimits(ctx, a)
}
