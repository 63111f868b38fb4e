package limit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Memory is a Limiter for one process.
type Memory struct {
	now func() time.Time

	mu       sync.Mutex
	accounts *simplelru.LRU[string, *counts]
	keys     *simplelru.LRU[string, *counts]
}

// counts are one account's or one key's.
type counts struct {
	requests, tokens window
	day              time.Time // in UTC, at its beginning
	today            int64     // requests of that day
	running          int64
}

// NewMemory returns a limiter that remembers the size accounts, and as many API keys, that called last; one it has
// forgotten starts anew. size must be above 0.
func NewMemory(size int, now func() time.Time) (*Memory, error) {
	accounts, err := simplelru.NewLRU[string, *counts](size, nil)
	if err != nil {
		return nil, fmt.Errorf("limit: %w", err)
	}
	keys, err := simplelru.NewLRU[string, *counts](size, nil)
	if err != nil {
		return nil, fmt.Errorf("limit: %w", err)
	}
	return &Memory{now: now, accounts: accounts, keys: keys}, nil
}

// Admit implements Limiter. All limits are checked before any is counted, under one lock: a refused call costs nothing.
func (m *Memory) Admit(_ context.Context, ask Ask) (Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.now()
	account := find(m.accounts, ask.Account, at)
	keys := make([]*counts, len(ask.Keys))
	for i, key := range ask.Keys {
		keys[i] = find(m.keys, key.ID, at)
	}
	if refused, ok := check(at, ask, account, keys); !ok {
		return nil, refused.err(ask)
	}
	taken := ask.taken()
	for _, key := range keys {
		key.requests.now++
	}
	account.requests.now++
	account.today++
	account.tokens.now += taken
	account.running++
	return &ticket{memory: m, account: account, taken: taken, window: account.tokens.start, levels: levels(at, ask, account, keys)}, nil
}

func find(all *simplelru.LRU[string, *counts], id string, at time.Time) *counts {
	c, ok := all.Get(id)
	if !ok {
		c = &counts{requests: window{start: at}, tokens: window{start: at}}
		all.Add(id, c)
	}
	c.requests.roll(at)
	c.tokens.roll(at)
	if today := at.UTC().Truncate(day); !today.Equal(c.day) {
		c.day, c.today = today, 0
	}
	return c
}

func check(at time.Time, ask Ask, account *counts, keys []*counts) (refusal, bool) {
	for i, key := range keys {
		if d := key.requests.wait(at, 1, ask.Keys[i].Requests); d > 0 {
			return refusal{kind: keyRequests, key: i, wait: d}, false
		}
	}
	if d := account.requests.wait(at, 1, ask.AccountRequests); d > 0 {
		return refusal{kind: accountRequests, wait: d}, false
	}
	if ask.AccountRequestsPerDay > 0 && account.today >= ask.AccountRequestsPerDay {
		return refusal{kind: accountDay, wait: account.day.Add(day).Sub(at)}, false
	}
	if ask.Concurrent > 0 && account.running >= ask.Concurrent {
		return refusal{kind: concurrent, wait: busyRetry}, false
	}
	if d := account.tokens.wait(at, ask.Tokens, ask.TokensPerMinute); d > 0 {
		return refusal{kind: accountTokens, wait: d, left: account.tokens.level(nameTokens, at, ask.TokensPerMinute).Remaining}, false
	}
	return refusal{}, true
}

type ticket struct {
	memory  *Memory
	account *counts
	taken   int64
	window  time.Time
	levels  []Level
	over    bool
}

// Levels implements Ticket.
func (t *ticket) Levels() []Level { return t.levels }

// Done implements Ticket. A second call does nothing.
func (t *ticket) Done(used int64) {
	t.memory.mu.Lock()
	defer t.memory.mu.Unlock()
	if t.over {
		return
	}
	t.over = true
	t.account.running--
	t.account.tokens.roll(t.memory.now())
	t.account.tokens.correct(t.window, used-t.taken)
}
