package webhook

import (
	"slices"
	"strconv"
	"time"
)

// windowLife is how long an incomplete window of a shuffle is held back.
const windowLife = 2 * time.Second

// window is what a shuffle holds back.
type window struct {
	held  []*delivery
	until time.Time
}

// Send queues an event for all endpoints that subscribe to its type. It never blocks: when the queue is full, the
// delivery is dropped and counted.
func (s *Sender) Send(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	for _, endpoint := range s.endpoints {
		if endpoint.wants(e.Type) {
			s.admit(endpoint.ID, e)
		}
	}
	s.signal()
}

func (s *Sender) admit(endpoint string, e Event) {
	strikes := s.settings.strikes(e.Type)
	if strikes && s.falls(&s.settings.LoseNext, s.settings.LoseFraction) {
		s.finish(s.newDelivery(endpoint, e), Lost, "")
		return
	}
	copies, delay := 1, time.Duration(0)
	if strikes {
		delay = s.settings.Delay
		if s.falls(&s.settings.DoubleNext, s.settings.DoubleFraction) {
			copies = 2
		}
	}
	for range copies {
		d := s.newDelivery(endpoint, e)
		if len(s.live) > MaxPending || s.liveBytes > maxPendingBytes {
			s.finish(d, Dropped, "too many deliveries wait")
			continue
		}
		d.due = time.Now().Add(delay)
		if strikes && s.settings.Shuffle > 1 {
			s.hold(d)
		} else {
			s.waiting.add(d)
		}
		d.NextAt = d.due
	}
}

// falls decides at random, or by the count of next ones, whether a fault strikes.
func (s *Sender) falls(next *int, fraction float64) bool {
	if *next > 0 {
		*next--
		return true
	}
	return fraction > 0 && s.dice.Float64() < fraction
}

func (s *Sender) newDelivery(endpoint string, e Event) *delivery {
	s.seq++
	d := &delivery{
		Delivery: Delivery{
			ID: s.cfg.Name + "-delivery-" + strconv.FormatUint(s.seq, 10), EventID: e.ID, Type: e.Type, Subject: e.Subject,
			Endpoint: endpoint, State: Pending, CreatedAt: s.cfg.Now(),
		},
		body: e.Body, order: s.seq, seq: s.seq, index: -1,
	}
	s.live[d.seq] = d
	s.liveBytes += len(d.body)
	return d
}

// hold keeps a delivery back until its window is full.
func (s *Sender) hold(d *delivery) {
	if len(s.window.held) == 0 {
		s.window.until = time.Now().Add(windowLife)
	}
	s.window.held = append(s.window.held, d)
	if len(s.window.held) >= s.settings.Shuffle {
		s.release()
	}
}

// release lets a window go in random order.
func (s *Sender) release() {
	held := s.window.held
	s.window = window{}
	due := time.Time{}
	orders := make([]uint64, 0, len(held))
	for _, d := range held {
		orders = append(orders, d.order)
		if d.due.After(due) {
			due = d.due // deliveries keep their shuffled order only if they are due together
		}
	}
	s.dice.Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })
	for i, d := range held {
		d.due, d.NextAt, d.order = due, due, orders[i]
		s.waiting.add(d)
	}
}

// pending returns all waiting deliveries, in the queue and in the window, in order of arrival.
func (s *Sender) pending() []*delivery {
	out := slices.Concat(s.waiting, s.window.held)
	slices.SortFunc(out, func(a, b *delivery) int { return compare(a.seq, b.seq) })
	return out
}

func compare(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
}

// finish gives a delivery its final state.
func (s *Sender) finish(d *delivery, state State, why string) {
	s.waiting.remove(d)
	s.window.held = slices.DeleteFunc(s.window.held, func(h *delivery) bool { return h == d })
	delete(s.live, d.seq)
	s.liveBytes -= len(d.body)
	d.State, d.NextAt = state, time.Time{}
	if why != "" {
		d.Error = why
	}
	s.counts[state]++
	s.finished.add(d)
	s.settle(d)
}
