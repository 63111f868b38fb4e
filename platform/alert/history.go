package alert

import "time"

// history keeps what the counters of a signal were at each of the last ticks. A counter that did not exist was 0, because it starts
// with its process. A counter never falls within its process: a smaller sum means that some series could not be read, and the sum
// before it stands.
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
	sums := map[string]float64{}
	h.read(all, func(group string, value float64) { sums[group] += value })
	for group := range sums {
		if h.rings[group] == nil {
			h.rings[group] = make([]float64, h.size)
		}
	}
	at, before := h.ticks%h.size, (h.ticks+h.size-1)%h.size
	for group, ring := range h.rings {
		ring[at] = max(sums[group], ring[before])
	}
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
