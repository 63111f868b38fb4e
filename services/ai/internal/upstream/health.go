package upstream

import (
	"sync"
	"time"
)

const (
	// healthWindow is how far back calls count, in slots.
	healthWindow = 5 * time.Minute
	slots        = 30
	slotTime     = healthWindow / slots
	// fewCalls is how many failures it takes to say anything.
	fewCalls = 3
)

// Health is how well the provider worked lately. It is safe for concurrent use.
type Health struct {
	now func() time.Time

	mu    sync.Mutex
	slots [slots]slot
	known bool
}

type slot struct {
	number    int64 // slots since the epoch
	good, bad int64
}

// NewHealth returns a Health that knows nothing.
func NewHealth(now func() time.Time) *Health { return &Health{now: now} }

// Good notes a call that the provider answered, also with an error of the caller's.
func (h *Health) Good() { h.add(1, 0) }

// Bad notes a call that the provider failed.
func (h *Health) Bad() { h.add(0, 1) }

func (h *Health) add(good, bad int64) {
	number := h.now().UnixNano() / int64(slotTime)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known = true
	s := &h.slots[number%slots]
	if s.number != number {
		*s = slot{number: number}
	}
	s.good += good
	s.bad += bad
}

// Status sums up the last five minutes: "down" when most calls failed, "degraded" when one in ten did, else
// "operational"; "unknown" before the first call.
func (h *Health) Status() string {
	number := h.now().UnixNano() / int64(slotTime)
	h.mu.Lock()
	defer h.mu.Unlock()
	var good, bad int64
	for _, s := range h.slots {
		if number-s.number < slots {
			good, bad = good+s.good, bad+s.bad
		}
	}
	switch {
	case !h.known:
		return "unknown"
	case bad >= fewCalls && bad > good:
		return "down"
	case bad >= fewCalls && bad*10 >= good+bad:
		return "degraded"
	default:
		return "operational"
	}
}
