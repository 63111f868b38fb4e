// Package health judges how a service and the provider behind it are doing. A service answers GetStatus with what it finds.
package health

import (
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
)

// Short names of the states.
const (
	Unknown     = statusv1.Status_STATUS_UNKNOWN
	Operational = statusv1.Status_STATUS_OPERATIONAL
	Degraded    = statusv1.Status_STATUS_DEGRADED
	Down        = statusv1.Status_STATUS_DOWN
)

// MaxUnknown is how long a state may stay unknown.
const MaxUnknown = 10 * time.Second

// Fixed returns a condition that never changes, for an integration that is not used.
func Fixed(state statusv1.Status, since time.Time) func() *statusv1.Health {
	return func() *statusv1.Health {
		return &statusv1.Health{Status: state, SinceTime: timestamppb.New(since)}
	}
}

// Tracker remembers when a state began. It is safe for concurrent use.
type Tracker struct {
	mu    sync.Mutex
	state statusv1.Status
	since time.Time
}

// NewTracker returns a tracker whose state is unknown since then.
func NewTracker(since time.Time) *Tracker { return &Tracker{state: Unknown, since: since} }

// Set notes the state at a time and returns the condition.
func (t *Tracker) Set(state statusv1.Status, at time.Time) *statusv1.Health {
	return &statusv1.Health{Status: state, SinceTime: timestamppb.New(t.note(state, at))}
}

// note notes the state at a time and returns since when it has been so.
func (t *Tracker) note(state statusv1.Status, at time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if state != t.state {
		t.state, t.since = state, at
	}
	return t.since
}
