package webhook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Report counts how the attempts of a flush ended.
type Report struct {
	Delivered int `json:"delivered"`
	// Failed got no 2xx answer; they are tried again by the schedule.
	Failed int `json:"failed"`
}

// tally waits for the next attempt of some deliveries.
type tally struct {
	left   int
	report Report
	done   chan struct{}
}

// settle reports the outcome of an attempt to its waiters.
func (s *Sender) settle(d *delivery) {
	for _, t := range d.tallies {
		if d.State == Delivered {
			t.report.Delivered++
		} else {
			t.report.Failed++
		}
		if t.left--; t.left == 0 {
			close(t.done)
		}
	}
	d.tallies = nil
}

// Flush sends all pending deliveries now, even those that are not due and while the sender is paused, and returns after
// one attempt of each. It fails when ctx ends or the sender is closed.
func (s *Sender) Flush(ctx context.Context) (Report, error) {
	return s.await(ctx, func() []*delivery {
		s.release()
		for _, d := range s.pending() {
			s.waiting.remove(d)
			d.due = time.Time{}
			s.waiting.add(d)
		}
		s.signal()
		return slices.Collect(maps.Values(s.live))
	})
}

// Await returns after one more attempt of each pending delivery of an event, or at once if there are none.
func (s *Sender) Await(ctx context.Context, eventID string) (Report, error) {
	return s.await(ctx, func() []*delivery {
		all := slices.Collect(maps.Values(s.live))
		return slices.DeleteFunc(all, func(d *delivery) bool { return d.EventID != eventID })
	})
}

// await waits for the deliveries that choose returns; it is called under the lock.
func (s *Sender) await(ctx context.Context, choose func() []*delivery) (Report, error) {
	t := &tally{done: make(chan struct{})}
	s.mu.Lock()
	for _, d := range choose() {
		t.left++
		d.tallies = append(d.tallies, t)
	}
	none := t.left == 0
	s.mu.Unlock()
	if none {
		return Report{}, nil
	}
	select {
	case <-t.done:
		return t.report, nil // it no longer changes
	case <-ctx.Done():
		return Report{}, fmt.Errorf("wait for webhooks: %w", ctx.Err())
	case <-s.ctx.Done():
		return Report{}, fmt.Errorf("wait for webhooks: the sender was closed: %w", s.ctx.Err())
	}
}
