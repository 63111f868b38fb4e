package health

import (
	"context"
	"sync"
	"time"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
)

const (
	// checkTimeout bounds the checks of a service.
	checkTimeout = 2 * time.Second
	// freshness is how long one run of the checks serves everybody who asks.
	freshness = time.Second
)

// Service judges a service by its own checks, those of /readyz. It is safe for concurrent use.
type Service struct {
	now     func() time.Time
	vital   string
	checks  func() map[string]func(context.Context) error
	tracker *Tracker
	turn    chan struct{} // held by the caller that runs the checks
	last    *statusv1.Health
	checked time.Time
}

// NewService returns a Service. When the vital check fails, the service is down; when another one fails, it is degraded.
func NewService(now func() time.Time, vital string, checks func() map[string]func(context.Context) error) *Service {
	return &Service{now: now, vital: vital, checks: checks, tracker: NewTracker(now()), turn: make(chan struct{}, 1)}
}

// Condition runs the checks, at most once a second for any number of callers. Errors: the context's.
func (s *Service) Condition(ctx context.Context) (*statusv1.Health, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()
	if age := s.now().Sub(s.checked); s.last == nil || age >= freshness || age < 0 {
		// The answer serves other callers too, so it must not depend on whether this one stays.
		state := s.state(context.WithoutCancel(ctx))
		s.checked = s.now()
		s.last = s.tracker.Set(state, s.checked)
	}
	return s.last, nil
}

func (s *Service) state(ctx context.Context) statusv1.Status {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	state := Operational
	var mu sync.Mutex
	var running sync.WaitGroup
	for name, check := range s.checks() {
		running.Go(func() {
			if check(ctx) == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if name == s.vital {
				state = Down
			} else {
				state = max(state, Degraded)
			}
		})
	}
	running.Wait()
	return state
}
