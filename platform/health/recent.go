package health

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/provider"
)

const (
	recentSlot  = 10 * time.Second
	recentSlots = 30
	// Window is how far the figures of a provider reach back.
	Window = recentSlot * recentSlots
)

// bounds are the upper ends of the intervals in which latencies are counted, those of the metrics; what is above counts as the last.
var bounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
}

// recent counts the calls of the last minutes.
type recent struct{ slots [recentSlots]counts }

// counts are the calls of a slot of time.
type counts struct {
	number                 int64 // slots since the epoch
	calls, failed, limited int32
	latency                [len(bounds)]int32
}

func (r *recent) add(now time.Time, end provider.End) {
	number := now.UnixNano() / int64(recentSlot)
	c := &r.slots[number%recentSlots]
	if c.number != number {
		*c = counts{number: number}
	}
	c.calls++
	if end.Failed {
		c.failed++
	}
	if end.RateLimited {
		c.limited++
	}
	i := 0
	for i < len(bounds)-1 && end.Latency > bounds[i] {
		i++
	}
	c.latency[i]++
}

// figures sums up the window.
func (r *recent) figures(now time.Time) *statusv1.Figures {
	number := now.UnixNano() / int64(recentSlot)
	var all counts
	for i := range r.slots {
		c := &r.slots[i]
		if age := number - c.number; age < 0 || age >= recentSlots {
			continue
		}
		all.calls, all.failed, all.limited = all.calls+c.calls, all.failed+c.failed, all.limited+c.limited
		for j, n := range c.latency {
			all.latency[j] += n
		}
	}
	f := &statusv1.Figures{Window: durationpb.New(Window), Calls: all.calls, Failures: all.failed, RateLimitHits: all.limited}
	if all.calls > 0 {
		f.P95Latency = durationpb.New(all.percentile(95))
	}
	return f
}

// percentile estimates a percentile of the latencies: within an interval, they are taken to be spread evenly.
func (c *counts) percentile(percent int64) time.Duration {
	rank := (int64(c.calls)*percent + 99) / 100
	low := time.Duration(0)
	for i, n := range c.latency {
		if n := int64(n); rank <= n {
			return low + time.Duration(int64(bounds[i]-low)*rank/n)
		}
		rank -= int64(n)
		low = bounds[i]
	}
	return low
}
