package webhook

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// history remembers finished deliveries, with their bodies, so that they can be sent again.
type history struct {
	list  []*delivery
	bytes int
}

func (h *history) add(d *delivery) {
	h.list = append(h.list, d)
	h.bytes += len(d.body)
	for len(h.list) > MaxFinished || h.bytes > maxFinishedBytes {
		h.bytes -= len(h.list[0].body)
		h.list[0] = nil // lets the garbage collector free it
		h.list = h.list[1:]
	}
}

// Filter narrows a list of deliveries; empty fields let all pass.
type Filter struct {
	State         State
	Type, Subject string
	EventID       string
	// Limit is how many are returned at most; zero means 100.
	Limit int
}

func (f Filter) passes(d *delivery) bool {
	return (f.State == "" || d.State == f.State) && (f.Type == "" || d.Type == f.Type) &&
		(f.Subject == "" || d.Subject == f.Subject) && (f.EventID == "" || d.EventID == f.EventID)
}

// Deliveries returns the latest deliveries that pass, newest first.
func (s *Sender) Deliveries(f Filter) []Delivery {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Concat(s.finished.list, slices.Collect(maps.Values(s.live)))
	all = slices.DeleteFunc(all, func(d *delivery) bool { return !f.passes(d) })
	slices.SortFunc(all, func(a, b *delivery) int { return compare(b.seq, a.seq) })
	out := make([]Delivery, 0, min(len(all), f.Limit))
	for _, d := range all[:min(len(all), f.Limit)] {
		out = append(out, d.Delivery)
	}
	return out
}

// Counts returns how many deliveries are in each state; the final ones are counted since the start or the last reset.
func (s *Sender) Counts() map[State]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[State]int{Pending: 0, Sending: 0, Delivered: 0, Failed: 0, Lost: 0, Dropped: 0}
	maps.Copy(out, s.counts)
	for _, d := range s.live {
		out[d.State]++
	}
	return out
}

// Resend sends a finished delivery again, as a new delivery of the same event, even if it was lost or failed. It returns
// [ErrUnknown] for a delivery that is not finished or no longer remembered, or whose endpoint was removed.
func (s *Sender) Resend(id string) (Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.finished.list, func(d *delivery) bool { return d.ID == id })
	if at < 0 || s.find(s.finished.list[at].Endpoint) < 0 {
		return Delivery{}, fmt.Errorf("%w: %s", ErrUnknown, id)
	}
	old := s.finished.list[at]
	d := s.newDelivery(old.Endpoint, Event{ID: old.EventID, Type: old.Type, Subject: old.Subject, Body: old.body})
	if len(s.live) > MaxPending || s.liveBytes > maxPendingBytes {
		s.finish(d, Dropped, "too many deliveries wait")
		return d.Delivery, nil
	}
	d.due = time.Now()
	d.NextAt = d.due
	s.waiting.add(d)
	s.signal()
	return d.Delivery, nil
}
