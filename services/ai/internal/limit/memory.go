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
	running, streams int64     // streams are running calls, too
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
	t := &ticket{memory: m}
	t.shares = t.few[:0]
	for i, key := range keys {
		t.shares = append(t.shares, key.take(ask.Keys[i].taken(ask.Tokens), ask.Stream))
	}
	t.shares = append(t.shares, account.take(ask.taken(), ask.Stream))
	t.levels = levels(at, ask, account, keys)
	return t, nil
}

// take counts a call in.
func (c *counts) take(tokens int64, stream bool) share {
	c.requests.now++
	c.today++
	c.tokens.now += tokens
	c.running++
	if stream {
		c.streams++
	}
	return share{of: c, taken: tokens, window: c.tokens.start, stream: stream}
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
		if refused, ok := checkKey(at, ask, ask.Keys[i], key); !ok {
			refused.key = i
			return refused, false
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
	if ask.Stream && ask.Streams > 0 && account.streams >= ask.Streams {
		return refusal{kind: accountStreams, wait: busyRetry}, false
	}
	if d := account.tokens.wait(at, ask.Tokens, ask.TokensPerMinute); d > 0 {
		return refusal{kind: accountTokens, wait: d, left: account.tokens.level(nameUse, at, ask.TokensPerMinute).Remaining}, false
	}
	return refusal{}, true
}

func checkKey(at time.Time, ask Ask, limits Key, key *counts) (refusal, bool) {
	if d := key.requests.wait(at, 1, limits.Requests); d > 0 {
		return refusal{kind: keyRequests, wait: d}, false
	}
	if limits.RequestsPerDay > 0 && key.today >= limits.RequestsPerDay {
		return refusal{kind: keyDay, wait: key.day.Add(day).Sub(at)}, false
	}
	if ask.Stream && limits.Streams > 0 && key.streams >= limits.Streams {
		return refusal{kind: keyStreams, wait: busyRetry}, false
	}
	if d := key.tokens.wait(at, ask.Tokens, limits.TokensPerMinute); d > 0 {
		return refusal{kind: keyTokens, wait: d, left: key.tokens.level(nameKeyUse, at, limits.TokensPerMinute).Remaining}, false
	}
	return refusal{}, true
}

type ticket struct {
	memory *Memory
	shares []share
	few    [2]share // of most calls, so that shares needs no memory of its own
	levels []Level
	over   bool
}

// share is what a call counts in an account or an API key.
type share struct {
	of     *counts
	taken  int64
	window time.Time // of tokens, at its beginning
	stream bool
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
	now := t.memory.now()
	for _, s := range t.shares {
		s.of.running--
		if s.stream {
			s.of.streams--
		}
		s.of.tokens.roll(now)
		s.of.tokens.correct(s.window, used-s.taken)
	}
}
