package limit

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// busyRetry is when to try again while too many calls run at once: it is unknown when one ends.
const busyRetry = time.Second

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
	if err := check(at, ask, account, keys); err != nil {
		return nil, err
	}
	taken := ask.Tokens
	if ask.TokensPerMinute > 0 {
		taken = min(taken, ask.TokensPerMinute)
	}
	for _, key := range keys {
		key.requests.now++
	}
	account.requests.now++
	account.tokens.now += taken
	account.running++
	return &ticket{memory: m, account: account, taken: taken, window: account.tokens.start}, nil
}

func find(all *simplelru.LRU[string, *counts], id string, at time.Time) *counts {
	c, ok := all.Get(id)
	if !ok {
		c = &counts{requests: window{start: at}, tokens: window{start: at}}
		all.Add(id, c)
	}
	c.requests.roll(at)
	c.tokens.roll(at)
	return c
}

func check(at time.Time, ask Ask, account *counts, keys []*counts) error {
	for i, key := range keys {
		limit, format := ask.Keys[i].Requests, "This API key allows %d requests per minute."
		if i > 0 {
			format = "An API key that made this one allows %d requests per minute, together with the keys that it made."
		}
		if d := key.requests.wait(at, 1, limit); d > 0 {
			return exceeded(d, "api_key_requests_per_minute", format, limit)
		}
	}
	if d := account.requests.wait(at, 1, ask.AccountRequests); d > 0 {
		return exceeded(d, "requests_per_minute", "Your plan allows %d requests per minute.", ask.AccountRequests)
	}
	if ask.Concurrent > 0 && account.running >= ask.Concurrent {
		return exceeded(busyRetry, "concurrent_requests", "Your plan allows %d calls at the same time.", ask.Concurrent)
	}
	if d := account.tokens.wait(at, ask.Tokens, ask.TokensPerMinute); d > 0 {
		return exceeded(d, "tokens_per_minute", "Your plan allows %d tokens per minute.", ask.TokensPerMinute)
	}
	return nil
}

func exceeded(d time.Duration, name, format string, limit int64) *errs.Error {
	d = max(d, time.Millisecond)
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, format, limit).
		After(d).With("limit", name).With("allowed", strconv.FormatInt(limit, 10))
}

type ticket struct {
	memory  *Memory
	account *counts
	taken   int64
	window  time.Time
	over    bool
}

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
