// Package concurrency bounds how many requests and streams one caller has open at once.
package concurrency

import "sync"

// accountShare is how many times a caller's bound all callers of one account may have open together.
const accountShare = 4

// Caller is who opens a request.
type Caller struct {
	// Account is the account that pays. User is the person, and Key the API key; "" for a session.
	Account, User, Key string
}

// id is the key or the person.
func (c Caller) id() string {
	if c.Key != "" {
		return c.Key
	}
	return c.User
}

// Limiter counts open requests. It is safe for concurrent use. Only callers with an open request take memory.
type Limiter struct {
	limit int

	mu       sync.Mutex
	callers  map[string]int
	accounts map[string]int
}

// New returns a limiter of so many open requests for each caller; 0 means no limit.
func New(limit int) *Limiter {
	return &Limiter{limit: limit, callers: map[string]int{}, accounts: map[string]int{}}
}

// Open counts one more request of a caller until Close. It reports false, and counts nothing, when the caller or its account has too many.
func (l *Limiter) Open(c Caller) bool {
	if l.limit <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.callers[c.id()] >= l.limit || l.accounts[c.Account] >= accountShare*l.limit {
		return false
	}
	l.callers[c.id()]++
	l.accounts[c.Account]++
	return true
}

// Close ends a request that Open has counted.
func (l *Limiter) Close(c Caller) {
	if l.limit <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	decrement(l.callers, c.id())
	decrement(l.accounts, c.Account)
}

func decrement(counts map[string]int, id string) {
	if counts[id]--; counts[id] <= 0 {
		delete(counts, id)
	}
}
