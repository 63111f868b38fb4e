package invoke

import "sync"

// abandoned keeps the calls that outlive their callers until they are settled, and bounds how many of them are read to
// their end at once.
type abandoned struct {
	slots chan struct{}

	mu      sync.Mutex
	empty   sync.Cond // of mu
	calls   map[*call]struct{}
	stopped bool
}

func newAbandoned(size int) *abandoned {
	a := &abandoned{slots: make(chan struct{}, size), calls: map[*call]struct{}{}}
	a.empty.L = &a.mu
	return a
}

// add keeps a call until remove. After stop, its reading ends at once.
func (a *abandoned) add(c *call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[c] = struct{}{}
	if a.stopped {
		c.cancel(errStopping)
	}
}

func (a *abandoned) remove(c *call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.calls, c)
	if len(a.calls) == 0 {
		a.empty.Broadcast()
	}
}

// acquire takes a slot for reading an answer to its end; false when none is free. release gives it back.
func (a *abandoned) acquire() bool {
	select {
	case a.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (a *abandoned) release() { <-a.slots }

func (a *abandoned) reading() int { return len(a.slots) }

// stop ends all reading and waits until every call is settled.
func (a *abandoned) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	for c := range a.calls {
		c.cancel(errStopping)
	}
	for len(a.calls) > 0 {
		a.empty.Wait()
	}
}
