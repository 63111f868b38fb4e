package health

import (
	"context"
	"sync"
	"time"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/provider"
)

const (
	slotTime  = 5 * time.Second
	slotCount = 12
	// few is how many failures it takes to call a provider down.
	few = 3
	// fresh is how long one success outweighs the failures after it.
	fresh = 5 * time.Second
	// settled is how long after the last failure a provider that mostly failed is no longer called down.
	settled = 10 * time.Second
)

// Provider judges a provider by its calls of the last minute. It is safe for concurrent use.
type Provider struct {
	now     func() time.Time
	start   time.Time
	tracker *Tracker

	mu       sync.Mutex
	slots    [slotCount]slot
	lastGood time.Time
	lastBad  time.Time
	streak   int   // failures since the last success
	calls    int64 // all, ever
	pending  bool  // a probe is waiting for its answer
	recent   recent

	heard time.Time // when the last call ended; of the machine's clock, which timers go by
}

type slot struct {
	number    int64 // slots since the epoch
	good, bad int64
}

// NewProvider returns a Provider that knows nothing yet.
func NewProvider(now func() time.Time) *Provider {
	start := now()
	return &Provider{now: now, start: start, tracker: NewTracker(start)}
}

// Good notes a call that the provider answered, also if it refused the request.
func (p *Provider) Good() { p.note(1, 0) }

// Bad notes a call that failed because of the provider, or because the provider refused Trivet's credentials.
func (p *Provider) Bad() { p.note(0, 1) }

// Same notes a call that says nothing about the provider: the state stays, and the next probe is due after the usual time.
func (p *Provider) Same() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = time.Now()
}

func (p *Provider) note(good, bad int64) {
	now := p.now()
	number := now.UnixNano() / int64(slotTime)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	p.heard = time.Now()
	if bad > 0 {
		p.streak, p.lastBad = p.streak+1, now
	} else {
		p.streak, p.lastGood = 0, now
	}
	s := &p.slots[number%slotCount]
	if s.number != number {
		*s = slot{number: number}
	}
	s.good += good
	s.bad += bad
	p.tracker.note(p.state(now), now)
}

// Condition returns the state and when it began.
func (p *Provider) Condition() *statusv1.Health {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	condition := p.tracker.Set(p.state(now), now)
	condition.Figures = p.recent.figures(now)
	return condition
}

// Ended counts a call for the figures that Condition shows.
func (p *Provider) Ended(end provider.End) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent.add(now, end)
}

// state needs the lock. One success among recent failures counts, so that a few failed calls among many do not look like
// an outage; and a provider that fails most of its calls is down even though some succeed.
func (p *Provider) state(now time.Time) statusv1.Status {
	good, bad := p.window(now)
	silent := p.lastGood.IsZero() || now.Sub(p.lastGood) >= fresh
	switch {
	case p.calls == 0 && now.Sub(p.start) < MaxUnknown:
		return Unknown
	case p.calls == 0 && p.pending: // asked, and it has not answered
		return Down
	case p.streak >= few && silent, bad >= few && bad > good && now.Sub(p.lastBad) < settled:
		return Down
	case p.streak > 0 && silent, bad >= few && bad*10 >= good+bad:
		return Degraded
	default:
		return Operational
	}
}

func (p *Provider) window(now time.Time) (good, bad int64) {
	number := now.UnixNano() / int64(slotTime)
	for _, s := range p.slots {
		if age := number - s.number; age >= 0 && age < slotCount {
			good, bad = good+s.good, bad+s.bad
		}
	}
	return good, bad
}

const (
	// firstProbe gives the calls that a start makes anyway the time to answer.
	firstProbe = 500 * time.Millisecond
	// retryProbe is how often a provider is asked that is not operational.
	retryProbe = 2 * time.Second
	// probeTimeout bounds one probe; the first answer must come before MaxUnknown.
	probeTimeout = 5 * time.Second
)

// Run calls the provider with probe while no other call shows its state: soon after the start, every interval, and
// every two seconds while the provider is not operational. The probe notes its outcome with Good or Bad. Run returns when
// ctx ends; an interval of 0 only waits for that.
func (p *Provider) Run(ctx context.Context, interval time.Duration, probe func(context.Context)) {
	if interval <= 0 {
		<-ctx.Done()
		return
	}
	wait := min(firstProbe, interval)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if wait = p.due(interval); wait <= 0 {
			p.ask(ctx, probe)
			wait = max(p.due(interval), min(firstProbe, interval))
		}
	}
}

// due returns how long to wait until the next probe.
func (p *Provider) due(interval time.Duration) time.Duration {
	if p.Condition().GetStatus() != Operational {
		interval = min(retryProbe, interval)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard.IsZero() {
		return 0
	}
	return interval - time.Since(p.heard)
}

func (p *Provider) ask(ctx context.Context, probe func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	p.setPending(true)
	defer p.setPending(false)
	probe(ctx)
}

func (p *Provider) setPending(pending bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = pending
}
