package alert

import "time"

// history keeps what the counters of a signal were at each of the last ticks. A counter that did not exist was 0, because it starts
// with its process.
type history struct {
	filter
	ticks int // the last one has the number ticks-1
	rings map[string][]float64
	size  int
}

func newHistory(f filter, size int) *history {
	return &history{filter: f, rings: map[string][]float64{}, size: size}
}

// add notes the values of a tick.
func (h *history) add(all families) {
	at := h.ticks % h.size
	for _, ring := range h.rings {
		ring[at] = 0
	}
	h.read(all, func(group string, value float64) {
		ring, ok := h.rings[group]
		if !ok {
			ring = make([]float64, h.size)
			h.rings[group] = ring
		}
		ring[at] += value
	})
	h.ticks++
}

// increase returns what each group gained within a number of ticks.
func (h *history) increase(ticks int) map[string]float64 {
	gained := make(map[string]float64, len(h.rings))
	last := h.ticks - 1
	for group, ring := range h.rings {
		before := 0.0
		if last >= ticks {
			before = ring[(last-ticks)%h.size]
		}
		gained[group] = ring[last%h.size] - before
	}
	return gained
}

// ticksOf is the number of intervals in a window, at least one.
func ticksOf(window, interval time.Duration) int {
	return max(int((window+interval/2)/interval), 1)
}
