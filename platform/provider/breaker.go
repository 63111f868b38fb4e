package provider

import (
	"cmp"
	"fmt"
	"sync"
	"time"
)

// Breaker says when calls to a provider that fails are refused at once. The zero value means that they never are.
type Breaker struct {
	// Failures are the failed calls within Window that open the breaker, if they are half of all calls or more. 0 turns
	// the breaker off.
	Failures int
	// Window is how long a call counts; default 10 s.
	Window time.Duration
	// Pause is how long the breaker stays open before one call may try again; default 5 s. It doubles with each trial
	// that fails, up to MaxPause, whose default is 1 min.
	Pause, MaxPause time.Duration
}

func (b Breaker) withDefaults() Breaker {
	b.Window = cmp.Or(b.Window, 10*time.Second)
	b.Pause = cmp.Or(b.Pause, 5*time.Second)
	b.MaxPause = max(cmp.Or(b.MaxPause, time.Minute), b.Pause)
	return b
}

// OpenError says that a provider is not called because too many calls failed. Retry after Wait.
type OpenError struct {
	Integration, Target string
	Wait                time.Duration
}

// Error names the provider.
func (e *OpenError) Error() string {
	return fmt.Sprintf("%s is not called, because too many calls failed; the next attempt is in %s", name(e.Integration, e.Target), e.Wait)
}

func name(integration, target string) string {
	if target == "" || target == integration {
		return integration
	}
	return integration + " (" + target + ")"
}

// State is the state of a breaker.
type State int64

// The states.
const (
	Closed   State = iota // calls pass
	HalfOpen              // one call tries
	Open                  // calls are refused
)

// result is what a call says about the provider.
type result uint8

const (
	good result = iota
	bad
	neither // the call was ended on this side, or the provider limits the rate
)

// breaker counts the results of calls. It is safe for concurrent use.
type breaker struct {
	config Breaker
	now    func() time.Time

	mu        sync.Mutex
	open      bool
	trial     bool      // a call is under way that decides whether the breaker closes
	until     time.Time // when the next trial may begin; only while open
	pause     time.Duration
	began     time.Time // when the window of current began
	previous  tally
	current   tally
	reference uint64 // counts state changes, so that calls of an earlier state say nothing about this one
}

type tally struct{ failed, all int }

func newBreaker(config Breaker, now func() time.Time) *breaker {
	config = config.withDefaults()
	return &breaker{config: config, now: now, pause: config.Pause}
}

// permit lets one call pass. It must be returned by done.
type permit struct {
	reference uint64
	trial     bool
	counted   bool // as good
}

// acquire returns a permit, or how long the breaker stays open.
func (b *breaker) acquire() (permit, time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return permit{reference: b.reference}, 0, true
	}
	wait := b.waitLocked()
	if wait > 0 {
		return permit{}, wait, false
	}
	b.trial = true
	return permit{reference: b.reference, trial: true}, 0, true
}

// waitLocked is how long no call may begin. While a trial is under way, the end of it is awaited.
func (b *breaker) waitLocked() time.Duration {
	switch {
	case !b.open:
		return 0
	case b.trial:
		return b.config.Pause
	default:
		return max(0, b.until.Sub(b.now()))
	}
}

// wait is how long no call may begin.
func (b *breaker) wait() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waitLocked()
}

func (b *breaker) state() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return Closed
	case b.trial || b.waitLocked() == 0:
		return HalfOpen
	default:
		return Open
	}
}

// done returns a permit with what the call says.
func (b *breaker) done(p permit, r result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.reference != b.reference || p.counted && r != bad {
		return
	}
	switch {
	case p.trial && r == good:
		b.changeLocked(false)
		b.pause = b.config.Pause
	case p.trial && r == bad:
		b.pause = min(2*b.pause, b.config.MaxPause)
		b.changeLocked(true)
	case p.trial:
		b.trial = false
	case r != neither && !b.open:
		b.countLocked(r, p.counted)
	}
}

// passed returns the permit of a call that has counted as good already and may still fail.
func (b *breaker) passed() permit {
	b.mu.Lock()
	defer b.mu.Unlock()
	return permit{reference: b.reference, counted: true}
}

func (b *breaker) changeLocked(open bool) {
	b.reference++
	b.open, b.trial, b.previous, b.current = open, false, tally{}, tally{}
	if open {
		b.until = b.now().Add(b.pause)
	}
}

func (b *breaker) countLocked(r result, counted bool) {
	switch age := b.now().Sub(b.began); {
	case age >= 2*b.config.Window:
		b.previous, b.current, b.began = tally{}, tally{}, b.now()
	case age >= b.config.Window:
		b.previous, b.current, b.began = b.current, tally{}, b.now()
	}
	if !counted {
		b.current.all++
	}
	if r == bad {
		b.current.failed++
	}
	failed, all := b.previous.failed+b.current.failed, b.previous.all+b.current.all
	if r == bad && failed >= b.config.Failures && 2*failed >= all {
		b.changeLocked(true)
	}
}
