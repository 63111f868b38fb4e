package provider

import (
	"sync"
	"time"
)

const (
	// budgetShare is the share of retries among calls: one in so many.
	budgetShare = 5
	// budgetFloor are the retries a second that even a provider that is rarely called may have.
	budgetFloor = 1
	// budgetMost bounds the retries that are saved up.
	budgetMost = 20
)

// Budget bounds retries to a share of the calls, so that a provider that fails is not asked three times as much. It is
// safe for concurrent use.
type Budget struct {
	now func() time.Time

	mu     sync.Mutex
	saved  float64
	filled time.Time
}

// NewBudget returns a full budget.
func NewBudget(now func() time.Time) *Budget { return &Budget{now: now, saved: budgetMost} }

// Called notes a first attempt.
func (b *Budget) Called() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saved = min(b.saved+1.0/budgetShare, budgetMost)
}

// Spend takes one retry; false when none is left.
func (b *Budget) Spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if !b.filled.IsZero() {
		b.saved = min(b.saved+now.Sub(b.filled).Seconds()*budgetFloor, budgetMost)
	}
	b.filled = now
	if b.saved < 1 {
		return false
	}
	b.saved--
	return true
}
